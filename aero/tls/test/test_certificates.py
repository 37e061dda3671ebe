"""
Tests for L{aero.tls.certificates}.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from twisted.trial.unittest import SynchronousTestCase

from aero.tls.certificates import MAX_CHAIN, CertifiedKey, ServedNames

from .tlsfixtures import certified


class CertifiedKeyTests(SynchronousTestCase):
    """
    Tests for L{CertifiedKey}.
    """

    def setUp(self) -> None:
        """
        Have a certificate.
        """
        self.made = certified("example.com", "*.example.com", "192.0.2.1")
        self.certificate = self.made.certificatesPEM()
        self.key = self.made.keyPEM()

    def test_roundTrip(self) -> None:
        """
        What was written as PEM is read from it, also from one file with both.
        """
        for pair in ((self.certificate, self.key), (self.key + self.certificate,) * 2):
            found = CertifiedKey.fromPEM(*pair)
            self.assertEqual(found.chain, self.made.chain)
            self.assertEqual(found.fingerprint, self.made.fingerprint)

    def test_names(self) -> None:
        """
        The names and addresses that it is good for can be told.
        """
        self.assertEqual(self.made.names, ("example.com", "*.example.com", "192.0.2.1"))

    def test_keyIsNotShown(self) -> None:
        """
        Its representation for logs has no key in it.
        """
        self.assertNotIn("key=", repr(self.made))

    def assertUnusable(self, certificates: bytes, key: bytes, expected: str) -> None:
        """
        Reading is refused with this text.
        """
        error = self.assertRaises(ValueError, CertifiedKey.fromPEM, certificates, key)
        self.assertIn(expected, str(error))

    def test_noCertificate(self) -> None:
        """
        A file without a certificate is refused.
        """
        for text in (b"", b"text", self.key, self.certificate[:300], b"\xff\x00" * 50):
            self.assertUnusable(text, self.key, "no PEM certificate")

    def test_noKey(self) -> None:
        """
        A file without a key is refused.
        """
        for text in (b"", b"text", self.certificate, self.key[:100], b"\xff\x00" * 50):
            self.assertUnusable(self.certificate, text, "no PEM private key")

    def test_otherKey(self) -> None:
        """
        A key of another certificate is refused.
        """
        other = certified("other.example").keyPEM()
        self.assertUnusable(self.certificate, other, "does not belong")

    def test_encryptedKey(self) -> None:
        """
        An encrypted key is refused, as nobody is there to type the password.
        """
        pem = self.made.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
        self.assertUnusable(self.certificate, pem, "encrypted")

    def test_kindsOfKeys(self) -> None:
        """
        A key that cannot sign is refused as such, one that can is compared.
        """
        for key, expected in (
            (x25519.X25519PrivateKey.generate(), "cannot sign"),
            (ed25519.Ed25519PrivateKey.generate(), "does not belong"),
        ):
            pem = key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            self.assertUnusable(self.certificate, pem, expected)

    def test_shortKey(self) -> None:
        """
        A key that is too short for OpenSSL is refused here, and not at the first handshake.
        """
        made = certified("example.com", bits=1024)
        self.assertUnusable(made.certificatesPEM(), made.keyPEM(), "key too small")

    def test_longChain(self) -> None:
        """
        A whole trust store in place of a chain is refused.
        """
        self.assertUnusable(self.certificate * (MAX_CHAIN + 1), self.key, "more than")


class ServedNamesTests(SynchronousTestCase):
    """
    Tests for L{ServedNames}.
    """

    def accepted(self, domain: str, *certified: str) -> list[str | None]:
        """
        Which of some names a site answers to.
        """
        names = ServedNames(domain)
        asked = (
            "example.com",
            "www.example.com",
            "a.b.example.com",
            "pc.internal",
            "localhost",
            "127.0.0.1",
            "2001:db8::1",
            "",
            "com",
            None,
        )
        return [name for name in asked if names.accepts(name, certified)]

    def test_public(self) -> None:
        """
        A public site answers to its own name.
        """
        self.assertEqual(self.accepted("example.com"), ["example.com"])

    def test_certified(self) -> None:
        """
        It answers to the other names of its certificate; a star stands for one label.
        """
        self.assertEqual(
            self.accepted("example.com", "*.example.com", "*.com"),
            ["example.com", "www.example.com"],
        )

    def test_internal(self) -> None:
        """
        An internal site answers to localhost, addresses and no name too.
        """
        self.assertEqual(
            self.accepted("pc.internal"),
            ["pc.internal", "localhost", "127.0.0.1", "2001:db8::1", None],
        )
