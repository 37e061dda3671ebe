// One request, or one WebSocket conversation, and what to say when it goes wrong.

import { bad } from "./results.js";

export const SOCKET_TIMEOUT = 5_000;
const FETCH_TIMEOUT = 10_000;

export function request(url, init = {}) {
  return fetch(url, { cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(FETCH_TIMEOUT), ...init });
}

/** The words a refusal came with, if it had any. */
async function refusal(response) {
  const text = await response.text().catch(() => "");
  try {
    const body = JSON.parse(text);
    return String(body.message ?? body.error ?? "");
  } catch {
    return text.length <= 120 && !text.includes("<") ? text.trim() : "";
  }
}

export const unexpected = async (response) => bad(await refusal(response), `unexpected (${response.status})`);

/**
 * Open a WebSocket and settle once: `opened(socket, settle)` runs when it opened and settles when it has seen enough.
 * The socket is closed before the promise resolves, so that what it held on the server is free again.
 */
export function converse(url, protocols, opened, failure) {
  return new Promise((resolve) => {
    let socket;
    let result = null;
    const settle = (outcome) => {
      if (result !== null) {
        return;
      }
      result = outcome;
      clearTimeout(timer);
      if (socket === undefined || socket.readyState === WebSocket.CLOSED) {
        resolve(result);
        return;
      }
      socket.addEventListener("close", () => resolve(result));
      setTimeout(() => resolve(result), 1_000);
      socket.close();
    };
    const timer = setTimeout(() => settle(bad(failure, "timeout")), SOCKET_TIMEOUT);
    try {
      socket = new WebSocket(url, protocols);
    } catch {
      // The browser's own words may quote the address, and with it a token.
      settle(bad("the browser does not take this address"));
      return;
    }
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => opened(socket, settle));
    socket.addEventListener("error", () => settle(bad(failure)));
    socket.addEventListener("close", ({ code, reason }) => settle(bad(`closed with ${code} ${reason}`.trim())));
  });
}

export function describe(error) {
  if (error?.name === "TimeoutError") {
    return `no answer within ${FETCH_TIMEOUT / 1000} s`;
  }
  return error instanceof TypeError ? "the server could not be reached" : String(error?.message ?? error);
}
