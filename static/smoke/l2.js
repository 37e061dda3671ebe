// Ethernet over WebSocket: /l2.

import { BASE, address, option } from "./address.js";
import { converse } from "./exchange.js";
import { bad, ok, since } from "./results.js";

const L2_PROTOCOL = "aero-l2-tunnel-v1";
// What RFC 9110 allows in a token, which is what a subprotocol has to be.
const HEADER_TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

export async function checkL2(session) {
  const token = option("l2Token");
  const transport = option("l2TokenTransport") ?? "subprotocol";
  const url = address(session?.endpoints?.l2 ?? `${BASE}/l2`, "ws");
  const protocols = [L2_PROTOCOL];
  if (token && (transport === "query" || transport === "both")) {
    url.searchParams.set("token", token);
  }
  if (token && transport !== "query") {
    if (!HEADER_TOKEN.test(token)) {
      return bad("the token holds characters a subprotocol cannot carry; add l2TokenTransport=query");
    }
    protocols.push(`aero-l2-token.${token}`);
  }
  const start = performance.now();
  const result = await converse(
    url,
    protocols,
    (socket, settle) => {
      const chosen = socket.protocol;
      settle(chosen === L2_PROTOCOL ? ok(since(start)) : bad(`the server chose the protocol "${chosen}"`));
    },
    token ? "the server did not accept the token, or cannot be reached" : "if it asks for a token, add #l2Token=…",
  );
  return session === null ? { ...result, value: `${result.value} (no session)` } : result;
}
