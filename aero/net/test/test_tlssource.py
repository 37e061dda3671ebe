"""
Tests for L{aero.net.tlssource}.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.net.ca import InternalSource
from aero.net.certificates import CertificateSource
from aero.net.state import StateDirectory
from aero.net.tlsfiles import FileSource
from aero.net.tlssource import certificateSource
from aero.settings.server import ServerSettings
from aero.settings.tls import TLSSettings

from .tlsfixtures import EPOCH, certified, metricsForTLS


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
        self, mode: str, domain: str = "localhost", tls: TLSSettings | None = None
    ) -> CertificateSource | None:
        """
        The source for these settings.
        """
        return certificateSource(
            ServerSettings(tlsMode=mode, domain=domain),
            tls or TLSSettings(),
            openState=self.openState,
            clock=Clock(),
            now=lambda: EPOCH,
            metrics=metricsForTLS(),
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
        A public name without a certificate is an error that says what to do.
        """
        error = self.assertRaises(ConfigurationError, self.source, "auto", "example.com")
        for word in ("example.com", "--tls-cert", "--tls internal", "--tls off"):
            self.assertIn(word, str(error))
