"""
What the tests of the HTTP server have in common: a site on a clock, a router of a few routes,
a client's end of a connection in memory, and a reader of HTTP/1 responses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from aero.errors import Refused
from aero.metrics import ROWS, Metrics
from aero.policy.clientaddress import ClientAddresses
from aero.policy.headers import ResponseHeaders
from aero.settings.http import HTTPSettings

from ..connection import Connection
from ..request import AeroRequest
from ..site import AeroSite

#: What every response must carry, once.
HEADERS = ResponseHeaders.edge(0)


class Wire(StringTransport):
    """
    A TCP transport that can half-close and can be full.
    """

    dataBuffer = b""
    offset = 0
    _tempDataLen = 0
    producer: Any

    def __init__(self, *, limit: int | None = None, negotiated: bytes | None = None) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.7", 40000))
        self.negotiatedProtocol = negotiated
        self.halfClosed = False
        self.limit = limit
        self.reading = True

    def write(self, data: bytes) -> None:
        """
        Keep bytes; with a limit, say so when it is passed.
        """
        assert not self.halfClosed or not data, "written after the end"
        super().write(data)
        if self.limit is None or self.producer is None or self.dataBuffer:
            return
        if len(self.value()) > self.limit:
            self.dataBuffer = b"waiting"
            self.producer.pauseProducing()

    def drained(self) -> bytes:
        """
        The client took everything.
        """
        data: bytes = self.value()
        self.clear()
        self.dataBuffer = b""
        if self.producer is not None:
            self.producer.resumeProducing()
        return data

    def loseWriteConnection(self) -> None:
        """
        Close this side.
        """
        self.halfClosed = True

    def pauseProducing(self) -> None:
        """
        Stop reading.
        """
        self.reading = False

    def resumeProducing(self) -> None:
        """
        Read again.
        """
        self.reading = True

    @property
    def closed(self) -> bool:
        """
        Whether the server is done with the connection, one way or another.
        """
        return bool(self.halfClosed or self.disconnecting or self.disconnected)


class Routes:
    """
    A router that does what the path says.
    """

    def __init__(self) -> None:
        self.seen: list[AeroRequest] = []
        self.bodies: list[bytes] = []
        self.limits: dict[bytes, int] = {}
        self.unread: set[bytes] = set()
        self.held: Deferred[None] = Deferred()
        self.taken: Taken | None = None

    def bodyLimit(self, request: AeroRequest) -> int:
        """
        The limit of a path.
        """
        return self.limits.get(request.path, 1 << 40)

    def keepsBody(self, request: AeroRequest) -> bool:
        """
        Whether a path reads bodies.
        """
        return request.path not in self.unread

    def respond(self, request: AeroRequest) -> Any:
        """
        Answer by the first segment of the path.
        """
        self.seen.append(request)
        self.bodies.append(request.content.read())
        name = request.path.strip(b"/").decode("ascii").partition("/")[0]
        request.route = f"/{name}"
        action: Callable[[AeroRequest], Any] = getattr(self, f"do_{name}", self.do_plain)
        return action(request)

    def do_plain(self, request: AeroRequest) -> None:
        """
        A small answer of known length.
        """
        body = b"%b %b" % (request.method, request.uri)
        request.setHeader(b"Content-Length", b"%d" % len(body))
        request.setHeader(b"Content-Type", b"text/plain")
        request.write(body)
        request.finish()

    def do_echo(self, request: AeroRequest) -> None:
        """
        The body.
        """
        body = self.bodies[-1]
        request.setHeader(b"Content-Length", b"%d" % len(body))
        request.write(body)
        request.finish()

    def do_stream(self, request: AeroRequest) -> None:
        """
        An answer of unknown length, in two parts.
        """
        request.write(b"one")
        request.write(b"two")
        request.finish()

    def do_hold(self, request: AeroRequest) -> None:
        """
        No answer until the test gives one.
        """

    def do_raise(self, request: AeroRequest) -> None:
        """
        An error before the answer.
        """
        request.setHeader(b"Cache-Control", b"public")
        raise RuntimeError("secret detail")

    def do_fail(self, request: AeroRequest) -> Deferred[None]:
        """
        An error that comes later.
        """
        return self.held

    def do_broken(self, request: AeroRequest) -> None:
        """
        An error in the middle of the answer.
        """
        request.setHeader(b"Content-Length", b"100")
        request.write(b"half")
        raise RuntimeError("too late")

    def do_after(self, request: AeroRequest) -> None:
        """
        An error after the answer.
        """
        self.do_plain(request)
        raise RuntimeError("after the end")

    def do_refuse(self, request: AeroRequest) -> None:
        """
        A refusal.
        """
        raise Refused(429, "too_many_requests", "Rate limit exceeded", retryAfter=1.2)

    def do_nothing(self, request: AeroRequest) -> None:
        """
        204, with headers that do not belong there.
        """
        request.setResponseCode(204)
        request.setHeader(b"Content-Type", b"text/html")
        request.setHeader(b"Content-Length", b"5")
        request.write(b"hello")
        request.finish()

    def do_unchanged(self, request: AeroRequest) -> None:
        """
        304.
        """
        request.setETag(b'"x"')
        request.setResponseCode(304)
        request.setHeader(b"Content-Type", b"text/html")
        request.finish()

    def do_rival(self, request: AeroRequest) -> None:
        """
        An answer that sets headers which are the site's.
        """
        for name, _ in HEADERS.pairs:
            request.responseHeaders.addRawHeader(name, b"mine")
            request.responseHeaders.addRawHeader(name, b"and again")
        request.setHeader(b"Server", b"chatty")
        request.setHeader(b"Alt-Svc", b'h3=":443"')
        self.do_plain(request)

    def do_take(self, request: AeroRequest) -> None:
        """
        Take the connection over.
        """
        self.taken = Taken()
        request.takeOver(self.taken, b"first:")


class Taken(Protocol):
    """
    A protocol that took a connection over.
    """

    transport: Any

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        """
        Keep it.
        """
        self.received.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        """
        Remember it.
        """
        self.lost = True


class Events:
    """
    An access log in memory.
    """

    def __init__(self) -> None:
        self.events: list[tuple[bytes, str, int]] = []

    def responded(self, request: AeroRequest, status: int, duration: float) -> None:
        """
        Keep what matters.
        """
        self.events.append((request.method, request.route, status))


class Door:
    """
    A site and what it was made from.
    """

    def __init__(
        self,
        *,
        hosts: frozenset[str] | None = None,
        trust: bool = False,
        settings: HTTPSettings | None = None,
    ) -> None:
        self.clock = Clock()
        self.metrics = Metrics(ROWS)
        self.routes = Routes()
        self.log = Events()
        self.ids = 0
        self.site = AeroSite(
            self.routes,
            settings=settings or HTTPSettings(),
            responseHeaders=HEADERS,
            metrics=self.metrics,
            clock=self.clock,
            clientAddresses=ClientAddresses(trust=trust, networks=(), terminatesTLS=False),
            hosts=hosts,
            accessLog=self.log,
            newRequestId=self._newId,
        )

    def _newId(self) -> str:
        self.ids += 1
        return f"id-{self.ids}"

    def connect(self, wire: Wire | None = None) -> tuple[Connection, Wire]:
        """
        A new client connection.
        """
        wire = wire or Wire()
        connection = self.site.buildProtocol(wire.getPeer())
        connection.makeConnection(wire)
        return connection, wire

    def exchange(self, data: bytes, *, step: int | None = None) -> tuple[list[Response], Wire]:
        """
        Send bytes on a new connection, whole or in steps, and read the responses.
        """
        connection, wire = self.connect()
        for start in range(0, len(data), step or len(data)):
            connection.dataReceived(data[start : start + (step or len(data))])
        return responses(wire.value()), wire

    def elapse(self, seconds: float) -> None:
        """
        Let time pass as a reactor would, in small steps.
        """
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)


@dataclass
class Response:
    """
    An HTTP/1 response.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def all(self, name: bytes) -> list[bytes]:
        """
        Every value of a header.
        """
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name: bytes) -> bytes:
        """
        The one value of a header.
        """
        (value,) = self.all(name)
        return value


def responses(data: bytes, *, bodiless: bool = False) -> list[Response]:
    """
    Read HTTP/1 responses strictly.

    @raise ValueError: They are not well-formed or not whole.
    """
    found = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        if not end:
            raise ValueError(f"no end of head: {head!r}")
        lines = head.split(b"\r\n")
        status = re.fullmatch(rb"HTTP/1\.[01] (\d\d\d) [ -~]+", lines[0])
        if status is None:
            raise ValueError(f"bad status line: {lines[0]!r}")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(b": ")
            if not colon:
                raise ValueError(f"bad header line: {line!r}")
            headers.append((name, value))
        response = Response(int(status[1]), headers, b"")
        if bodiless or response.status in (100, 204, 304):
            pass
        elif response.all(b"Transfer-Encoding") == [b"chunked"]:
            response.body, data = _chunked(data)
        else:
            length = int(response.get(b"Content-Length"))
            if len(data) < length:
                raise ValueError("short body")
            response.body, data = data[:length], data[length:]
        found.append(response)
    return found


def _chunked(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        body += data[:length]
        if data[length : length + 2] != b"\r\n":
            raise ValueError("bad chunk")
        data = data[length + 2 :]
        if not length:
            return body, data


def get(path: str = "/plain", *lines: str, host: str = "localhost", method: str = "GET") -> bytes:
    """
    A request without a body.
    """
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}", *lines]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n"


def post(path: str, body: bytes, *lines: str) -> bytes:
    """
    A request with a body of known length.
    """
    return get(path, f"Content-Length: {len(body)}", *lines, method="POST") + body


def hasHeadersOnce(response: Response) -> bool:
    """
    Whether a response carries the whole header set, each name once, and a request id.
    """
    return (
        all(response.all(name) == [value] for name, value in HEADERS.pairs)
        and len(response.all(b"X-Request-Id")) == 1
        and not response.all(b"Server")
        and not response.all(b"Alt-Svc")
    )
