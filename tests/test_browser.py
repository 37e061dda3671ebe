"""
The server as a browser sees it: isolation, the page's own checks, and bulk data from a page.
"""

from __future__ import annotations

import atexit
import base64
import hashlib
import json
import queue
import re
import shutil
import socket
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.browser import Browser, Tab, browserFor, inBrowserThread
from .support.http import PATIENCE
from .support.server import Aero, shared
from .support.targets import Target, echo
from .support.tools import freePort

#: Rows of the page that have to be green, each for itself.
GREEN = (
    "coi",
    "sab",
    "wasm",
    "worker",
    "health",
    "session",
    "session-l2-limits",
    "ws",
    "tcp-mux",
    "ws-l2",
    "dns",
    "dns-query",
    "udp",
)

#: Bytes moved in each direction by the bulk tests, and the size of their repeated block.
BULK, BLOCK = 256 << 20, 256 << 10

#: A module that exports C{add}, of two 32-bit integers.
ADD_WASM = bytes.fromhex(
    "0061736d01000000 010701 60027f7f017f 03020100 0707010361646400 00 0a09010700200020016a0b"
)

PROBE_HTML = """<!doctype html>
<title>Probe</title>
<script type="module" src="./probe.js"></script>
<script>window.inlineScriptRan = true;</script>
"""

PROBE_JS = """
const attempt = (call) => { try { return String(call()); } catch (error) { return error.name; } };
const answer = (worker) => new Promise((resolve, reject) => {
  const shared = new Int32Array(new SharedArrayBuffer(4));
  worker.onmessage = ({ data }) => resolve([data, Atomics.load(shared, 0)]);
  worker.onerror = () => reject(new Error("worker failed"));
  worker.postMessage(shared);
});
const source = "onmessage = (e) => { Atomics.store(e.data, 0, 7); postMessage(crossOriginIsolated); };";
const blob = new Blob([source], { type: "text/javascript" });
const { instance, module } = await WebAssembly.instantiateStreaming(fetch("./add.wasm"));
window.found = {
  isolated: crossOriginIsolated,
  memory: typeof SharedArrayBuffer,
  threads: new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer.constructor.name,
  eval: attempt(() => eval("1")),
  function: attempt(() => new Function("return 1")()),
  inline: window.inlineScriptRan === true,
  streamed: (await WebAssembly.compileStreaming(fetch("./add.wasm"))) instanceof WebAssembly.Module,
  sum: instance.exports.add(40, 2),
  moduleWorker: await answer(new Worker("./worker.js", { type: "module" })),
  blobWorker: await answer(new Worker(URL.createObjectURL(blob))),
};
"""

#: The inline scripts of a page: one whose hash is allowed, and one whose is not.
HASHED_SCRIPT = "window.hashedScriptRan = true;"
OTHER_SCRIPT = "window.otherScriptRan = true;"

BLOB_HTML = f"""<!doctype html>
<title>Blobs</title>
<script>{HASHED_SCRIPT}</script>
<script>{OTHER_SCRIPT}</script>
<script src="https://foreign.invalid/script.js"></script>
<script type="module" src="./blobs.js"></script>
"""

