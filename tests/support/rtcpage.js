// What the tests do in a page of the relay: connections, channels, messages.

window.rtc = (() => {
  const peers = new Map();

  const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

  function within(promise, milliseconds, what) {
    const late = wait(milliseconds).then(() => {
      throw new Error(`${what} took more than ${milliseconds} ms`);
    });
    return Promise.race([promise, late]);
  }

  const OPTIONS = { udp: { ordered: false, maxRetransmits: 0 }, l2: { ordered: true } };

  function channel(peer, label, options) {
    const opened = peer.connection.createDataChannel(label, options ?? OPTIONS[label] ?? {});
    opened.binaryType = "arraybuffer";
    const entry = { channel: opened, queue: [], waiting: [], events: [] };
    opened.addEventListener("message", ({ data }) => {
      const waiting = entry.waiting.shift();
      if (waiting) {
        waiting(data);
      } else {
        entry.queue.push(data);
      }
    });
    for (const name of ["open", "close", "error"]) {
      opened.addEventListener(name, () => entry.events.push(name));
    }
    return entry;
  }

  const reached = (target, event, ready) =>
    new Promise((resolve) => {
      const look = () => ready() && resolve();
      target.addEventListener(event, look);
      look();
    });

  function url(path, query, scheme) {
    const made = new URL(path, location.href);
    made.protocol = scheme;
    for (const [name, value] of Object.entries(query ?? {})) {
      made.searchParams.set(name, value);
    }
    return made;
  }

  // Through the WebSocket, candidates as they come.
  async function trickle(peer, { query, auth, mangle }) {
    const socket = new WebSocket(url("/webrtc/signal", query, "ws:"));
    peer.socket = socket;
    peer.messages = [];
    peer.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
    });
    await reached(socket, "open", () => socket.readyState === WebSocket.OPEN);
    if (auth) {
      socket.send(JSON.stringify({ type: "auth", ...auth }));
    }
    const answered = new Promise((resolve, reject) => {
      socket.addEventListener("message", async ({ data }) => {
        const message = JSON.parse(data);
        peer.messages.push(message);
        if (message.type === "answer") {
          resolve(message.sdp.sdp);
        } else if (message.type === "candidate") {
          await peer.connection.addIceCandidate(message.candidate);
        } else {
          reject(new Error(`${message.code}: ${message.message}`));
        }
      });
      socket.addEventListener("close", ({ code }) => reject(new Error(`closed: ${code}`)));
    });
    answered.catch(() => undefined);
    peer.connection.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate && socket.readyState === WebSocket.OPEN) {
        const { sdpMid, sdpMLineIndex } = candidate;
        const told = { candidate: candidate.candidate, sdpMid, sdpMLineIndex };
        socket.send(JSON.stringify({ type: "candidate", candidate: told }));
      }
    });
    const offer = await peer.connection.createOffer();
    socket.send(JSON.stringify({ type: "offer", sdp: { type: "offer", sdp: offer.sdp } }));
    await peer.connection.setLocalDescription(offer);
    const sdp = await answered;
    peer.answer = sdp;
    await peer.connection.setRemoteDescription({ type: "answer", sdp: mangled(sdp, mangle) });
  }

  // With one request.
  async function post(peer, { via, headers, query, mangle, drop }) {
    await peer.connection.setLocalDescription();
    await within(
      reached(
        peer.connection,
        "icegatheringstatechange",
        () => peer.connection.iceGatheringState === "complete",
      ),
      3_000,
      "gathering",
    ).catch(() => undefined);
    const offer = { type: "offer", sdp: peer.connection.localDescription.sdp };
    const path = via === "legacy" ? "/offer" : "/webrtc/offer";
    const body = via === "legacy" ? { version: 1, offer } : via === "bare" ? offer : { sdp: offer };
    const response = await fetch(url(path, query, "http:"), {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) {
      throw new Error(`${response.status} ${answer.code}: ${answer.message}`);
    }
    const { sdp } = via === "legacy" ? answer.answer : answer.sdp;
    peer.answer = sdp;
    peer.sessionId = answer.sessionId;
    const kept = sdp.split("\r\n").filter((line) => !drop || !line.includes(drop));
    const seen = mangled(kept.join("\r\n"), mangle);
    await peer.connection.setRemoteDescription({ type: "answer", sdp: seen });
  }

  // Makes the browser believe that longer messages are welcome.
  const mangled = (sdp, size) =>
    size ? sdp.replace(/a=max-message-size:\d+/, `a=max-message-size:${size}`) : sdp;

  // One connection with its channels, until they are open.
  async function connect({ peer: name = "0", via = "signal", labels = ["udp"], ...options }) {
    const connection = new RTCPeerConnection(options.configuration ?? { iceServers: [] });
    const peer = { connection, channels: new Map(), states: [] };
    peers.set(name, peer);
    connection.addEventListener("connectionstatechange", () => {
      peer.states.push(connection.connectionState);
    });
    for (const label of labels) {
      peer.channels.set(label, channel(peer, label, options.channels?.[label]));
    }
    const start = performance.now();
    await (via === "signal" ? trickle(peer, options) : post(peer, { via, ...options }));
    if (options.open !== false) {
      for (const entry of peer.channels.values()) {
        const opened = reached(entry.channel, "open", () => entry.channel.readyState === "open");
        await within(opened, options.timeout ?? 15_000, "opening");
      }
    }
    const took = performance.now() - start;
    return { took, answer: peer.answer, sessionId: peer.sessionId };
  }

  const entryOf = ({ peer = "0", label }) => peers.get(peer).channels.get(label);

  function send({ messages, ...which }) {
    for (const message of messages) {
      entryOf(which).channel.send(new Uint8Array(message));
    }
  }

  function sendText({ text, ...which }) {
    entryOf(which).channel.send(text);
  }

  async function receive({ timeout = 10_000, ...which }) {
    const entry = entryOf(which);
    if (entry.queue.length) {
      return [...new Uint8Array(entry.queue.shift())];
    }
    let settle;
    const next = new Promise((resolve) => {
      settle = resolve;
      entry.waiting.push(resolve);
    });
    const found = await Promise.race([next, wait(timeout).then(() => null)]);
    if (found === null) {
      entry.waiting = entry.waiting.filter((waiting) => waiting !== settle);
      return null;
    }
    return [...new Uint8Array(found)];
  }

  // One more channel on a connection that is there.
  async function add({ peer: name = "0", label, key = label, options, open = true }) {
    const peer = peers.get(name);
    const entry = channel(peer, label, options);
    peer.channels.set(key, entry);
    if (open) {
      const opened = reached(entry.channel, "open", () => entry.channel.readyState === "open");
      await within(opened, 10_000, "opening");
    }
  }

  // Waits until a channel is closed; says how long that took.
  async function closed({ timeout = 10_000, ...which }) {
    const { channel: watched } = entryOf(which);
    const start = performance.now();
    const ended = reached(watched, "close", () => watched.readyState === "closed");
    await within(ended, timeout, "closing");
    return performance.now() - start;
  }

  // Waits until a connection is in a state.
  async function state({ peer: name = "0", states, timeout = 10_000 }) {
    const { connection } = peers.get(name);
    const there = reached(connection, "connectionstatechange", () =>
      states.includes(connection.connectionState),
    );
    await within(there, timeout, `${states} from ${connection.connectionState}`);
    return connection.connectionState;
  }

  const inspect = ({ peer: name = "0" }) => {
    const peer = peers.get(name);
    return {
      state: peer.connection.connectionState,
      ice: peer.connection.iceConnectionState,
      messages: peer.messages ?? [],
      channels: Object.fromEntries(
        [...peer.channels].map(([label, { channel: one }]) => [label, one.readyState]),
      ),
    };
  };

  function close({ peer: name = "0" }) {
    peers.get(name).connection.close();
  }

  function closeChannel(which) {
    entryOf(which).channel.close();
  }

  async function closeSocket({ peer: name = "0" }) {
    const peer = peers.get(name);
    peer.socket.close();
    return peer.closed;
  }

  const socketClosed = ({ peer: name = "0" }) => within(peers.get(name).closed, 10_000, "closing");

  // Echoes: `count` messages at `rate` a second, each with its number; what came back, and when.
  async function burst({ count, rate, size, header, ...which }) {
    const entry = entryOf(which);
    const sent = new Float64Array(count);
    const trips = [];
    entry.channel.onmessage = ({ data }) => {
      const number = new DataView(data).getUint32(header.length);
      trips.push(performance.now() - sent[number]);
    };
    const message = new Uint8Array(header.length + size);
    message.set(header);
    const view = new DataView(message.buffer);
    const start = performance.now();
    for (let number = 0; number < count; ) {
      const due = Math.min(count, ((performance.now() - start) * rate) / 1000);
      for (; number < due; number++) {
        view.setUint32(header.length, number);
        sent[number] = performance.now();
        entry.channel.send(message);
      }
      await wait(1);
    }
    const took = performance.now() - start;
    await wait(1_000);
    trips.sort((a, b) => a - b);
    const at = (part) => trips[Math.min(trips.length - 1, Math.floor(trips.length * part))];
    return { sent: count, got: trips.length, took, p50: at(0.5), p99: at(0.99), max: at(1) };
  }

  // Ethernet: DHCP, names, a download and the upload of the same bytes.
  async function transfer({ host, name, size, label = "l2", ...which }) {
    const guest = new L2Guest(entryOf({ label, ...which }).channel);
    const pong = await guest.ping();
    const lease = await guest.configure();
    const address = name ? await guest.lookUp(name) : null;
    const encode = (text) => new TextEncoder().encode(text);
    const target = host.split(".").map(Number);
    const start = performance.now();
    const get = encode(`GET /${size} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    const response = await guest.request(target, 80, [get]);
    const seconds = (performance.now() - start) / 1000;
    const body = bodyOf(response);
    const put = encode(
      `PUT / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`,
    );
    const begun = performance.now();
    const stored = await guest.request(target, 80, [put, body]);
    return {
      pong,
      lease,
      address,
      size: body.length,
      down: (body.length * 8) / seconds / 1e6,
      up: (body.length * 8) / (performance.now() - begun) / 1e3,
      digest: new TextDecoder().decode(bodyOf(stored)),
    };
  }

  function bodyOf(response) {
    for (let at = 0; at + 3 < response.length; at++) {
      if (response[at] === 13 && response[at + 1] === 10 && response[at + 2] === 13) {
        return response.subarray(at + 4);
      }
    }
    throw new Error("no response");
  }

  return {
    add,
    burst,
    close,
    closeChannel,
    closeSocket,
    closed,
    connect,
    entryOf,
    inspect,
    peers,
    receive,
    send,
    sendText,
    socketClosed,
    state,
    transfer,
    wait,
    within,
  };
})();
