# -*- test-case-name: aero.testing.test.test_ws -*-
"""
A WebSocket client without sockets, for tests of endpoints.

The upgrade goes through the real site, channel and request, and the frames that come back are
read by a decoder of its own, which is strict: what a browser would not take fails the test::

    rig = WebSocketRig()
    endpoint = WebSocketEndpoint("/echo", Echo, **rig.common)
    client = rig.connect(endpoint, b"/echo")
    client.send(BINARY, b"hello")
    self.assertEqual(client.frames(), [(BINARY, b"hello")])

Time is C{rig.reactor}, a L{MemoryReactorClock<twisted.internet.testing.MemoryReactorClock>},
whose C{connectTCP} reaches nothing; L{WebSocketRig.acceptTarget} connects what was asked for.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from aero.auth.revocations import Revocations
from aero.auth.sessions import Sessions
from aero.http.router import Router
from aero.http.site import AeroSite
from aero.metrics import ROWS, Metrics
from aero.net.deliveries import Deliveries
from aero.policy.clientaddress import ClientAddresses
from aero.policy.headers import ResponseHeaders
from aero.policy.origin import Origins
from aero.settings.delivery import DeliverySettings
from aero.settings.http import HTTPSettings
from aero.ws.handshake import UpgradeGate

from .web import MemoryTransport, SecureMemoryTransport

#: The key of the example in RFC 6455 section 1.3, and what answers it.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

_SECRET = "a secret for tests"  # noqa: S105 - not one of anybody
_ORIGIN = "https://example.com"


def clientFrame(
    opcode: int,
    payload: bytes,
    *,
    final: bool = True,
    key: bytes = b"\x11\x22\x33\x44",
    rsv: int = 0,
) -> bytes:
    """
    A masked frame, as RFC 6455 section 5.2 draws it.
    """
    head = bytearray([(0x80 if final else 0) | rsv << 4 | opcode])
    if len(payload) < 126:
        head.append(0x80 | len(payload))
    elif len(payload) < 65_536:
        head.append(0x80 | 126)
        head += len(payload).to_bytes(2, "big")
    else:
        head.append(0x80 | 127)
        head += len(payload).to_bytes(8, "big")
    masked = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
    return bytes(head) + key + masked


def serverFrames(data: bytes) -> list[tuple[int, bytes]]:
    """
    Read the frames of a server: opcodes and payloads.

    @raise AssertionError: They are not whole, final, unmasked frames in the shortest form.
    """
    frames = []
    while data:
        assert len(data) >= 2, f"half a frame: {data!r}"
        assert data[0] & 0xF0 == 0x80, "the server's frames are final and use no extension"
        assert not data[1] & 0x80, "a server does not mask"
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
            assert size > 125, "the length is not in its shortest form"
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
            assert size > 65_535, "the length is not in its shortest form"
        assert len(data) >= start + size, "the last frame is not whole"
        frames.append((data[0] & 0x0F, data[start : start + size]))
        data = data[start + size :]
    return frames


class MemoryEnd:
    """
    What both kinds of far end share: the transport of a protocol under test.

    @ivar transport: The transport.
    @ivar protocol: What it belongs to.
    """

    transport: Any
    protocol: Any

    @property
    def isPaused(self) -> bool:
        """
        Whether the protocol stopped reading.
        """
        return bool(self.transport.producerState == "paused")

    def block(self) -> None:
        """
        Take no more: the transport's buffer is full.
        """
        if self.transport.producer is not None:
            self.transport.producer.pauseProducing()

    def unblock(self) -> None:
        """
        Take everything: the buffer is empty again.
        """
        if self.transport.producer is not None:
            self.transport.producer.resumeProducing()

    def take(self) -> bytes:
        """
        What was written since the last call.
        """
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def lose(self, reason: Exception | None = None) -> None:
        """
        The connection breaks, or ends where no reason is given.
        """
        self.transport.disconnected = True
        self.protocol.connectionLost(Failure(reason or ConnectionDone()))


class TargetEnd(MemoryEnd):
    """
    A target that was connected to.
    """

    def __init__(self, protocol: Any, transport: MemoryTransport) -> None:
        self.protocol = protocol
        self.transport = transport
        protocol.makeConnection(transport)

    def send(self, data: bytes) -> None:
        """
        Send to the protocol under test.
        """
        self.protocol.dataReceived(data)

    def end(self) -> None:
        """
        End the target's direction.
        """
        assert IHalfCloseableProtocol.providedBy(self.protocol)
        self.protocol.readConnectionLost()

    def flush(self) -> None:
        """
        The system took everything and sent the end of the stream after it.
        """
        assert self.transport.halfClosed, "the end was not asked for"
        self.protocol.writeConnectionLost()


class WebSocketClient(MemoryEnd):
    """
    One client.

    @ivar status: The status code it was answered with; 0 while it waits.
    @ivar head: The head of that answer.
    @ivar body: What followed a head that is not a 101.
    """

    def __init__(self, site: AeroSite, transport: MemoryTransport) -> None:
        self.transport = transport
        self.protocol = site.buildProtocol(transport.peerAddr)
        self.protocol.makeConnection(transport)
        if isinstance(transport, SecureMemoryTransport):
            self.protocol.handshakeCompleted()
        self.status = 0
        self.head = b""
        self.body = b""
        self._data = b""

    def sendBytes(self, data: bytes) -> None:
        """
        Send anything.
        """
        self.protocol.dataReceived(data)

    def send(self, opcode: int, payload: bytes = b"", **how: Any) -> None:
        """
        Send a frame; see L{clientFrame}.
        """
        self.sendBytes(clientFrame(opcode, payload, **how))

    def read(self) -> None:
        """
        Read what the server has written.
        """
        self._data += self.take()
        if not self.status and b"\r\n\r\n" in self._data:
            self.head, _, self._data = self._data.partition(b"\r\n\r\n")
            self.status = int(self.head.split(b" ")[1])
        if self.status != 101:
            self.body, self._data = self.body + self._data, b""

    def frames(self) -> list[tuple[int, bytes]]:
        """
        The frames since the last call.
        """
        self.read()
        assert self.status == 101, f"there is no WebSocket: {self.head!r} {self.body!r}"
        data, self._data = self._data, b""
        return serverFrames(data)

    def header(self, name: bytes) -> list[bytes]:
        """
        The values of a header of the answer.
        """
        self.read()
        found = []
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b": ")
            if key.lower() == name.lower():
                found.append(value)
        return found


class WebSocketRig:
    """
    What endpoints under test need, and a site to put them in.

    @ivar reactor: The clock, and the way to targets.
    @ivar metrics: The whole catalogue.
    @ivar gate: The shared checks; sessions are required and C{https://example.com} allowed.
    @ivar deliveries: The connections to targets whose client has gone.
    @ivar revocations: The sessions that ended before their time.
    @ivar clientAddresses: Tells clients from proxies, of which there are none.
    @ivar cookie: A good session cookie.
    """

    #: Seconds since the epoch.
    now = 1_700_000_000.0

    def __init__(self, **gateOptions: Any) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.metrics = Metrics(ROWS)
        self.deliveries = Deliveries(DeliverySettings(), clock=self.reactor, metrics=self.metrics)
        self.clientAddresses = ClientAddresses(trust=False, networks=(), terminatesTLS=False)
        self.revocations = Revocations()
        self.sessions = Sessions([_SECRET], 3_600, "Lax", self.revocations)
        self.gate = UpgradeGate(
            clock=self.reactor,
            sessions=self.sessions,
            origins=Origins([_ORIGIN]),
            wallClock=lambda: self.now,
            **gateOptions,
        )
        self.common: dict[str, Any] = {
            "gate": self.gate,
            "clock": self.reactor,
            "metrics": self.metrics,
        }
        self.cookie = self.newCookie()

    def newCookie(self) -> bytes:
        """
        The cookie of a new session.
        """
        return self.sessions.renew(None, self.now, False)[1].partition(b";")[0]

    def request(self, target: bytes, **changes: Any) -> bytes:
        """
        The bytes of a good handshake.

        @param changes: C{method}, C{version}; any header with underscores for hyphens, a list
            for a repeated one, C{None} for an absent one.
        """
        lines: dict[str, Any] = {
            "Host": b"example.com",
            "Upgrade": b"websocket",
            "Connection": b"Upgrade",
            "Sec_WebSocket_Version": b"13",
            "Sec_WebSocket_Key": KEY,
            "Cookie": self.cookie,
        }
        method = changes.pop("method", b"GET")
        lines.update(changes)
        head = [method + b" " + target + b" HTTP/1.1\r\n"]
        for name, values in lines.items():
            for value in values if isinstance(values, list) else [values]:
                if value is not None:
                    head.append(name.replace("_", "-").encode() + b": " + value + b"\r\n")
        return b"".join(head) + b"\r\n"

    def connect(
        self,
        endpoint: Any,
        target: bytes | None = None,
        *,
        peer: str = "198.51.100.7",
        secure: bool = False,
        early: bytes = b"",
        **changes: Any,
    ) -> WebSocketClient:
        """
        Send a handshake to an endpoint.

        @param early: More bytes in the same read.
        @param changes: See L{request}.
        """
        router = Router()
        router.addUpgrade(endpoint)
        site = AeroSite(
            router,
            settings=HTTPSettings(),
            responseHeaders=ResponseHeaders.gateway(True),
            metrics=self.metrics,
            clock=self.reactor,
            clientAddresses=self.clientAddresses,
        )
        transport = (SecureMemoryTransport if secure else MemoryTransport)(peer)
        client = WebSocketClient(site, transport)
        where = endpoint.path.encode() if target is None else target
        client.sendBytes(self.request(where, **changes) + early)
        client.read()
        return client

    def acceptTarget(self, index: int = -1) -> TargetEnd:
        """
        Let one of the connections that were asked for succeed.
        """
        host, _, factory, _, _ = self.reactor.tcpClients[index]
        return TargetEnd(factory.buildProtocol(None), MemoryTransport(host))

    def failTarget(self, reason: Exception, index: int = -1) -> None:
        """
        Let one of them fail.
        """
        factory = self.reactor.tcpClients[index][2]
        factory.clientConnectionFailed(self.reactor.connectors[index], Failure(reason))


def inTurn(calls: list[Callable[[], None]]) -> Callable[[Callable[[], None]], None]:
    """
    A C{runInThread} that keeps what it is to run.
    """
    return calls.append
