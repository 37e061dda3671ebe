"""
Tests for L{aero.tls.contexts} and L{aero.tls.openssl}.
"""

from __future__ import annotations

import sys
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from aero.metrics import tls as rows
from aero.tls.certificates import CertifiedKey
from aero.tls.contexts import TICKET_KEY_LIFE
from aero.tls.openssl import setGroups

from .tlsfixtures import (
    TCP,
    Application,
    Client,
    FakeSource,
    Listener,
    certified,
    clientContext,
)


def shown(client: Client) -> x509.Certificate | None:
    """
    The certificate that a client got.
    """
    return client.tls.get_peer_certificate(as_cryptography=True)


class NegotiationTests(SynchronousTestCase):
    """
    Tests for versions, ciphers and protocols.
    """

    def setUp(self) -> None:
        """
        Listen for example.com.
        """
        self.listener = Listener()

    def test_interface(self) -> None:
        """
        Twisted takes it where it wants something that makes TLS connections.
        """
        verifyObject(IOpenSSLServerConnectionCreator, self.listener.tls)

    def test_versions(self) -> None:
        """
        TLS 1.2 and 1.3 are spoken.
        """
        for version, name in ((SSL.TLS1_2_VERSION, "TLSv1.2"), (SSL.TLS1_3_VERSION, "TLSv1.3")):
            client = self.listener.connect(context=clientContext(version=version))
            self.assertEqual((client.finished, client.alert), (True, ""))
            self.assertEqual(client.tls.get_protocol_version_name(), name)

    def test_oldVersions(self) -> None:
        """
        TLS 1.1 is refused with an alert that says why.
        """
        client = self.listener.connect(context=clientContext(version=SSL.TLS1_1_VERSION))
        self.assertFalse(client.finished)
        self.assertEqual(client.wire[:1] + client.wire[5:], b"\x15\x02\x46")

    def test_weakCiphers(self) -> None:
        """
        Ciphers without forward secrecy or authentication of the data are refused.
        """
        for cipher in (b"AES128-GCM-SHA256", b"ECDHE-ECDSA-AES128-SHA"):
            context = clientContext(version=SSL.TLS1_2_VERSION, ciphers=cipher + b":@SECLEVEL=0")
            client = self.listener.connect(context=context)
            self.assertIn("handshake failure", client.alert)

    def test_cipherOrder(self) -> None:
        """
        The server's order decides, but a client whose first choice is ChaCha20 gets it.
        """
        chacha, aes128, aes256 = (
            f"ECDHE-ECDSA-{name}"
            for name in ("CHACHA20-POLY1305", "AES128-GCM-SHA256", "AES256-GCM-SHA384")
        )
        for offered, chosen in (
            ((chacha, aes128), chacha),
            ((aes128, chacha), aes128),
            ((aes256, aes128), aes128),
            ((aes256, chacha), aes256),
        ):
            ciphers = ":".join(offered).encode()
            context = clientContext(version=SSL.TLS1_2_VERSION, ciphers=ciphers)
            client = self.listener.connect(context=context)
            self.assertEqual(client.tls.get_cipher_name(), chosen)

    def test_groups(self) -> None:
        """
        Each of the recommended key exchange groups works, and others do not.
        """
        for group, works in (("X25519", True), ("P-256", True), ("P-384", True), ("P-521", False)):
            context = clientContext()
            setGroups(context, group)
            self.assertEqual(self.listener.connect(context=context).finished, works, group)

    def test_unknownGroup(self) -> None:
        """
        A group that this OpenSSL lacks is left out; having none at all is an error.
        """
        context = clientContext()
        setGroups(context, "nonesuch", "X25519")
        self.assertTrue(self.listener.connect(context=context).finished)
        self.assertRaises(ValueError, setGroups, clientContext(), "nonesuch")

    def test_protocols(self) -> None:
        """
        HTTP/2 is chosen where the client knows it, HTTP/1.1 otherwise, nothing without ALPN.
        """
        for offered, chosen in (
            ([b"http/1.1", b"h2"], b"h2"),
            ([b"http/1.0", b"http/1.1"], b"http/1.1"),
            ([], b""),
        ):
            client = self.listener.connect(protocols=offered)
            self.assertEqual(client.tls.get_alpn_proto_negotiated(), chosen)
            self.assertEqual(client.server.negotiatedProtocol, chosen or None)

    def test_noCommonProtocol(self) -> None:
        """
        A client that speaks something else only gets the alert no_application_protocol.
        """
        client = self.listener.connect(protocols=[b"acme-tls/1", b"spdy/3"])
        self.assertFalse(client.finished)
        self.assertIn("no application protocol", client.alert)

    def test_withoutProtocols(self) -> None:
        """
        A listener that offers no protocols ignores what the client offers.
        """
        client = Listener(protocols=()).connect(protocols=[b"spdy/3"])
        self.assertEqual((client.finished, client.tls.get_alpn_proto_negotiated()), (True, b""))

    def test_noRenegotiation(self) -> None:
        """
        A client cannot make the server do a second handshake.
        """
        client = self.listener.connect(context=clientContext(version=SSL.TLS1_2_VERSION))
        client.tls.renegotiate()
        client.finished = False
        client.exchange()
        self.assertIn("no renegotiation", client.alert)

    def test_stockFactory(self) -> None:
        """
        It works with Twisted's own TLS factory too.
        """
        clock = Clock()
        factory = TLSMemoryBIOFactory(
            self.listener.tls, False, Factory.forProtocol(Application), clock
        )
        for name, works in ((b"example.com", True), (b"other.example", False)):
            protocol = factory.buildProtocol(None)
            assert protocol is not None
            protocol.makeConnection(TCP())
            client = Client(protocol, name).exchange()
            self.assertEqual(client.finished, works)


