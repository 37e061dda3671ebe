// DNS over HTTPS: /dns-json and /dns-query.

import { BASE, address } from "./address.js";
import { request, unexpected } from "./exchange.js";
import { bad, ok, since } from "./results.js";

const RCODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/** The page's own host when that is a name, since the server can at least be asked about it. */
function lookupName() {
  const host = location.hostname;
  return host === "" || host.startsWith("[") || /^[\d.]+$/.test(host) ? "localhost" : host;
}

const rcodeName = (code) => RCODES[code] ?? `RCODE ${code}`;

/** Reachable is what counts: a name that does not resolve here is an answer all the same. */
export async function checkDNSJSON(session) {
  const name = lookupName();
  const url = address(session.endpoints?.dnsJson ?? `${BASE}/dns-json`, "http");
  url.searchParams.set("name", name);
  url.searchParams.set("type", "A");
  const start = performance.now();
  const response = await request(url, { headers: { accept: "application/dns-json" } });
  if (response.status !== 200) {
    return unexpected(response);
  }
  const answer = await response.json().catch(() => null);
  if (typeof answer?.Status !== "number") {
    return bad("the answer has no Status", "unexpected (200)");
  }
  return ok(`${name}: ${rcodeName(answer.Status)}, ${since(start)}`);
}

/** A query for the A records of a name, recursion desired. */
function dnsQuery(id, name) {
  const labels = name.split(".").filter((label) => label !== "");
  const question = labels.flatMap((label) => [label.length, ...new TextEncoder().encode(label)]);
  return new Uint8Array([id >> 8, id & 0xff, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, ...question, 0, 0, 1, 0, 1]);
}

const base64url = (data) =>
  btoa(String.fromCharCode(...data)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

export async function checkDNSQuery(session) {
  const name = lookupName();
  const id = crypto.getRandomValues(new Uint16Array(1))[0];
  const url = address(session.endpoints?.dnsQuery ?? `${BASE}/dns-query`, "http");
  url.searchParams.set("dns", base64url(dnsQuery(id, name)));
  const start = performance.now();
  const response = await request(url, { headers: { accept: "application/dns-message" } });
  if (response.status !== 200) {
    return bad("", `unexpected (${response.status})`);
  }
  const message = new DataView(await response.arrayBuffer());
  if (message.byteLength < 12 || message.getUint16(0) !== id) {
    return bad("the answer is not to this question", "unexpected (200)");
  }
  return ok(`${name}: ${rcodeName(message.getUint8(3) & 0x0f)}, ${since(start)}`);
}
