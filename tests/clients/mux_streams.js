// Many streams at once over one WebSocket that speaks aero-tcp-mux-v1, for Node and for a page.
// Each stream goes to an echo server; what it sends follows from its number, so that the hashes
// of what was sent and of what came back can be made one stream at a time.

const OPEN = 1, DATA = 2, CLOSE = 3, ERROR = 4, PING = 5, PONG = 6;
const CHUNK = 16_384;
const MESSAGE = 65_536;
const HIGH_WATER = 8 << 20;

function frame(kind, stream, payload) {
  const made = new Uint8Array(9 + payload.length);
  const head = new DataView(made.buffer);
  head.setUint8(0, kind);
  head.setUint32(1, stream);
  head.setUint32(5, payload.length);
  made.set(payload, 9);
  return made;
}

function openFrame(stream, host, port) {
  const name = new TextEncoder().encode(host);
  const payload = new Uint8Array(6 + name.length);
  const view = new DataView(payload.buffer);
  view.setUint16(0, name.length);
  payload.set(name, 2);
  view.setUint16(2 + name.length, port);
  return frame(OPEN, stream, payload);
}

// One chunk of what a stream sends: xorshift32, seeded by stream and place.
function chunkOf(stream, place, size) {
  const words = new Uint32Array(CHUNK / 4);
  let state = (stream * 65_537 + place * 257 + 1) >>> 0;
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  return new Uint8Array(words.buffer, 0, Math.min(CHUNK, size - place * CHUNK));
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Gathers small frames into messages, and waits while the socket has enough to send.
class Sender {
  constructor(socket) {
    this.socket = socket;
    this.parts = [];
    this.size = 0;
  }

  async write(bytes) {
    this.parts.push(bytes);
    this.size += bytes.length;
    if (this.size >= MESSAGE) await this.flush();
  }

  async flush() {
    const message = new Uint8Array(this.size);
    let at = 0;
    for (const part of this.parts) {
      message.set(part, at);
      at += part.length;
    }
    this.parts = [];
    this.size = 0;
    this.socket.send(message);
    while (this.socket.bufferedAmount > HIGH_WATER) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

// Calls received(kind, stream, payload) for each frame of a stream of bytes.
class Parser {
  constructor(received) {
    this.received = received;
    this.rest = new Uint8Array(0);
  }

  push(bytes) {
    let data = bytes;
    if (this.rest.length) {
      data = new Uint8Array(this.rest.length + bytes.length);
      data.set(this.rest);
      data.set(bytes, this.rest.length);
    }
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    let at = 0;
    while (data.length - at >= 9) {
      const end = at + 9 + view.getUint32(at + 5);
      if (end > data.length) break;
      this.received(view.getUint8(at), view.getUint32(at + 1), data.subarray(at + 9, end));
      at = end;
    }
    this.rest = data.slice(at);
  }
}

// Opens the streams on a WebSocket that is open, has each send `size` bytes and its end, takes
// what comes until its end, and closes. Gives the hashes in the order of the streams' numbers,
// what went wrong, and how the WebSocket was closed.
export async function exchange(socket, { host, port, streams, size }) {
  const received = new Map();
  const errors = [];
  let open = streams;
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  const closed = new Promise((resolve) => {
    socket.addEventListener("close", ({ code, reason }) => {
      if (open) errors.push(`closed with ${code} ${reason}, ${open} streams open`);
      finish();
      resolve(code);
    });
  });
  const ended = () => {
    open -= 1;
    if (!open) finish();
  };
  const parser = new Parser((kind, stream, payload) => {
    const mine = received.get(stream);
    if (kind === DATA) {
      mine.bytes.set(payload, mine.taken);
      mine.taken += payload.length;
    } else if (kind === CLOSE) {
      ended();
    } else if (kind === ERROR) {
      errors.push(`stream ${stream}: ${new TextDecoder().decode(payload.subarray(4))}`);
      ended();
    } else if (kind === PING) {
      socket.send(frame(PONG, stream, payload));
    }
  });
  socket.addEventListener("message", ({ data }) => parser.push(new Uint8Array(data)));

  const sender = new Sender(socket);
  const started = performance.now();
  for (let stream = 1; stream <= streams; stream++) {
    received.set(stream, { bytes: new Uint8Array(size), taken: 0 });
    await sender.write(openFrame(stream, host, port));
  }
  const chunks = Math.ceil(size / CHUNK);
  for (let place = 0; place < chunks && !errors.length; place++) {
    for (let stream = 1; stream <= streams; stream++) {
      await sender.write(frame(DATA, stream, chunkOf(stream, place, size)));
    }
  }
  for (let stream = 1; stream <= streams; stream++) {
    await sender.write(frame(CLOSE, stream, new Uint8Array([1])));
  }
  await sender.flush();
  await finished;
  const seconds = (performance.now() - started) / 1000;
  socket.close(1000);

  const hashes = { sent: [], received: [] };
  const whole = new Uint8Array(size);
  for (let stream = 1; stream <= streams; stream++) {
    for (let place = 0; place < chunks; place++) {
      whole.set(chunkOf(stream, place, size), place * CHUNK);
    }
    hashes.sent.push(await sha256(whole));
    const { bytes, taken } = received.get(stream);
    hashes.received.push(await sha256(bytes.subarray(0, taken)));
    received.delete(stream);
  }
  return { ...hashes, errors, seconds, code: await closed };
}