#: What emulators do with bytes of their own. A WAV of one sample is a sound.
BLOB_JS = """
const attempt = async (call) => {
  try { return await call(); } catch (error) { return `${error.name}: ${error.message}`; }
};
const url = (type, ...parts) => URL.createObjectURL(new Blob(parts, { type }));
const settled = (element, good) => new Promise((resolve) => {
  element.addEventListener(good, () => resolve("ok"));
  element.addEventListener("error", () => resolve("error"));
});
const script = (text) => url("text/javascript", text);
const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
const sound = bytes("524946462600000057415645666d74201000000001000100401f0000401f000001000800"
  + "64617461020000008080");
const dot = bytes("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b");
window.blobs = {
  worklet: await attempt(async () => {
    const context = new AudioContext();
    await context.audioWorklet.addModule(script(
      "registerProcessor('p', class extends AudioWorkletProcessor { process() { return true; } });"));
    new AudioWorkletNode(context, "p");
    return "ok";
  }),
  fetched: await attempt(async () => (await fetch(url("text/plain", "bytes"))).text()),
  request: await attempt(() => new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("GET", url("text/plain", "bytes"));
    request.onload = () => resolve(request.responseText);
    request.onerror = () => resolve("error");
    request.send();
  })),
  imported: await attempt(async () => (await import(script("export const found = 7;"))).found),
  audio: await attempt(() => {
    const audio = document.createElement("audio");
    const done = settled(audio, "loadeddata");
    audio.src = url("audio/wav", sound);
    audio.load();
    return done;
  }),
  image: await attempt(() => {
    const image = new Image();
    const done = settled(image, "load");
    image.src = url("image/gif", dot);
    return done;
  }),
  worker: await attempt(() => new Promise((resolve) => {
    const worker = new Worker(script("postMessage('ok')"));
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = () => resolve("error");
  })),
  element: await attempt(() => {
    const element = document.createElement("script");
    const done = settled(element, "load");
    element.src = script("window.elementRan = true;");
    document.head.append(element);
    return done;
  }),
  inline: await attempt(() => {
    const element = document.createElement("script");
    element.textContent = "window.addedScriptRan = true;";
    document.head.append(element);
    return window.addedScriptRan === true;
  }),
  handler: await attempt(() => {
    const button = document.createElement("button");
    button.setAttribute("onclick", "window.handlerRan = true");
    button.click();
    return window.handlerRan === true;
  }),
  dataScript: await attempt(() => {
    const element = document.createElement("script");
    const done = settled(element, "load");
    element.src = "data:text/javascript,window.dataRan=true";
    document.head.append(element);
    return done;
  }),
  eval: await attempt(async () => eval("1")),
  frame: await attempt(() => new Promise((resolve) => {
    document.addEventListener("securitypolicyviolation", (event) => {
      if (event.effectiveDirective === "frame-src") { resolve("blocked"); }
    });
    const frame = document.createElement("iframe");
    frame.src = url("text/html", "<p>frame");
    document.body.append(frame);
  })),
  hashed: window.hashedScriptRan === true,
  other: window.otherScriptRan === true,
};
"""

PROBE_WORKER_JS = """
import { mark } from "./mark.js";
onmessage = ({ data }) => { Atomics.store(data, 0, mark); postMessage(crossOriginIsolated); };
"""

#: Opens a tunnel from the page, with the session that the page has made.
TUNNEL_JS = """
window.tunnel = (port) => {
  const url = `wss://${location.host}/tcp?v=1&host=127.0.0.1&port=${port}`;
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.closed = new Promise((resolve) => {
    socket.onclose = ({ code, reason, wasClean }) => resolve([code, reason, wasClean]);
  });
  socket.opened = new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("no tunnel"));
  });
  return socket;
};
"""

ECHO_JS = """
async ([port, text]) => {
  const socket = window.tunnel(port);
  await socket.opened;
  const answer = new Promise((resolve) => {
    let bytes = [];
    socket.onmessage = ({ data }) => {
      bytes.push(...new Uint8Array(data));
      if (bytes.length >= text.length) { resolve(new TextDecoder().decode(new Uint8Array(bytes))); }
    };
  });
  socket.send(new TextEncoder().encode(text));
  const heard = await answer;
  socket.close(1000);
  return [heard, await socket.closed];
}
"""

UPLOAD_JS = """
async ([port, size, encoded]) => {
  const block = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const number = new DataView(block.buffer);
  const socket = window.tunnel(port);
  await socket.opened;
  for (let index = 0; index < size / block.length; index++) {
    number.setUint32(0, index);
    socket.send(block);
    while (socket.bufferedAmount > 8 << 20) { await new Promise((resolve) => setTimeout(resolve, 1)); }
  }
  socket.close(1000);
  return socket.closed;
}
"""

DOWNLOAD_JS = """
async ([port, piece]) => {
  const socket = window.tunnel(port);
  const digests = [];
  let buffer = new Uint8Array(piece), filled = 0, size = 0;
  const take = (data) => {
    for (let at = 0; at < data.length; ) {
      const part = data.subarray(at, at + piece - filled);
      buffer.set(part, filled);
      at += part.length;
      filled += part.length;
      if (filled === piece) {
        digests.push(crypto.subtle.digest("SHA-256", buffer));
        filled = 0;
      }
    }
    size += data.length;
  };
  socket.onmessage = ({ data }) => take(new Uint8Array(data));
  const closed = await socket.closed;
  const hex = (digest) => [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join("");
  return [closed, size, filled, (await Promise.all(digests)).map(hex)];
}
"""


