// UDP and WebRTC: /webrtc/ice, /webrtc/signal, /udp and a data channel.

import { address } from "./address.js";
import { converse, request, unexpected } from "./exchange.js";
import { run } from "./page.js";
import { bad, ok, since, warn } from "./results.js";

// A relay accepts the upgrade before it looks at the credential, so "open" alone proves nothing.
const SIGNAL_SETTLE = 300;
const GATHERING_TIMEOUT = 3_000;
const CHANNEL_TIMEOUT = 10_000;

/** Where a relay endpoint is, and the credential to show there. */
function relayEndpoint(session, name, path, family) {
  const relay = session.udpRelay ?? {};
  const base = String(relay.baseUrl ?? "").replace(/\/+$/, "");
  return address(`${base}${relay.endpoints?.[name] ?? path}`, family);
}

function relaySocket(session, name, path) {
  const url = relayEndpoint(session, name, path, "ws");
  if (session.udpRelay?.token) {
    url.searchParams.set("token", session.udpRelay.token);
  }
  return url;
}

function relayHeaders(session) {
  const token = session.udpRelay?.token;
  return token ? { authorization: `Bearer ${token}`, "x-api-key": token } : {};
}

async function checkICE(session) {
  const start = performance.now();
  const response = await request(relayEndpoint(session, "webrtcIce", "/webrtc/ice", "http"), {
    headers: relayHeaders(session),
  });
  if (!response.ok) {
    return unexpected(response);
  }
  const servers = (await response.json().catch(() => null))?.iceServers;
  if (!Array.isArray(servers)) {
    return bad("the answer has no iceServers", `unexpected (${response.status})`);
  }
  return { ...ok(`${servers.length === 1 ? "1 server" : `${servers.length} servers`}, ${since(start)}`), servers };
}

function checkSignal(session) {
  const start = performance.now();
  return converse(
    relaySocket(session, "webrtcSignal", "/webrtc/signal"),
    [],
    (socket, settle) => {
      const took = since(start);
      socket.addEventListener("message", ({ data }) => settle(bad(complaint(data))));
      setTimeout(() => settle(ok(took)), SIGNAL_SETTLE);
    },
    "no signaling connection",
  );
}

function checkUDP(session) {
  const start = performance.now();
  return converse(
    relaySocket(session, "udp", "/udp"),
    [],
    (socket, settle) => {
      socket.addEventListener("message", ({ data }) => {
        settle(parsed(data)?.type === "ready" ? ok(since(start)) : bad(complaint(data)));
      });
    },
    "no datagram connection",
  );
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const complaint = (data) => String(parsed(data)?.message ?? "unexpected message");

/** Resolve when `ready()` holds, looking at each `event` of `target`; reject after `timeout` milliseconds. */
function reached(target, event, ready, timeout) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new DOMException("too slow", "TimeoutError")), timeout);
    const look = () => {
      if (ready()) {
        clearTimeout(timer);
        resolve();
      }
    };
    target.addEventListener(event, look);
    look();
  });
}

async function checkDataChannel(session, iceServers) {
  const start = performance.now();
  const peer = new RTCPeerConnection({ iceServers });
  try {
    const channel = peer.createDataChannel("udp", { ordered: false, maxRetransmits: 0 });
    await peer.setLocalDescription();
    // Slow STUN servers are no reason to fail: the candidates found so far go out.
    await reached(peer, "icegatheringstatechange", () => peer.iceGatheringState === "complete", GATHERING_TIMEOUT)
      .catch(() => undefined);
    const response = await request(relayEndpoint(session, "webrtcOffer", "/webrtc/offer", "http"), {
      method: "POST",
      headers: { "content-type": "application/json", ...relayHeaders(session) },
      body: JSON.stringify({ sdp: { type: "offer", sdp: peer.localDescription.sdp } }),
    });
    if (!response.ok) {
      return unexpected(response);
    }
    await peer.setRemoteDescription((await response.json()).sdp);
    try {
      await reached(channel, "open", () => channel.readyState === "open", CHANNEL_TIMEOUT);
    } catch {
      return bad("the offer was answered, but no UDP gets through", "timeout");
    }
    return ok(since(start));
  } finally {
    peer.close();
  }
}

/** A connection that carries no datagram anywhere is no success: say so. */
function limited(session, result) {
  if (result.state !== "ok" || session.limits?.udp?.destinations !== "none") {
    return result;
  }
  return warn("the connection works, but the server permits no destination (ALLOW_UDP_CIDRS)", "all denied");
}

/** One relay session at a time: the checks that hold one follow each other. */
export async function checkRelay(session) {
  const [ice] = await Promise.all([
    run("ice", () => checkICE(session)),
    run("signal", () => checkSignal(session)),
    run("udp", async () => limited(session, await checkUDP(session))),
  ]);
  await run("datachannel", async () => limited(session, await checkDataChannel(session, ice.servers ?? [])));
}