class ServerNameTests(SynchronousTestCase):
    """
    Tests for who gets a certificate.
    """

    def assertRefused(self, listener: Listener, name: bytes | None) -> None:
        """
        A client gets the alert unrecognized_name and nothing else.
        """
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            client = listener.connect(name, context=clientContext(version=version))
            self.assertIn("unrecognized name", client.alert)
            self.assertEqual(client.wire, b"\x15\x03\x03\x00\x02\x02\x70")
            tcp: Any = client.server.transport
            self.assertTrue(tcp.disconnecting)

    def test_public(self) -> None:
        """
        On a public domain its name is served, in any case, and no other and not none.
        """
        listener = Listener()
        for name in (b"example.com", b"EXAMPLE.com", b"example.com."):
            self.assertTrue(listener.connect(name).finished, name)
        for name in (b"other.example", b"localhost", b"127.0.0.1", b"a.example.com", b"\xff\xfe"):
            self.assertRefused(listener, name)
        self.assertRefused(listener, None)

    def test_internal(self) -> None:
        """
        Under an internal name localhost, addresses and clients without a name are served too,
        foreign names are not.
        """
        listener = Listener(FakeSource("pc.internal"))
        for name in (b"pc.internal", b"localhost", b"127.0.0.1", b"::1", None):
            self.assertTrue(listener.connect(name).finished, name)
        self.assertRefused(listener, b"other.example")

    def test_counted(self) -> None:
        """
        Refused clients are counted apart from failed ones.
        """
        listener = Listener()
        client = listener.connect(b"other.example")
        client.server.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual(listener.handshakes("", "refused"), 1)

    def test_nothingPrinted(self) -> None:
        """
        A refusal leaves no traceback anywhere: scanners come all day.
        """
        printed: list[object] = []
        self.patch(sys, "excepthook", lambda *details: printed.append(details))
        Listener().connect(b"other.example", protocols=[b"spdy/3"])
        Listener().connect(protocols=[b"spdy/3"])
        self.assertEqual((printed, self.flushLoggedErrors()), ([], []))


