"""
An HTTP/1.1 client on a plain socket: it sends exactly the bytes it is given and shows exactly
the header lines that came back.
"""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

from .duplex import DuplexTLS
from .server import Aero

#: Seconds that a peer may take on a busy machine.
PATIENCE = 30.0


@dataclass
class Response:
    """
    One response.

    @ivar lines: Header lines in order, names as sent.
    """

    status: int
    reason: str
    lines: list[tuple[str, str]]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """
        Every value of a header.
        """
        return [value for key, value in self.lines if key.lower() == name.lower()]

    def one(self, name: str) -> str:
        """
        The value of a header that is there exactly once.
        """
        values = self.all(name)
        if len(values) != 1:
            raise AssertionError(f"{name} is there {len(values)} times: {self.lines}")
        return values[0]

    def json(self) -> Any:
        """
        The body as JSON.
        """
        return json.loads(self.body)


class Connection:
    """
    One connection to a server.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        serverName: str = "localhost",
        source: str = "",
    ) -> None:
        here = (source, 0) if source else None
        plain = socket.create_connection((host, port), PATIENCE, source_address=here)
        self.socket: socket.socket | DuplexTLS = plain
        if tls is not None:
            self.socket = DuplexTLS(plain, tls, serverName)
        self.pending = b""

    @classmethod
    def to(cls, server: Aero) -> Connection:
        """
        Connect to a server under test the way its URL says.
        """
        if server.url.startswith("https:"):
            context = server.tlsContext("http/1.1")
            return cls(server.port, tls=context, serverName=server.domain, source=server.source)
        return cls(server.port, source=server.source)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    def close(self) -> None:
        """
        Close the socket.
        """
        self.socket.close()

    def send(self, data: bytes) -> None:
        """
        Send bytes as they are.
        """
        self.socket.sendall(data)

    def receive(self, size: int = 65_536) -> bytes:
        """
        The next bytes; empty at the end of the stream. A reset counts as the end.
        """
        try:
            return self.socket.recv(size)
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def atEnd(self) -> bool:
        """
        Wait until the server closes, and tell whether it sent nothing more before that.
        """
        return not self.pending and not self.receive()

    def read(self, size: int) -> bytes:
        """
        Exactly so many bytes.
        """
        while len(self.pending) < size:
            data = self.receive()
            if not data:
                raise AssertionError(f"the stream ended after {self.pending!r}")
            self.pending += data
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def readUntil(self, mark: bytes) -> bytes:
        """
        Everything up to and with a mark.
        """
        while mark not in self.pending:
            data = self.receive()
            if not data:
                raise AssertionError(f"the stream ended after {self.pending!r}")
            self.pending += data
        head, _, self.pending = self.pending.partition(mark)
        return head + mark

    def response(self, method: str = "GET") -> Response:
        """
        Read one response.

        @param method: The method it answers; a HEAD has no body.
        """
        found = self._head()
        interim = []
        while 100 <= found.status < 200 and found.status != 101:
            interim.append(found.status)
            found = self._head()
        found.interim = interim
        if method == "HEAD" or found.status in (101, 204, 304):
            return found
        if found.all("Transfer-Encoding"):
            while True:
                size = int(self.readUntil(b"\r\n").split(b";")[0], 16)
                found.body += self.read(size)
                self.readUntil(b"\r\n")
                if not size:
                    return found
        if found.all("Content-Length"):
            found.body = self.read(int(found.one("Content-Length")))
            return found
        found.body, self.pending = self.pending, b""
        while data := self.receive():
            found.body += data
        return found

    def request(
        self,
        method: str,
        target: str,
        *headers: tuple[str, str],
        body: bytes | None = None,
        host: str = "localhost",
    ) -> Response:
        """
        Send one well-formed request and read its response.
        """
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        return self.response(method)

    def _head(self) -> Response:
        first, *rest = self.readUntil(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        version, status, *reason = first.split(" ", 2)
        if not version.startswith("HTTP/1."):
            raise AssertionError(f"not a status line: {first!r}")
        lines = [(name, value.strip()) for name, _, value in (line.partition(":") for line in rest)]
        return Response(int(status), reason[0] if reason else "", lines)


def request(
    server: Aero,
    method: str,
    target: str,
    *headers: tuple[str, str],
    body: bytes | None = None,
    host: str | None = None,
) -> Response:
    """
    One request on a connection of its own.
    """
    with Connection.to(server) as connection:
        return connection.request(
            method, target, *headers, body=body, host=host or f"{server.domain}:{server.port}"
        )


def sessionCookie(server: Aero) -> str:
    """
    Create a session and give its cookie as a C{Cookie} header value.
    """
    response = request(server, "POST", "/session")
    if response.status != 201:
        raise AssertionError(f"no session: {response}")
    return response.one("Set-Cookie").split(";")[0]
