// Sends and takes a number of bytes through one /tcp tunnel, both at once, and prints what
// came of it as one line of JSON.
//
//     node tcp_transfer.mjs URL COOKIE BYTES [CA-FILE]

import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import WebSocket from "ws";

const [url, cookie, bytes, ca] = process.argv.slice(2);
const size = Number(bytes);
const HIGH_WATER = 4 << 20;

const socket = new WebSocket(url, {
  headers: { Cookie: cookie },
  ...(ca ? { ca: readFileSync(ca) } : {}),
});

const sent = createHash("sha256");
const received = createHash("sha256");
let taken = 0;

async function send() {
  const block = randomBytes(256 << 10);
  for (let left = size; left > 0; ) {
    const piece = block.subarray(0, Math.min(left, block.length));
    piece.writeUInt32LE(left >>> 0, 0);
    sent.update(piece);
    left -= piece.length;
    const copy = Buffer.from(piece);
    await new Promise((resolve, reject) => {
      socket.send(copy, (error) => (error ? reject(error) : resolve()));
      if (socket.bufferedAmount < HIGH_WATER) resolve();
    });
  }
}

socket.on("open", () => send().catch((error) => console.error(error)));
socket.on("message", (data, isBinary) => {
  if (!isBinary) throw new Error("a text message");
  received.update(data);
  taken += data.length;
});
socket.on("error", (error) => console.error(String(error)));
socket.on("close", (code, reason) => {
  console.log(
    JSON.stringify({
      code,
      reason: reason.toString(),
      taken,
      sent: sent.digest("hex"),
      received: received.digest("hex"),
    }),
  );
});
