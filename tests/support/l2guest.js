// A guest that is just good enough to download and upload: DHCP, ARP, DNS and TCP over frames in a
// reliable data channel. Nothing is lost there, so what arrives out of order is dropped.

window.L2Guest = class L2Guest {
  #channel;
  #mac = [2, 0, 0, 0, 0, 2];
  #gatewayMAC = [255, 255, 255, 255, 255, 255];
  #address = [0, 0, 0, 0];
  #handlers = new Map();
  #connections = new Map();
  #port = 40_000;
  #pongs = [];

  constructor(channel) {
    this.#channel = channel;
    channel.onmessage = ({ data }) => this.#received(new Uint8Array(data));
  }

  // Answers with what DHCP gave.
  async configure() {
    const offer = await this.#dhcp([53, 1, 1]);
    const wanted = [...offer.yours];
    const server = offer.options.get(54);
    const lease = await this.#dhcp([53, 1, 3, 50, 4, ...wanted, 54, 4, ...server]);
    this.#address = wanted;
    this.gateway = [...lease.options.get(3)];
    this.resolver = [...lease.options.get(6)];
    this.#gatewayMAC = await this.#resolveMAC(this.gateway);
    return { address: wanted, gateway: this.gateway, resolver: this.resolver, mac: this.#gatewayMAC };
  }

  // Whether the channel has enough to send.
  busy() {
    return this.#channel.bufferedAmount > 262_144;
  }

  ping() {
    this.#channel.send(Uint8Array.of(0xa2, 3, 1, 0, 9));
    return new Promise((resolve) => this.#pongs.push(resolve));
  }

  async lookUp(name) {
    const labels = name.split(".").flatMap((label) => [label.length, ...new TextEncoder().encode(label)]);
    const query = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1];
    const answer = await this.#exchange(5_353, this.resolver, 53, query);
    const count = (answer[6] << 8) | answer[7];
    return count ? [...answer.slice(-4)].join(".") : null;
  }

  // Sends bytes and collects what comes, to the end of the stream.
  async request(address, port, pieces, expected) {
    const connection = new Connection(this, address, port, this.#port++);
    this.#connections.set(connection.localPort, connection);
    try {
      return await connection.run(pieces, expected);
    } finally {
      this.#connections.delete(connection.localPort);
    }
  }

  // -- frames

  #received(message) {
    if (message[0] !== 0xa2 || message[1] !== 3) {
      return;
    }
    if (message[2] === 2) {
      this.#pongs.shift()?.([...message.slice(4)]);
    }
    if (message[2] !== 0) {
      return;
    }
    const frame = message.subarray(4);
    const type = (frame[12] << 8) | frame[13];
    if (type === 0x0806) {
      this.#arp(frame);
    } else if (type === 0x0800) {
      const packet = frame.subarray(14);
      const start = (packet[0] & 15) * 4;
      const body = packet.subarray(start, (packet[2] << 8) | packet[3]);
      if (packet[9] === 17) {
        this.#handlers.get(`udp ${(body[2] << 8) | body[3]}`)?.(body.subarray(8));
      } else if (packet[9] === 6) {
        this.#connections.get((body[2] << 8) | body[3])?.segment(body);
      }
    }
  }

  #send(mac, type, payload) {
    const message = new Uint8Array(18 + payload.length);
    message.set([0xa2, 3, 0, 0, ...mac, ...this.#mac, type >> 8, type & 255]);
    message.set(payload, 18);
    this.#channel.send(message);
  }

  #arp(frame) {
    const operation = frame[21];
    const [mac, address, target] = [frame.slice(22, 28), frame.slice(28, 32), frame.slice(38, 42)];
    if (operation === 2) {
      this.#handlers.get(`arp ${address.join(".")}`)?.([...mac]);
    } else if (target.join() === this.#address.join()) {
      this.#send(mac, 0x0806, [0, 1, 8, 0, 6, 4, 0, 2, ...this.#mac, ...this.#address, ...mac, ...address]);
    }
  }

  #resolveMAC(address) {
    const answer = new Promise((resolve) => this.#handlers.set(`arp ${address.join(".")}`, resolve));
    const everybody = [255, 255, 255, 255, 255, 255];
    const nobody = [0, 0, 0, 0, 0, 0];
    this.#send(everybody, 0x0806, [0, 1, 8, 0, 6, 4, 0, 1, ...this.#mac, ...this.#address, ...nobody, ...address]);
    return answer;
  }

  // Sends an IPv4 packet whose payload has its checksum at an offset.
  packet(protocol, target, body, checksumAt) {
    const whole = new Uint8Array(20 + body.length);
    whole.set([0x45, 0, whole.length >> 8, whole.length & 255, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
    whole.set(this.#address, 12);
    whole.set(target, 16);
    whole.set(body, 20);
    put16(whole, 10, ~sum(whole.subarray(0, 20), 0) & 0xffff);
    const pseudo = sum(whole.subarray(12, 20), protocol + body.length);
    put16(whole, 20 + checksumAt, ~sum(whole.subarray(20), pseudo) & 0xffff || 0xffff);
    this.#send(this.#gatewayMAC, 0x0800, whole);
  }

  #exchange(localPort, target, port, payload) {
    const answer = new Promise((resolve) => this.#handlers.set(`udp ${localPort}`, resolve));
    const size = payload.length + 8;
    const head = [localPort >> 8, localPort & 255, port >> 8, port & 255, size >> 8, size & 255, 0, 0];
    this.packet(17, target, Uint8Array.from([...head, ...payload]), 6);
    return answer;
  }

  async #dhcp(options) {
    const message = new Uint8Array(300);
    message.set([1, 1, 6, 0, 0xab, 0xcd, 0xef, 1, 0, 0, 0x80, 0]);
    message.set(this.#mac, 28);
    message.set([0x63, 0x82, 0x53, 0x63, ...options, 55, 2, 3, 6, 255], 236);
    const answer = await this.#exchange(68, [255, 255, 255, 255], 67, message);
    const found = new Map();
    for (let at = 240; answer[at] !== 255 && at < answer.length; at += 2 + answer[at + 1]) {
      found.set(answer[at], answer.slice(at + 2, at + 2 + answer[at + 1]));
    }
    return { yours: answer.slice(16, 20), options: found };
  }
};

function put16(bytes, at, value) {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 255;
}

function sum(bytes, start) {
  let total = start;
  for (let at = 0; at + 1 < bytes.length; at += 2) {
    total += (bytes[at] << 8) | bytes[at + 1];
  }
  if (bytes.length % 2) {
    total += bytes[bytes.length - 1] << 8;
  }
  while (total > 0xffff) {
    total = (total & 0xffff) + Math.floor(total / 0x10000);
  }
  return total;
}

const FIN = 1;
const SYN = 2;
const PSH = 8;
const ACK = 16;
const WINDOW_SHIFT = 4;
const MSS = 1_460;

class Connection {
  #guest;
  #target;
  #port;
  #sequence = 1_000;
  #acknowledged = 1_000;
  #expected = 0;
  #window = 0;
  #shift = 0;
  #unacknowledged = 0;
  #parts = [];
  #size = 0;
  #open;
  #progress = () => undefined;
  #ended;
  #hasEnded = false;

  constructor(guest, target, port, localPort) {
    this.#guest = guest;
    this.#target = target;
    this.#port = port;
    this.localPort = localPort;
  }

  async run(pieces, expected = Infinity) {
    this.limit = expected;
    const ended = new Promise((resolve) => (this.#ended = resolve));
    const opened = new Promise((resolve) => (this.#open = resolve));
    this.#send(SYN, [2, 4, MSS >> 8, MSS & 255, 1, 3, 3, WINDOW_SHIFT]);
    await opened;
    for (const piece of pieces) {
      await this.#write(piece);
    }
    await ended;
    this.#send(FIN | ACK);
    const whole = new Uint8Array(this.#size);
    let at = 0;
    for (const part of this.#parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  async #write(bytes) {
    for (let at = 0; at < bytes.length; ) {
      const room = this.#window - (this.#sequence - this.#acknowledged);
      const busy = this.#guest.busy();
      if (room < MSS || busy) {
        await new Promise((resolve) => {
          this.#progress = resolve;
          if (busy || room <= 0) {
            setTimeout(resolve, 5);
          }
        });
        continue;
      }
      const piece = bytes.subarray(at, at + MSS);
      this.#send(ACK | PSH, [], piece);
      this.#sequence += piece.length;
      at += piece.length;
    }
  }

  segment(body) {
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    const flags = body[13];
    const sequence = view.getUint32(4);
    const data = body.subarray((body[12] >> 4) * 4);
    if (flags & 4) {
      this.#finish();
      return;
    }
    if (flags & SYN) {
      this.#expected = (sequence + 1) >>> 0;
      this.#sequence += 1;
      this.#shift = shiftOf(body);
      this.#acknowledged = view.getUint32(8);
      this.#window = view.getUint16(14);
      this.#send(ACK);
      this.#open();
      return;
    }
    if (flags & ACK) {
      this.#acknowledged = view.getUint32(8);
      this.#window = view.getUint16(14) << this.#shift;
      this.#progress();
    }
    if (sequence !== this.#expected) {
      this.#send(ACK);
      return;
    }
    if (data.length) {
      this.#parts.push(data.slice());
      this.#size += data.length;
      this.#expected = (this.#expected + data.length) >>> 0;
      this.#unacknowledged += 1;
    }
    if (flags & FIN) {
      this.#expected = (this.#expected + 1) >>> 0;
    }
    if (flags & FIN || this.#unacknowledged >= 2 || flags & PSH) {
      this.#send(ACK);
    }
    if (flags & FIN || this.#size >= this.limit) {
      this.#finish();
    }
  }

  #finish() {
    if (!this.#hasEnded) {
      this.#hasEnded = true;
      this.#ended();
    }
  }

  #send(flags, options = [], data = new Uint8Array()) {
    const header = 20 + options.length;
    const body = new Uint8Array(header + data.length);
    const view = new DataView(body.buffer);
    view.setUint16(0, this.localPort);
    view.setUint16(2, this.#port);
    view.setUint32(4, this.#sequence);
    view.setUint32(8, this.#expected);
    body[12] = (header / 4) << 4;
    body[13] = flags;
    view.setUint16(14, 0xffff);
    body.set(options, 20);
    body.set(data, header);
    this.#unacknowledged = 0;
    this.#guest.packet(6, this.#target, body, 16);
  }
}

function shiftOf(body) {
  const end = (body[12] >> 4) * 4;
  for (let at = 20; at < end && body[at]; at += body[at] === 1 ? 1 : body[at + 1]) {
    if (body[at] === 3) {
      return body[at + 2];
    }
  }
  return 0;
}
