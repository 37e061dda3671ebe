"""
Tests for L{aero.settings.acme}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.settings import load
from aero.settings.acme import LETS_ENCRYPT, LETS_ENCRYPT_STAGING, ACMESettings


class ACMESettingsTests(SynchronousTestCase):
    """
    Tests for L{ACMESettings}.
    """

    def acme(self, **options: str) -> ACMESettings:
        """
        The settings for these options.
        """
        return load({name.replace("_", "-"): value for name, value in options.items()}, {}).acme

    def test_directory(self) -> None:
        """
        The directory is Let's Encrypt's, its staging one by a word, or any other over HTTPS.
        """
        self.assertEqual(self.acme().directory, LETS_ENCRYPT)
        self.assertEqual(self.acme(acme_directory=" Staging ").directory, LETS_ENCRYPT_STAGING)
        self.assertEqual(
            self.acme(acme_directory="https://ca.test/d").directory, "https://ca.test/d"
        )
        for value in ("http://ca.test/d", "ca.test", "testing"):
            error = self.assertRaises(ConfigurationError, self.acme, acme_directory=value)
            self.assertIn("staging", str(error))

    def test_names(self) -> None:
        """
        More names are host names; what no public CA certifies by these challenges is refused.
        """
        found = self.acme(acme_names="WWW.example.com, b.example.com,").names
        self.assertEqual(found, ("www.example.com", "b.example.com"))
        for value in ("*.example.com", "localhost", "192.0.2.1", "https://example.com"):
            self.assertRaises(ConfigurationError, self.acme, acme_names=value)

    def test_challenges(self) -> None:
        """
        Challenges keep their order, each once, and there is at least one.
        """
        found = self.acme(acme_challenge="tls-alpn-01,http-01,tls-alpn-01").kinds
        self.assertEqual(found, ("tls-alpn-01", "http-01"))
        for value in (",", "dns-01"):
            self.assertRaises(ConfigurationError, self.acme, acme_challenge=value)

    def test_email(self) -> None:
        """
        One mail address, without anything that could become another one.
        """
        self.assertEqual(self.acme(acme_email="me@example.com").email, "me@example.com")
        for value in ("me", "a@b.example,c@d.example", "mailto:me@example.com", "a b@example.com"):
            self.assertRaises(ConfigurationError, self.acme, acme_email=value)

    def test_secret(self) -> None:
        """
        The key of an external account is never repeated.
        """
        error = self.assertRaises(
            ConfigurationError, load, {}, {"AERO_ACME_EAB_HMAC_KEY": "not base64!"}
        )
        self.assertNotIn("not base64!", str(error))
