"""
Tests for L{aero.net.acme.answers}.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from aero.net.test.tlsfixtures import FakeSource, Listener

from ..answers import Answers
from ..authority import HTTP_01, TLS_ALPN_01, Challenge
from .fixtures import EPOCH


def challenge(kind: str) -> Challenge:
    """
    An open challenge.
    """
    return Challenge(kind, "https://ca.test/1", "token", "token.thumbprint")


class AnswersTests(SynchronousTestCase):
    """
    Tests for L{Answers}.
    """

    def setUp(self) -> None:
        """
        Have nothing to answer.
        """
        self.answers = Answers(lambda: EPOCH)

    def test_http(self) -> None:
        """
        A token is answered with its key authorization while it is asked for, and no other is.
        """
        self.assertIs(self.answers.keyAuthorization("token"), None)
        self.answers.offer("example.com", challenge(HTTP_01))
        self.assertEqual(self.answers.keyAuthorization("token"), "token.thumbprint")
        self.assertIs(self.answers.keyAuthorization("tokens"), None)
        self.assertIs(self.answers.challengeFor("example.com"), None)
        self.answers.clear()
        self.assertIs(self.answers.keyAuthorization("token"), None)

    def test_certificate(self) -> None:
        """
        The certificate for C{acme-tls/1} has exactly the one name, and the digest in a critical
        extension (RFC 8737 section 3).
        """
        self.answers.offer("Example.com", challenge(TLS_ALPN_01))
        found = self.answers.challengeFor("example.com")
        assert found is not None
        certificate = found.chain[0]
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        self.assertEqual(list(names.value), [x509.DNSName("Example.com")])
        proof = certificate.extensions.get_extension_for_oid(
            x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
        )
        self.assertTrue(proof.critical)
        digest = hashlib.sha256(b"token.thumbprint").digest()
        assert isinstance(proof.value, x509.UnrecognizedExtension)
        self.assertEqual(proof.value.value, b"\x04\x20" + digest)
        certificate.verify_directly_issued_by(certificate)
        self.answers.clear()
        self.assertIs(self.answers.challengeFor("example.com"), None)

    def test_served(self) -> None:
        """
        The TLS listener presents it to who offers C{acme-tls/1} alone, and to nobody else.
        """
        self.answers.offer("example.com", challenge(TLS_ALPN_01))
        source = FakeSource()
        found = self.answers.challengeFor("example.com")
        assert found is not None
        source.challenges["example.com"] = found
        listener = Listener(source)
        asking = listener.connect(protocols=[b"acme-tls/1"])
        self.assertEqual(asking.tls.get_alpn_proto_negotiated(), b"acme-tls/1")
        seen = asking.tls.get_peer_certificate(as_cryptography=True)
        self.assertEqual(seen, found.chain[0])
        other = listener.connect(protocols=[b"h2", b"acme-tls/1"])
        self.assertNotEqual(other.tls.get_peer_certificate(as_cryptography=True), found.chain[0])

    def test_unknown(self) -> None:
        """
        There is no answer to a challenge over DNS.
        """
        self.assertRaises(ValueError, self.answers.offer, "example.com", challenge("dns-01"))
