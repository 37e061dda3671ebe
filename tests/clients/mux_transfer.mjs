// Exchanges bytes over many streams of one /tcp-mux WebSocket, and prints what came of it as one
// line of JSON.
//
//     node mux_transfer.mjs URL COOKIE '{"host", "port", "streams", "size"}' [CA-FILE]

import { readFileSync } from "node:fs";
import WebSocket from "ws";
import { exchange } from "./mux_streams.js";

const [url, cookie, wanted, ca] = process.argv.slice(2);
const socket = new WebSocket(url, "aero-tcp-mux-v1", {
  headers: { Cookie: cookie },
  ...(ca ? { ca: readFileSync(ca) } : {}),
});
socket.binaryType = "arraybuffer";
await new Promise((resolve, reject) => {
  socket.once("open", resolve);
  socket.once("error", reject);
});
console.log(JSON.stringify(await exchange(socket, JSON.parse(wanted))));
