"""
The HTTP server over real TLS in memory: what L{aero.http.connection} and the channels rely on in
Twisted's TLS transport.
"""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase

from ..channel import Channel
from ..h2frames import PREFACE
from ..http2 import HTTP2Connection
from .door import Door, get, hasHeadersOnce, responses


def certificate() -> PrivateCertificate:
    """
    A certificate for the server.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    loaded: PrivateCertificate = PrivateCertificate.loadPEM(pem)
    return loaded


class Browser(Protocol):
    """
    A client that keeps what it gets.
    """

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        """
        Keep it.
        """
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        """
        Remember it.
        """
        self.lost = True


class OverTLSTests(SynchronousTestCase):
    """
    Everything works over TLS as it does without.
    """

    options = certificate().options()

    def open(self, *protocols: bytes) -> tuple[Door, Browser, IOPump, Any]:
        """
        A client that offers these protocols, and the server's side of its connection.
        """
        door, clock = Door(), Clock()
        server = TLSMemoryBIOFactory(self.options, False, door.site, door.clock)
        browser = Browser()
        client = TLSMemoryBIOFactory(
            CertificateOptions(acceptableProtocols=list(protocols) or None),
            True,
            Factory.forProtocol(lambda: browser),
            clock,
        )
        serverSide: Any = server.buildProtocol(None)
        clientSide: Any = client.buildProtocol(None)
        pump = connect(
            serverSide,
            FakeTransport(serverSide, isServer=True),
            clientSide,
            FakeTransport(clientSide, isServer=False),
        )
        self.clocks = (door.clock, clock)
        self.settle(pump)
        return door, browser, pump, serverSide

    def settle(self, pump: IOPump) -> None:
        """
        Let both sides say what they have to say.
        """
        for _ in range(10):
            pump.flush()
            for clock in self.clocks:
                clock.advance(0)

    def test_negotiation(self) -> None:
        """
        The protocol is the one that was negotiated in the handshake.
        """
        for protocols, kind in (
            ((b"h2", b"http/1.1"), HTTP2Connection),
            ((b"http/1.1",), Channel),
            ((), Channel),
        ):
            _, _, _, server = self.open(*protocols)
            self.assertIsInstance(server.wrappedProtocol.dataReceived.__self__, kind)

    def test_requests(self) -> None:
        """
        Requests are answered, and their client came by TLS.
        """
        door, browser, pump, _ = self.open(b"http/1.1")
        browser.transport.write(get("/plain") + get("/stream", "Connection: close"))
        self.settle(pump)
        found = responses(browser.received)
        self.assertEqual([r.body for r in found], [b"GET /plain", b"onetwo"])
        self.assertTrue(all(map(hasHeadersOnce, found)))
        self.assertTrue(door.routes.seen[0].client.secure)
        self.assertTrue(browser.lost)
        self.assertEqual(door.site.connections, 0)

    def test_http2(self) -> None:
        """
        A server that speaks HTTP/2 begins with its settings.
        """
        _, browser, pump, _ = self.open(b"h2")
        browser.transport.write(PREFACE)
        self.settle(pump)
        self.assertEqual(browser.received[3:4], b"\x04")

    def test_refusal(self) -> None:
        """
        Garbage is answered before the connection ends.
        """
        _, browser, pump, _ = self.open()
        browser.transport.write(b"nonsense\r\n\r\n" + b"x" * 100_000)
        self.settle(pump)
        (response,) = responses(browser.received)
        self.assertEqual(response.status, 400)
        self.assertTrue(browser.lost)

    def test_takeOver(self) -> None:
        """
        A protocol that took the connection over talks to the TLS transport itself.
        """
        door, browser, pump, server = self.open(b"http/1.1")
        browser.transport.write(get("/take") + b"early")
        self.settle(pump)
        taken = door.routes.taken
        assert taken is not None
        self.assertIs(taken.transport, server)
        self.assertEqual(server.wrappedProtocol.dataReceived, taken.dataReceived)
        browser.transport.write(b"more")
        self.settle(pump)
        self.assertEqual(taken.received, [b"first:early", b"more"])
        taken.transport.write(b"answer")
        self.settle(pump)
        self.assertEqual(browser.received, b"answer")
        taken.transport.loseConnection()
        self.settle(pump)
        self.assertTrue(taken.lost and browser.lost)
        self.assertEqual(door.site.connections, 0)
