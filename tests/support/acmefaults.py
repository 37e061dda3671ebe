"""
A gate before Pebble that lets a test stand in the way: rate limits, errors, renewal windows.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable

from .acme import Pebble

#: What a fault makes of a request: status, body as JSON, more headers; C{None} lets it through.
Reply = tuple[int, object, dict[str, str]]
Fault = Callable[[str, str], Reply | None]


class Gate:
    """
    An HTTPS server that passes on what its fault lets through.

    @ivar fault: See L{Fault}; it gets method and path.
    @ivar asked: What came: the time, the method and the path.
    @ivar url: The directory, seen through the gate.
    """

    def __init__(self, pebble: Pebble) -> None:
        self._pebble = pebble
        self.fault: Fault = lambda method, path: None
        self.renewalInfo = False
        self.asked: list[tuple[float, str, str]] = []
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

            def _handle(self) -> None:
                gate.handle(self)

            do_GET = do_POST = do_HEAD = _handle

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pebble.roots, pebble.directory / "pebble.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"https://localhost:{self.port}/dir"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """
        Close the gate.
        """
        self._server.shutdown()
        self._server.server_close()

    def times(self, path: str) -> list[float]:
        """
        When something was asked for.
        """
        return [when for when, _, asked in list(self.asked) if path in asked]

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """
        Answer one request.
        """
        self.asked.append((time.monotonic(), handler.command, handler.path))
        body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        reply = self.fault(handler.command, handler.path)
        if reply is not None:
            status, value, headers = reply
            self._send(handler, status, json.dumps(value).encode(), headers)
            return
        context = ssl.create_default_context(cafile=str(self._pebble.roots))
        onward = http.client.HTTPSConnection("localhost", self._pebble.port, context=context)
        onward.request(handler.command, handler.path, body or None, dict(handler.headers))
        response = onward.getresponse()
        data = response.read()
        if handler.path == "/dir" and self.renewalInfo:
            directory = json.loads(data)
            directory["renewalInfo"] = f"https://localhost:{self.port}/renewal-info"
            data = json.dumps(directory).encode()
        kept = ("Content-Type", "Location", "Link", "Replay-Nonce", "Retry-After")
        found = {name: response.headers[name] for name in kept if name in response.headers}
        self._send(handler, response.status, data, found)
        onward.close()

    def _send(
        self, handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            # Whoever asked may be gone.
            with contextlib.suppress(OSError):
                handler.wfile.write(body)


def problem(kind: str, status: int, **headers: str) -> Reply:
    """
    An error in an authority's words (RFC 8555 section 6.7).
    """
    return (
        status,
        {"type": f"urn:ietf:params:acme:error:{kind}", "detail": f"said the gate: {kind}"},
        {
            "Content-Type": "application/problem+json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )
