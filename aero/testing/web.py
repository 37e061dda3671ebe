# -*- test-case-name: aero.testing.test.test_web -*-
"""
An HTTP client without sockets, for tests of whatever answers requests.

The bytes of a request go through the real site, channel and request; the bytes that come
back are parsed strictly, so a response that a browser could not read fails the test::

    client = WebClient(Router(...))
    response = client.request(b"POST", "/session", {b"Origin": b"https://example.com"})
    self.assertEqual(response.status, 201)
    self.assertEqual(response.header(b"Cache-Control"), b"no-store")
    self.assertIn("endpoints", response.json())

C{client.clock} is a L{Clock<twisted.internet.task.Clock>}; nothing happens behind a test's back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, ISSLTransport, ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

from aero.http.door import Respondent
from aero.http.site import AeroSite
from aero.metrics import ROWS, Metrics
from aero.policy.clientaddress import ClientAddresses
from aero.policy.headers import ResponseHeaders
from aero.settings.http import HTTPSettings

#: Header lines of a request: pairs in their order, or one value for each name.
HeaderLines = Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]]

_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})
_WITHOUT_BODY = frozenset({101, 204, 304})


@implementer(ITCPTransport)
class MemoryTransport(StringTransport):
    """
    The server's end of a connection that is not there.

    @ivar halfClosed: Whether the server closed its direction only.
    """

    peerAddr: IAddress
    halfClosed = False
    noDelay = False
    keepAlive = False

    def __init__(self, peer: str) -> None:
        kind = IPv6Address if ":" in peer else IPv4Address
        StringTransport.__init__(
            self,
            hostAddress=IPv4Address("TCP", "192.0.2.1", 443),
            peerAddress=kind("TCP", peer, 50_000),
            lenient=True,
        )

    @property
    def closed(self) -> bool:
        """
        Whether nothing more comes from the server.
        """
        return bool(self.disconnecting or self.disconnected or self.halfClosed)

    def loseWriteConnection(self) -> None:
        """
        Close the server's direction.
        """
        self.halfClosed = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Keep the option.
        """
        self.noDelay = enabled

    def getTcpNoDelay(self) -> bool:
        """
        Give the option.
        """
        return self.noDelay

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        Keep the option.
        """
        self.keepAlive = enabled

    def getTcpKeepAlive(self) -> bool:
        """
        Give the option.
        """
        return self.keepAlive


@implementer(ISSLTransport)
class SecureMemoryTransport(MemoryTransport):
    """
    The same for a connection over TLS, after its handshake.
    """

    negotiatedProtocol = b"http/1.1"

    def getPeerCertificate(self) -> None:
        """
        The client has no certificate.
        """


@dataclass(frozen=True, slots=True)
class WebResponse:
    """
    One response.

    @ivar status: Its status code.
    @ivar phrase: The reason phrase.
    @ivar headerLines: Names and values as they were sent, in their order.
    @ivar body: The body, transfer coding removed.
    """

    status: int
    phrase: bytes
    headerLines: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def headers(self) -> Headers:
        """
        The headers by their names, whatever their case.
        """
        headers = Headers()
        for name, value in self.headerLines:
            headers.addRawHeader(name, value)
        return headers

    def header(self, name: bytes) -> bytes | None:
        """
        The value of a header that may be there once.

        @raise AssertionError: It is there more often.
        """
        values = self.headers.getRawHeaders(name, [])
        assert len(values) < 2, f"{name!r} was sent {len(values)} times"
        return values[0] if values else None

    def text(self) -> str:
        """
        The body as UTF-8.
        """
        return self.body.decode("utf-8")

    def json(self) -> Any:
        """
        What the body says, which must be JSON and say so.
        """
        contentType = self.header(b"Content-Type") or b""
        assert b"json" in contentType, f"{contentType!r} is not JSON: {self.body[:200]!r}"
        return json.loads(self.body)

    def error(self) -> tuple[int, str]:
        """
        The status and the code of an error in the shape of gateway.md section 3.7.

        @raise AssertionError: It has another shape.
        """
        value = self.json()
        assert set(value) == {"error", "message"}, f"{value!r} is not an error"
        assert isinstance(value["message"], str) and value["message"]
        return self.status, value["error"]


class Exchange:
    """
    One connection on which a request was sent, and what came back so far.

    @ivar transport: The server's end.
    """

    def __init__(self, site: AeroSite, transport: MemoryTransport) -> None:
        self.transport = transport
        self._connection = site.buildProtocol(transport.peerAddr)
        self._connection.makeConnection(transport)
        if isinstance(transport, SecureMemoryTransport):
            self._connection.handshakeCompleted()
        self._methods: list[bytes] = []
        self._lost = False

    def send(
        self,
        method: bytes,
        target: str | bytes,
        headers: HeaderLines = (),
        body: bytes = b"",
        *,
        version: bytes = b"HTTP/1.1",
    ) -> None:
        """
        Send one request. C{Host} and C{Content-Length} are added where they are missing.
        """
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        names = {name.lower() for name, _ in pairs}
        if b"host" not in names:
            pairs.insert(0, (b"Host", b"localhost"))
        framed = b"content-length" in names or b"transfer-encoding" in names
        if not framed and (body or method in _WITH_BODY):
            pairs.append((b"Content-Length", b"%d" % len(body)))
        path = target.encode("utf-8") if isinstance(target, str) else target
        lines = [b"%b %b %b\r\n" % (method, path, version)]
        lines += [b"%b: %b\r\n" % pair for pair in pairs]
        self._methods.append(method)
        self.sendRaw(b"".join([*lines, b"\r\n", body]))

    def sendRaw(self, data: bytes) -> None:
        """
        Send bytes as they are.
        """
        self._connection.dataReceived(data)

    @property
    def received(self) -> bytes:
        """
        All bytes that came back.
        """
        return bytes(StringTransport.value(self.transport))

    def responses(self) -> list[WebResponse]:
        """
        The complete responses so far, in their order; interim ones are left out.
        """
        methods = iter(self._methods)
        rest = self.received
        found: list[WebResponse] = []
        while rest:
            parsed = _parse(rest, next(methods, b"GET"), self.transport.closed)
            if parsed is None:
                break
            response, rest = parsed
            if 100 <= response.status < 200 and response.status != 101:
                methods = iter([self._methods[len(found)], *methods])
                continue
            found.append(response)
        return found

    def response(self) -> WebResponse:
        """
        The one response.

        @raise AssertionError: There is none, or more than one, or something else follows it.
        """
        found = self.responses()
        assert len(found) == 1, f"{len(found)} responses in {self.received[:500]!r}"
        return found[0]

    def disconnect(self) -> None:
        """
        The client goes away.
        """
        if not self._lost:
            self._lost = True
            self._connection.connectionLost(Failure(ConnectionDone()))


class WebClient:
    """
    A client of one site.

    @ivar site: The real site, made for this client.
    @ivar clock: Its clock.
    @ivar metrics: What it counts.
    """

    def __init__(
        self,
        router: Respondent,
        *,
        settings: HTTPSettings | None = None,
        responseHeaders: ResponseHeaders | None = None,
        metrics: Metrics | None = None,
        clock: Clock | None = None,
        clientAddresses: ClientAddresses | None = None,
        hosts: frozenset[str] | None = None,
        peer: str = "192.0.2.7",
        secure: bool = False,
    ) -> None:
        """
        @param responseHeaders: By default those of a gateway without an edge.
        @param clientAddresses: By default no proxy is believed.
        @param peer: The address that the client connects from, unless a request says another.
        @param secure: Whether it connects over TLS, likewise.
        """
        self.clock = Clock() if clock is None else clock
        self.metrics = Metrics(ROWS) if metrics is None else metrics
        self.peer = peer
        self.secure = secure
        self.site = AeroSite(
            router,
            settings=HTTPSettings() if settings is None else settings,
            responseHeaders=ResponseHeaders.gateway(False)
            if responseHeaders is None
            else responseHeaders,
            metrics=self.metrics,
            clock=self.clock,
            clientAddresses=ClientAddresses(trust=False, networks=(), terminatesTLS=secure)
            if clientAddresses is None
            else clientAddresses,
            hosts=hosts,
        )

    def connect(self, *, peer: str | None = None, secure: bool | None = None) -> Exchange:
        """
        Open a connection.
        """
        overTLS = self.secure if secure is None else secure
        kind = SecureMemoryTransport if overTLS else MemoryTransport
        return Exchange(self.site, kind(self.peer if peer is None else peer))

    def start(
        self,
        method: bytes,
        target: str | bytes,
        headers: HeaderLines = (),
        body: bytes = b"",
        *,
        version: bytes = b"HTTP/1.1",
        peer: str | None = None,
        secure: bool | None = None,
    ) -> Exchange:
        """
        Send a request on a new connection and leave it open: for answers that take time, and
        for connections that are taken over.
        """
        exchange = self.connect(peer=peer, secure=secure)
        exchange.send(method, target, headers, body, version=version)
        return exchange

    def request(
        self,
        method: bytes,
        target: str | bytes,
        headers: HeaderLines = (),
        body: bytes = b"",
        *,
        version: bytes = b"HTTP/1.1",
        peer: str | None = None,
        secure: bool | None = None,
    ) -> WebResponse:
        """
        Send a request on a new connection, take the response, and go.

        @raise AssertionError: It was not answered at once with exactly one response.
        """
        exchange = self.start(
            method, target, headers, body, version=version, peer=peer, secure=secure
        )
        response = exchange.response()
        exchange.disconnect()
        return response


def _parse(data: bytes, method: bytes, closed: bool) -> tuple[WebResponse, bytes] | None:
    """
    Read one response.

    @param closed: Whether the server closed the connection, which can be the end of a body.
    @return: The response and the bytes after it; C{None} where it is not complete.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    statusLine, *lines = head.split(b"\r\n")
    version, status, phrase = statusLine.split(b" ", 2)
    assert version in (b"HTTP/1.1", b"HTTP/1.0"), f"{statusLine!r} is no status line"
    pairs = []
    for line in lines:
        name, colon, value = line.partition(b": ")
        assert colon and name and not name.startswith((b" ", b"\t")), f"{line!r} is no header"
        pairs.append((name, value))
    body: bytes | None = b""
    code = int(status)
    fields = {name.lower(): value for name, value in pairs}
    if method != b"HEAD" and code >= 200 and code not in _WITHOUT_BODY:
        if fields.get(b"transfer-encoding") == b"chunked":
            body, rest = _dechunk(rest)
        elif b"content-length" in fields:
            length = int(fields[b"content-length"])
            body, rest = (rest[:length], rest[length:]) if len(rest) >= length else (None, rest)
        else:
            body, rest = (rest, b"") if closed else (None, rest)
    if body is None:
        return None
    return WebResponse(code, phrase, tuple(pairs), body), rest


def _dechunk(data: bytes) -> tuple[bytes | None, bytes]:
    parts = []
    while True:
        size, end, rest = data.partition(b"\r\n")
        if not end:
            return None, data
        length = int(size, 16)
        if len(rest) < length + 2:
            return None, data
        assert rest[length : length + 2] == b"\r\n", f"{rest[:80]!r} is no chunk"
        parts.append(rest[:length])
        data = rest[length + 2 :]
        if not length:
            return b"".join(parts), data