_PAGE = {"TCP_ALLOW_PRIVATE_IPS": "1", "DNS_UPSTREAMS": f"127.0.0.1:{freePort()}"}


@cache
def pageServer() -> Aero:
    """
    An edge with its own page. Nothing answers at its DNS upstream, so nothing leaves loopback.
    """
    return shared("edge", **_PAGE, ALLOW_UDP_CIDRS="192.0.2.0/24")


@cache
def deniedServer() -> Aero:
    """
    The same, where no datagram may go anywhere: what a public domain begins with.
    """
    return shared("edge", **_PAGE)


@cache
def probeServer() -> Aero:
    """
    An edge with a front end that a user might have.
    """
    root = Path(tempfile.mkdtemp(prefix="aero-front-end-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    (root / "index.html").write_text(PROBE_HTML)
    (root / "probe.js").write_text(PROBE_JS)
    (root / "worker.js").write_text(PROBE_WORKER_JS)
    (root / "mark.js").write_text("export const mark = 7;\n")
    (root / "add.wasm").write_bytes(ADD_WASM)
    return shared("edge", "--frontend-root", str(root))


@cache
def blobServer(hashed: bool) -> Aero:
    """
    An edge whose front end uses what it made itself.

    @param hashed: Whether the hash of one inline script is in the settings.
    """
    root = Path(tempfile.mkdtemp(prefix="aero-blobs-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    (root / "index.html").write_text(BLOB_HTML)
    (root / "blobs.js").write_text(BLOB_JS)
    digest = base64.b64encode(hashlib.sha256(HASHED_SCRIPT.encode()).digest()).decode()
    options = ("--csp-script-hashes", f"sha256-{digest}") if hashed else ()
    return shared("edge", "--frontend-root", str(root), *options)


class PageTests(SynchronousTestCase):
    """
    The page that comes with the server.
    """

    def checked(self, browser: Browser, port: int, path: str = "/") -> Tab:
        """
        The page after its checks, with a TCP target of ours.
        """
        tab = browser.open()
        tab.goto(f"{path}#tcpTarget=127.0.0.1:{port}")
        tab.page.wait_for_selector("#all:not([data-state=running])")
        return tab

    @inBrowserThread
    def test_checks(self) -> None:
        """
        Every check of the page is green, the verdict says so, and neither the console nor the
        content security policy has anything to say.
        """
        with Target(echo) as target, self.checked(browserFor(pageServer()), target.port) as tab:
            states: dict[str, str] = tab.page.evaluate(
                "Object.fromEntries([...document.querySelectorAll('.check')].map("
                "(row) => [row.querySelector('.value').id, row.dataset.state]))"
            )
            self.assertEqual({row: states[row] for row in GREEN}, dict.fromkeys(GREEN, "ok"))
            self.assertEqual(tab.complaints, [])
            self.assertEqual(tab.violations(), [])
            self.assertEqual([row for row, state in states.items() if state == "bad"], [])
            self.assertEqual(tab.page.get_attribute("#all", "data-state"), "passed")
            self.assertEqual(tab.page.inner_text("#failures"), "")

    @inBrowserThread
    def test_datagramsDenied(self) -> None:
        """
        Datagrams that are denied wherever they go are amber, with the variable that decides, and
        nothing fails because of it.
        """
        with Target(echo) as target, self.checked(browserFor(deniedServer()), target.port) as tab:
            for row in ("udp", "datachannel"):
                state = tab.page.get_attribute(f".check:has(#{row})", "data-state")
                if row == "datachannel" and state == "bad":
                    continue  # no WebRTC between this browser and this server
                self.assertEqual(state, "warn", row)
                self.assertEqual(tab.page.inner_text(f"#{row}"), "all denied")
                self.assertIn("ALLOW_UDP_CIDRS", tab.page.inner_text(f"#{row}-detail"))
            colour = tab.page.evaluate("getComputedStyle(document.getElementById('udp')).color")
            green = tab.page.evaluate("getComputedStyle(document.getElementById('ws')).color")
            red, blue = (int(part) for part in re.findall(r"\d+", colour)[::2])
            self.assertNotEqual(colour, green)
            self.assertGreater(red, blue + 60)
            self.assertEqual(tab.page.inner_text("#all"), "Checks passed, with limits")
            self.assertIn("limited", tab.page.inner_text("#tally"))
            for row in set(GREEN) - {"udp"}:
                self.assertIn("ok", tab.page.get_attribute(f"#{row}", "class") or "", row)

    @inBrowserThread
    def test_isolated(self) -> None:
        """
        The page is isolated and may share memory, and so are its workers (edge.md E27).
        """
        with Target(echo) as target, self.checked(browserFor(pageServer()), target.port) as tab:
            self.assertIs(tab.page.evaluate("crossOriginIsolated"), True)
            self.assertEqual(tab.page.evaluate("typeof SharedArrayBuffer"), "function")
            self.assertEqual(tab.page.inner_text("#worker-detail"), "both share memory")
            self.assertIs(tab.page.evaluate("isSecureContext"), True)

    @inBrowserThread
    def test_sessionPersists(self) -> None:
        """
        The session survives a reload, and scripts cannot read its cookie.
        """
        with Target(echo) as target, self.checked(browserFor(pageServer()), target.port) as tab:
            (first,) = tab.context.cookies()
            self.assertEqual(
                (first["httpOnly"], first["secure"], first["sameSite"]), (True, True, "Lax")
            )
            self.assertEqual(tab.page.evaluate("document.cookie"), "")
            tab.page.reload()
            tab.page.wait_for_selector("#all:not([data-state=running])")
            (second,) = tab.context.cookies()
            self.assertEqual(sessionId(second["value"]), sessionId(first["value"]))
            self.assertGreater(second["expires"], first["expires"] - 1)

    @inBrowserThread
    def test_refusedTarget(self) -> None:
        """
        A check that fails turns its own row and the verdict, and no other row; checking again
        turns them back.
        """
        with Target(echo) as target, self.checked(browserFor(pageServer()), target.port) as tab:
            tab.page.evaluate("location.hash = 'tcpTarget=no_such_host:80'")
            tab.page.wait_for_selector("#all[data-state=failed]")
            self.assertIn("bad", tab.page.get_attribute("#ws", "class") or "")
            for row in set(GREEN) - {"ws"}:
                self.assertIn("ok", tab.page.get_attribute(f"#{row}", "class") or "", row)
            tab.page.evaluate(f"location.hash = 'tcpTarget=127.0.0.1:{target.port}'")
            tab.page.wait_for_selector("#all[data-state=passed]")


class FrontEndTests(SynchronousTestCase):
    """
    A front end of the user's own.
    """

    @inBrowserThread
    def test_probe(self) -> None:
        """
        It can compile WebAssembly as it arrives and start module and blob workers that share
        memory; C{eval} and inline scripts are stopped (edge.md E27).
        """
        with browserFor(probeServer()).open() as tab:
            tab.goto("/")
            # Waiting inside of the page would be an eval, which its policy forbids.
            deadline = time.monotonic() + PATIENCE
            while not tab.page.evaluate("window.found !== undefined"):
                self.assertLess(time.monotonic(), deadline, "the page found nothing out")
            found: dict[str, Any] = tab.page.evaluate("window.found")
            self.assertEqual(
                found,
                {
                    "isolated": True,
                    "memory": "function",
                    "threads": "SharedArrayBuffer",
                    "eval": "EvalError",
                    "function": "EvalError",
                    "inline": False,
                    "streamed": True,
                    "sum": 42,
                    "moduleWorker": [True, 7],
                    "blobWorker": [True, 7],
                },
            )
            self.assertEqual(
                sorted(tab.violations()),
                ["script-src eval", "script-src eval", "script-src-elem inline"],
            )


class BlobTests(SynchronousTestCase):
    """
    What a page makes of its own bytes, which v86 and other emulators do.
    """

    def found(self, server: Aero) -> tuple[dict[str, Any], list[str]]:
        """
        What a page found out, and the violations of its policy.
        """
        with browserFor(server).open() as tab:
            tab.goto("/")
            deadline = time.monotonic() + PATIENCE
            while not tab.page.evaluate("window.blobs !== undefined"):
                self.assertLess(time.monotonic(), deadline, "the page found nothing out")
            found: dict[str, Any] = tab.page.evaluate("window.blobs")
            return found, tab.violations()

    @inBrowserThread
    def test_blobs(self) -> None:
        """
        Audio worklets, fetches, modules, scripts, workers, sounds and images from blobs work.
        Inline scripts, handlers, C{data:} and foreign scripts, C{eval} and frames are stopped; an
        inline script whose hash is in the settings runs, and no other.
        """
        for hashed in (False, True):
            found, violations = self.found(blobServer(hashed))
            self.assertEqual(
                found,
                {
                    "worklet": "ok",
                    "fetched": "bytes",
                    "request": "bytes",
                    "imported": 7,
                    "audio": "ok",
                    "image": "ok",
                    "worker": "ok",
                    "element": "ok",
                    "inline": False,
                    "handler": False,
                    "dataScript": "error",
                    "eval": found["eval"],
                    "frame": "blocked",
                    "hashed": hashed,
                    "other": False,
                },
            )
            self.assertIn("EvalError", found["eval"])
            self.assertIn("script-src-elem https://foreign.invalid/script.js", violations)
            inline = violations.count("script-src-elem inline")
            self.assertEqual(inline, 2 if hashed else 3)


class TunnelTests(SynchronousTestCase):
    """
    C{/tcp} from a page.
    """

    def tab(self) -> Tab:
        """
        A page that has a session and can open tunnels.
        """
        tab = browserFor(pageServer()).open()
        tab.goto("/#tcpTarget=127.0.0.1:1")
        tab.page.wait_for_selector("#session.ok")
        tab.page.evaluate(TUNNEL_JS)
        return tab

    @inBrowserThread
    def test_echo(self) -> None:
        """
        What a page sends comes back from an echo server, and the close is clean.
        """
        with Target(echo) as target, self.tab() as tab:
            heard, closed = tab.page.evaluate(ECHO_JS, [target.port, "héllo from a page"])
        self.assertEqual(heard, "héllo from a page")
        self.assertEqual(closed, [1000, "", True])

    @inBrowserThread
    def test_upload(self) -> None:
        """
        A quarter of a gibibyte from a page arrives at a TCP server whole, though the page
        closes as soon as it has sent the last of it.
        """
        arrived: queue.Queue[tuple[int, str]] = queue.Queue()

        def receive(connection: socket.socket) -> None:
            seen, size = hashlib.sha256(), 0
            while data := connection.recv(1 << 20):
                seen.update(data)
                size += len(data)
            arrived.put((size, seen.hexdigest()))

        with Target(receive) as target, self.tab() as tab:
            encoded = base64.b64encode(bulkBlock(0)).decode()
            closed = tab.page.evaluate(UPLOAD_JS, [target.port, BULK, encoded])
            self.assertEqual(closed[0], 1000)
            expected = hashlib.sha256()
            for index in range(BULK // BLOCK):
                expected.update(bulkBlock(index))
            self.assertEqual(arrived.get(timeout=60), (BULK, expected.hexdigest()))

    @inBrowserThread
    def test_download(self) -> None:
        """
        A quarter of a gibibyte from a TCP server arrives in a page whole, before the close.
        """

        def send(connection: socket.socket) -> None:
            for index in range(BULK // BLOCK):
                connection.sendall(bulkBlock(index))

        with Target(send) as target, self.tab() as tab:
            closed, size, rest, digests = tab.page.evaluate(DOWNLOAD_JS, [target.port, BLOCK])
        self.assertEqual((closed, size, rest), ([1000, "target closed", True], BULK, 0))
        self.assertEqual(
            digests,
            [hashlib.sha256(bulkBlock(index)).hexdigest() for index in range(BULK // BLOCK)],
        )


@cache
def _block() -> bytes:
    return hashlib.shake_256(b"aero").digest(BLOCK)


def bulkBlock(index: int) -> bytes:
    """
    One block of the bulk stream: the same bytes behind its number.
    """
    return index.to_bytes(4, "big") + _block()[4:]


def sessionId(cookie: str) -> str:
    """
    The session that a cookie is for.
    """
    payload = cookie.split(".")[0]
    sid: str = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sid"]
    return sid
