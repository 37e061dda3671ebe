"""
A front end to serve: the directory that edge.md section 21 describes, and a development server.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import functools
import hashlib
import json
import shutil
import socket
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

#: A module of WebAssembly without anything in it, with a custom section of zeros behind.
WASM = b"\0asm\x01\0\0\0" + b"\0\xa0\x1f\x01p" + bytes(3998)

INDEX = b"<!doctype html><title>aero test</title><h1>The page</h1>" + b"<p>text</p>" * 300
MAIN = b"export const answer = 42;\n" * 150
APP = b"console.log('a script with a hash in its name');\n" * 80
SECRET = b"nobody may read this"


def makeRoot(directory: Path) -> Path:
    """
    Fill a new directory, with things beside it that must not be served.
    """
    root = directory / "dist"
    outside = directory / "outside"
    outside.mkdir(parents=True)
    (outside / "secret.txt").write_bytes(SECRET)
    files = {
        "index.html": INDEX,
        "main.js": MAIN,
        "data.json": json.dumps(list(range(1000))).encode(),
        "tiny.js": b"export {};\n",
        "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(4000),
        "module.wasm": WASM,
        "assets/app-5f3a9c.js": APP,
        "assets/x.wasm": WASM,
        "sub/index.html": b"<!doctype html><p>below</p>",
        "empty/note.txt": b"a directory without an index",
        "ethernet.js": b"// ethernet\n",
        "tcpdump.html": b"<p>tcpdump</p>",
        "versions.json": b"{}",
        "udp/help.html": b"<p>help</p>",
        "offerx": b"not an offer",
        ".env": SECRET,
        ".git/config": SECRET,
        ".well-known/security.txt": b"Contact: mailto:security@example.com\n",
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "leak.txt").symlink_to(outside / "secret.txt")
    (root / "way-out").symlink_to(outside)
    (root / "alias.js").symlink_to("main.js")
    return root


@functools.cache
def sharedRoot() -> str:
    """
    One such directory that tests share and do not change; it goes when the test run ends.
    """
    directory = tempfile.mkdtemp(prefix="aero-frontend-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return str(makeRoot(Path(directory)))


class DevelopmentServer:
    """
    What a developer has running beside aero: it tells what it was asked, and echoes on its
    WebSocket C{/hmr}.

    @ivar url: Where it listens.
    """

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Answering)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> DevelopmentServer:
        return self

    def __exit__(self, *ignored: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.hangUp()


class _Server(ThreadingHTTPServer):
    """
    A server that can end as a process does: with all of its connections.
    """

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._connections: list[socket.socket] = []
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        """
        Accept a connection.
        """
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def hangUp(self) -> None:
        """
        End every connection that is still there.
        """
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self._echo()
            return
        length = int(self.headers.get("Content-Length", "0"))
        asked = {
            "method": self.command,
            "target": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body": self.rfile.read(length).decode("latin-1"),
        }
        body = json.dumps(asked).encode()
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cross-Origin-Opener-Policy", "unsafe-none")
        self.send_header("Content-Security-Policy", "default-src *")
        self.send_header("X-Development", "yes")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_GET

    def _echo(self) -> None:
        key = self.headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header(
            "Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key).digest()).decode()
        )
        self.end_headers()
        self.close_connection = True
        while len(head := self.rfile.read(2)) == 2:
            size = head[1] & 0x7F
            if size == 126:
                size = int.from_bytes(self.rfile.read(2), "big")
            mask = self.rfile.read(4)
            data = bytes(c ^ mask[i % 4] for i, c in enumerate(self.rfile.read(size)))
            length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
            self.wfile.write(head[:1] + length + data)
            if head[0] & 0x0F == 8:
                return

    def log_message(self, format: str, *arguments: Any) -> None:
        """
        Keep the output of the tests to the tests.
        """
