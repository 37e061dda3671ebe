"""
Tests for L{aero.tls.acme.answers}.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from aero.tls.state import StateDirectory
from aero.tls.test.tlsfixtures import FakeSource, Listener

from ..answers import Answers
from ..authority import HTTP_01, TLS_ALPN_01, Challenge
from ..board import Board
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
        self.state = StateDirectory(self.mktemp())
        self.state.open()
        self.answers = self.process()

    def process(self) -> Answers:
        """
        The answers of one process of the site.
        """
        return Answers(lambda: EPOCH, Board(self.state, "acme/answers.json"))

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
        self.assertEqual(list(names.value), [x509.DNSName("example.com")])
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

    def test_otherProcess(self) -> None:
        """
        Every process gives the answers of the one that ordered, for as long as it does, and may
        not remove them when it has none of its own.
        """
        other = self.process()
        self.answers.offer("example.com", challenge(HTTP_01))
        self.answers.offer("example.com", challenge(TLS_ALPN_01))
        other.clear()
        self.assertEqual(other.keyAuthorization("token"), "token.thumbprint")
        self.assertIs(other.keyAuthorization("../account.key"), None)
        found = other.challengeFor("example.com")
        assert found is not None
        self.assertIs(other.challengeFor("example.com"), found)
        self.assertIs(other.challengeFor("other.example"), None)
        path = self.state.path / "acme" / "answers.json"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.answers.clear()
        self.assertFalse(path.exists())
        self.assertIs(other.keyAuthorization("token"), None)
        self.assertIs(other.challengeFor("example.com"), None)

    def test_leftOver(self) -> None:
        """
        What a process left that was killed is removed by the next one whose turn it is.
        """
        self.answers.offer("example.com", challenge(HTTP_01))
        after = self.process()
        after.tidy()
        self.assertIs(self.process().keyAuthorization("token"), None)

    def test_fullDisk(self) -> None:
        """
        Answers that cannot be written are given by this process alone, and that is said.
        """
        (self.state.path / "acme").write_bytes(b"in the way")
        self.answers.offer("example.com", challenge(HTTP_01))
        self.assertEqual(self.answers.keyAuthorization("token"), "token.thumbprint")
        self.assertIs(self.process().keyAuthorization("token"), None)

    def test_unknown(self) -> None:
        """
        There is no answer to a challenge over DNS.
        """
        self.assertRaises(ValueError, self.answers.offer, "example.com", challenge("dns-01"))