class RenewalTests(SynchronousTestCase):
    """
    Tests for certificates and tickets over time.
    """

    def setUp(self) -> None:
        """
        Listen for example.com.
        """
        self.clock = Clock()
        self.source = FakeSource()
        self.listener = Listener(self.source, clock=self.clock)

    def test_renewed(self) -> None:
        """
        After a renewal the next client gets the new certificate, and an open connection goes on.
        """
        before = self.listener.connect()
        self.assertEqual(shown(before), self.source.certified.chain[0])
        fresh = certified("example.com", serial=2)
        self.source.replace(fresh)
        after = self.listener.connect()
        self.assertEqual(shown(after), fresh.chain[0])
        before.send(b"still here")
        before.server.write(b"and here")
        self.clock.advance(0)
        self.assertEqual(before.exchange().received, b"and here")
        app: Any = before.server.wrappedProtocol
        self.assertEqual(app.received, [b"still here"])

    def test_metric(self) -> None:
        """
        The end of the certificate's life is a metric.
        """
        value = self.listener.metrics.value(rows.CERTIFICATE_NOT_AFTER, "example.com")
        self.assertEqual(value, self.source.certified.notAfter)

    def resumed(self, version: int, between: float = 0, renew: bool = False) -> bool:
        """
        Whether a second connection resumes the session of a first.
        """
        context = clientContext(version=version)
        first = self.listener.connect(context=context)
        session = first.tls.get_session()
        if renew:
            self.source.replace(certified("example.com", serial=3))
        self.clock.advance(between)
        before = self.listener.handshakes(first.tls.get_protocol_version_name(), "resumed")
        second = self.listener.connect(context=context, session=session)
        self.assertTrue(second.finished)
        name = second.tls.get_protocol_version_name()
        return self.listener.handshakes(name, "resumed") == before + 1

    def test_resumed(self) -> None:
        """
        A client resumes its session, with either version.
        """
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            self.assertTrue(self.resumed(version))

    def test_resumedAfterRenewal(self) -> None:
        """
        It can do so after the certificate was renewed.
        """
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            self.assertTrue(self.resumed(version, renew=True))

    def test_ticketKeysRotate(self) -> None:
        """
        After a day the ticket keys are others: an old ticket costs a full handshake, no more.
        """
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            self.assertFalse(self.resumed(version, TICKET_KEY_LIFE))

    def test_noResumptionUnderAnotherName(self) -> None:
        """
        A session does not open the door for a name that is not served.
        """
        context = clientContext(version=SSL.TLS1_3_VERSION)
        session = self.listener.connect(context=context).tls.get_session()
        client = self.listener.connect(b"other.example", context=context, session=session)
        self.assertIn("unrecognized name", client.alert)


class ChallengeTests(SynchronousTestCase):
    """
    Tests for TLS-ALPN-01 (RFC 8737).
    """

    def setUp(self) -> None:
        """
        Have a challenge pending for example.com, which has a certificate already.
        """
        self.source = FakeSource()
        self.challenge = certified("example.com", serial=99)
        self.source.challenges["example.com"] = self.challenge
        self.listener = Listener(self.source)

    def test_validator(self) -> None:
        """
        The ACME server gets the challenge's certificate and its protocol, however its hello is
        cut into pieces.
        """
        for step in (1 << 20, 1):
            client = Client(self.listener.accept(), protocols=[b"acme-tls/1"]).exchange(step)
            self.assertEqual((client.finished, client.alert), (True, ""))
            self.assertEqual(shown(client), self.challenge.chain[0])
            self.assertEqual(client.tls.get_alpn_proto_negotiated(), b"acme-tls/1")

    def test_others(self) -> None:
        """
        Everybody else gets the site's certificate meanwhile.
        """
        for protocols in ([], [b"h2"], [b"acme-tls/1", b"h2"]):
            client = self.listener.connect(protocols=protocols)
            self.assertEqual(shown(client), self.source.certified.chain[0])

    def test_nothingPending(self) -> None:
        """
        Without a challenge acme-tls/1 is a protocol we do not speak.
        """
        self.source.challenges.clear()
        client = self.listener.connect(protocols=[b"acme-tls/1"])
        self.assertIn("no application protocol", client.alert)

    def test_beforeTheFirstCertificate(self) -> None:
        """
        It works while there is no certificate for the name yet.
        """

        class Empty(FakeSource):
            def certificateFor(self, serverName: str | None) -> CertifiedKey | None:
                return None

        source = Empty()
        source.challenges["example.com"] = self.challenge
        listener = Listener(source)
        self.assertIn("unrecognized name", listener.connect().alert)
        self.assertTrue(listener.connect(protocols=[b"acme-tls/1"]).finished)


class ChainTests(SynchronousTestCase):
    """
    Tests for what is sent.
    """

    def test_rsa(self) -> None:
        """
        An RSA certificate works with both versions.
        """
        source = FakeSource()
        source.certified = certified("example.com", bits=2048)
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            client = Listener(source).connect(context=clientContext(version=version))
            self.assertTrue(client.finished)

    def test_chain(self) -> None:
        """
        The certificates between ours and the root are sent with it.
        """
        own, other = certified("example.com"), certified("intermediate")
        source = FakeSource()
        source.certified = CertifiedKey(own.key, (own.chain[0], other.chain[0]))
        client = Listener(source).connect()
        chain = client.tls.get_peer_cert_chain(as_cryptography=True)
        self.assertEqual(chain, [own.chain[0], other.chain[0]])
