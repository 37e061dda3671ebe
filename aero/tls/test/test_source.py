"""
Tests for L{aero.tls.source}.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.metrics import ROWS, Metrics
from aero.settings.acme import ACMESettings
from aero.settings.server import ServerSettings
from aero.settings.tls import TLSSettings
from aero.tls.acme.source import ACMESource
from aero.tls.ca import InternalSource
from aero.tls.certificates import CertificateSource
from aero.tls.files import FileSource
from aero.tls.source import certificateSource
from aero.tls.state import StateDirectory

from .tlsfixtures import EPOCH, certified


class CertificateSourceTests(SynchronousTestCase):
    """
    Tests for L{certificateSource}.
    """

    def setUp(self) -> None:
        """
        Have a certificate in files.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        made = certified("example.com")
        (directory / "crt").write_bytes(made.certificatesPEM())
        (directory / "key").write_bytes(made.keyPEM())
        self.files = TLSSettings(certPath=str(directory / "crt"), keyPath=str(directory / "key"))
        self.opened = 0

    def openState(self) -> StateDirectory:
        """
        A fresh state directory.
        """
        self.opened += 1
        state = StateDirectory(self.mktemp())
        state.open()
        return state

    def source(
        self,
        mode: str,
        domain: str = "localhost",
        tls: TLSSettings | None = None,
        acme: ACMESettings | None = None,
        **server: object,
    ) -> CertificateSource | None:
        """
        The source for these settings.
        """
        return certificateSource(
            ServerSettings(**{"tlsMode": mode, "domain": domain, **server}),  # type: ignore[arg-type]
            tls or TLSSettings(),
            acme or ACMESettings(),
            openState=self.openState,
            reactor=Clock(),
            now=lambda: EPOCH,
            metrics=Metrics(ROWS),
        )

    def test_internal(self) -> None:
        """
        An internal name gets the internal CA by itself, a public one on request.
        """
        self.assertIsInstance(self.source("auto"), InternalSource)
        self.assertIsInstance(self.source("internal", "example.com"), InternalSource)

    def test_files(self) -> None:
        """
        Files are used where they are given or asked for, and need no state directory.
        """
        for mode in ("auto", "files"):
            self.assertIsInstance(self.source(mode, "example.com", self.files), FileSource)
        self.assertEqual(self.opened, 0)

    def test_filesMissing(self) -> None:
        """
        Asking for files without naming them, or naming one of them only, is an error.
        """
        for mode, tls in (
            ("files", TLSSettings()),
            ("auto", TLSSettings(keyPath=self.files.keyPath)),
        ):
            error = self.assertRaises(ConfigurationError, self.source, mode, "localhost", tls)
            self.assertIn("TLS_CERT_PATH is required when TLS_ENABLED=1", str(error))

    def test_off(self) -> None:
        """
        Behind a proxy there is no certificate, whatever files are named.
        """
        self.assertIs(self.source("off", tls=self.files), None)

    def test_public(self) -> None:
        """
        A public name gets its certificate from a public CA by itself, an internal one on request.
        """
        self.assertIsInstance(self.source("auto", "example.com"), ACMESource)
        own = ACMESettings(directory="https://ca.internal/directory")
        self.assertIsInstance(self.source("acme", "pc.internal", acme=own), ACMESource)

    def test_publicCAForInternalName(self) -> None:
        """
        A name that no public CA certifies is an error that says what to do.
        """
        for domain, names in (("pc.internal", ()), ("example.com", ("pc.internal",))):
            error = self.assertRaises(
                ConfigurationError, self.source, "acme", domain, None, ACMESettings(names=names)
            )
            for word in ("pc.internal", "--tls internal", "--acme-directory"):
                self.assertIn(word, str(error))

    def test_noChallenge(self) -> None:
        """
        Without the listener for plain HTTP there is no answer to C{http-01}, and it is an error if
        nothing else may be used.
        """
        found = self.source("acme", "example.com", httpPort=0)
        self.assertIsInstance(found, ACMESource)
        error = self.assertRaises(
            ConfigurationError,
            self.source,
            "acme",
            "example.com",
            None,
            ACMESettings(kinds=("http-01",)),
            httpPort=0,
        )
        self.assertIn("AERO_ACME_CHALLENGES", str(error))

    def test_badRoots(self) -> None:
        """
        A file of roots that holds none is an error, and so is half an external account.
        """
        for settings, word in (
            (ACMESettings(roots="/nonexistent"), "AERO_ACME_CA_FILE"),
            (ACMESettings(externalID="kid"), "AERO_ACME_EAB_HMAC_KEY"),
        ):
            error = self.assertRaises(
                ConfigurationError, self.source, "acme", "example.com", None, settings
            )
            self.assertIn(word, str(error))
