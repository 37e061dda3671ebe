// TCP over WebSocket: /tcp and /tcp-mux.

import { BASE, address, option } from "./address.js";
import { converse } from "./exchange.js";
import { bad, ok, since } from "./results.js";

const MUX_PROTOCOL = "aero-tcp-mux-v1";
const MUX_PING = 5;
const MUX_PONG = 6;
const MUX_HEADER = 9;

/** Split `host:port` at the last colon; brackets of an IPv6 address stay, the server takes them off. */
function tcpTarget() {
  const text = option("tcpTarget") ?? "example.com:80";
  const match = /^(.+):(\d{1,5})$/.exec(text);
  return match === null ? null : { host: match[1], port: match[2] };
}

export async function checkTCP(session) {
  const target = tcpTarget();
  if (target === null) {
    return bad("the option tcpTarget has to be host:port");
  }
  const url = address(session.endpoints?.tcp ?? `${BASE}/tcp`, "ws");
  url.searchParams.set("v", "1");
  url.searchParams.set("host", target.host);
  url.searchParams.set("port", target.port);
  const start = performance.now();
  return converse(
    url,
    [],
    (_socket, settle) => settle(ok(`to ${target.host}:${target.port}, ${since(start)}`)),
    `the server could not reach ${target.host}; add #tcpTarget=host:port to try another`,
  );
}

/** One frame: type, stream 0, length, payload; all numbers big-endian. */
function muxFrame(type, payload) {
  const frame = new Uint8Array(MUX_HEADER + payload.length);
  const view = new DataView(frame.buffer);
  view.setUint8(0, type);
  view.setUint32(5, payload.length);
  frame.set(payload, MUX_HEADER);
  return frame;
}

export async function checkTCPMux(session) {
  const url = address(session.endpoints?.tcpMux ?? `${BASE}/tcp-mux`, "ws");
  const payload = crypto.getRandomValues(new Uint8Array(4));
  const expected = muxFrame(MUX_PONG, payload);
  const received = [];
  const start = performance.now();
  return converse(
    url,
    [MUX_PROTOCOL],
    (socket, settle) => {
      // Messages are pieces of one stream; the frame may arrive in several.
      socket.addEventListener("message", ({ data }) => {
        if (typeof data === "string") {
          settle(bad("the answer to a ping was text"));
          return;
        }
        received.push(...new Uint8Array(data));
        if (received.length >= expected.length) {
          const same = expected.every((value, index) => received[index] === value);
          settle(same ? ok(`ping answered, ${since(start)}`) : bad("the answer to a ping differs from it"));
        }
      });
      socket.send(muxFrame(MUX_PING, payload));
    },
    "no multiplexed connection; a proxy in front may not pass on the subprotocol",
  );
}
