// Checks that need no service: what the page's headers let this browser do.

import { SOCKET_TIMEOUT } from "./exchange.js";
import { bad, ok } from "./results.js";

const EMPTY_MODULE = new Uint8Array([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);

export function checkIsolation() {
  const isolated = window.crossOriginIsolated === true;
  return isolated ? ok("", "true") : bad("COOP or COEP is missing or wrong on this page", String(window.crossOriginIsolated));
}

export function checkSharedMemory() {
  const type = typeof SharedArrayBuffer;
  return type === "undefined" ? bad("browsers hide it from pages that are not isolated", type) : ok("", type);
}

export async function checkWebAssembly() {
  try {
    await WebAssembly.compile(EMPTY_MODULE);
    return ok();
  } catch (error) {
    return bad(String(error?.message ?? error));
  }
}

/** Start a worker, have it answer once, and see its write to shared memory where there is any. */
function startWorker(url, options) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(url, options);
    const shared = typeof SharedArrayBuffer === "undefined" ? null : new Int32Array(new SharedArrayBuffer(4));
    const timer = setTimeout(() => finish(reject, new Error("did not start")), SOCKET_TIMEOUT);
    const finish = (settle, value) => {
      clearTimeout(timer);
      worker.terminate();
      settle(value);
    };
    worker.onmessage = () => {
      if (shared !== null && Atomics.load(shared, 0) !== 1) {
        finish(reject, new Error("does not share memory"));
      } else {
        finish(resolve, shared !== null);
      }
    };
    worker.onerror = (event) => {
      event.preventDefault();
      finish(reject, new Error("did not start"));
    };
    worker.postMessage(shared ?? "hello");
  });
}

export async function checkWorkers() {
  const file = new URL("../worker.js", import.meta.url);
  const source = "onmessage=(e)=>{if(e.data instanceof Int32Array)Atomics.add(e.data,0,1);postMessage(0)}";
  const blob = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const [fromFile, fromBlob] = await Promise.allSettled([startWorker(file, { type: "module" }), startWorker(blob)]);
  URL.revokeObjectURL(blob);
  const problems = [["module worker", fromFile], ["blob: worker", fromBlob]]
    .filter(([, outcome]) => outcome.status === "rejected")
    .map(([name, outcome]) => `${name} ${outcome.reason.message}`);
  if (problems.length > 0) {
    return bad(problems.join(", "));
  }
  return ok(fromFile.value && fromBlob.value ? "both share memory" : "both started");
}

/** The text block: the three facts threads depend on, and what to look at when one is wrong. */
export function quickChecks() {
  const isolated = window.crossOriginIsolated === true;
  return [
    `secure context        ${window.isSecureContext}`,
    `crossOriginIsolated   ${isolated}`,
    `SharedArrayBuffer     ${typeof SharedArrayBuffer}`,
    "",
    "If something is wrong:",
    "1. Not a secure context: open the page over https:// with a certificate this browser trusts.",
    "2. Not isolated: a proxy in front may drop or double Cross-Origin-Opener-Policy: same-origin or " +
      "Cross-Origin-Embedder-Policy: require-corp.",
    "3. WebSockets fail: a proxy in front must pass on Upgrade, Origin, Host and Cookie unchanged.",
  ].join("\n");
}
