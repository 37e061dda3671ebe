"""
Tests for L{aero.tls.files}.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.metrics import tls as rows
from aero.settings.tls import TLSSettings
from aero.tls.certificates import CertifiedKey
from aero.tls.files import FileSource

from .tlsfixtures import certified, metricsForTLS


class FileSourceTests(SynchronousTestCase):
    """
    Tests for L{FileSource}.
    """

    def setUp(self) -> None:
        """
        Have a certificate in files.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        self.crt, self.key = directory / "tls.crt", directory / "tls.key"
        self.first = certified("example.com", "www.example.com")
        self.second = certified("example.com", "www.example.com", serial=2)
        self.clock = Clock()
        self.metrics = metricsForTLS()
        self.messages: list[str] = []

        def observe(event: LogEvent) -> None:
            self.messages.append(event["log_format"])

        self.patch(FileSource, "_log", Logger(observer=cast(ILogObserver, observe)))
        self.put(self.first)

    def put(self, certified: CertifiedKey) -> None:
        """
        Replace both files, as tools do it: by renaming.
        """
        for path, data in ((self.crt, certified.certificatesPEM()), (self.key, certified.keyPEM())):
            self.replace(path, data)

    def replace(self, path: Path, data: bytes) -> None:
        """
        Replace one file.
        """
        fresh = path.with_suffix(".new")
        fresh.write_bytes(data)
        fresh.rename(path)

    def source(self, certPath: str | None = None, keyPath: str | None = None) -> FileSource:
        """
        The source, with these paths in place of those of the two files.
        """
        return FileSource(
            TLSSettings(
                certPath=str(self.crt) if certPath is None else certPath,
                keyPath=str(self.key) if keyPath is None else keyPath,
                fileCheckInterval=60,
            ),
            "example.com",
            clock=self.clock,
            metrics=self.metrics,
        )

    def serial(self, source: FileSource) -> int:
        """
        The serial number of the certificate in use.
        """
        found = source.certificateFor("example.com")
        assert found is not None
        return found.chain[0].serial_number

    def assertUnusable(self, variable: str, expected: str, **settings: str) -> None:
        """
        The start is refused, with this text about this variable.
        """
        error = self.assertRaises(ConfigurationError, self.source, **settings)
        self.assertEqual(error.variable, variable)
        self.assertIn(expected, str(error))

    def test_served(self) -> None:
        """
        The certificate is served for the site name and the names in it, and for no other.
        """
        source = self.source()
        for name in ("example.com", "www.example.com"):
            found = source.certificateFor(name)
            assert found is not None
            self.assertEqual(found.chain, self.first.chain)
        for refused in ("other.example", "localhost", None):
            self.assertIs(source.certificateFor(refused), None)
        self.assertIs(source.challengeFor("example.com"), None)

    def test_unnamed(self) -> None:
        """
        Without paths the start is refused; without a key it is the key that is missing.
        """
        self.assertUnusable(
            "TLS_CERT_PATH", "TLS_CERT_PATH is required when TLS_ENABLED=1", certPath=""
        )
        self.assertUnusable(
            "TLS_KEY_PATH", "TLS_KEY_PATH is required when TLS_ENABLED=1", keyPath=""
        )

    def test_missing(self) -> None:
        """
        A path without a file is refused by name.
        """
        text = "TLS_KEY_PATH does not exist: /nonesuch/key"
        self.assertUnusable("TLS_KEY_PATH", text, keyPath="/nonesuch/key")
        text = "TLS_CERT_PATH does not exist: /nonesuch/crt"
        self.assertUnusable("TLS_CERT_PATH", text, certPath="/nonesuch/crt")

    def test_noFile(self) -> None:
        """
        A directory, a pipe or something huge is refused, not read.
        """
        pipe = self.crt.with_name("pipe")
        os.mkfifo(pipe)
        self.assertUnusable("TLS_CERT_PATH", "is not a file", certPath=str(pipe))
        self.assertUnusable("TLS_CERT_PATH", "directory", certPath=str(self.crt.parent))
        huge = self.crt.with_name("huge")
        with open(huge, "wb") as file:
            file.truncate(1 << 40)
        self.assertUnusable("TLS_KEY_PATH", "too large", keyPath=str(huge))

    def test_unusable(self) -> None:
        """
        Files that are no certificate and key of each other are refused.
        """
        self.replace(self.key, self.second.keyPEM())
        self.assertUnusable("TLS_CERT_PATH", "does not belong")
        self.replace(self.crt, b"text")
        self.assertUnusable("TLS_CERT_PATH", "no PEM certificate")

    def test_anotherName(self) -> None:
        """
        A certificate that is not good for the site name is used, with a warning.
        """
        self.source()
        self.assertEqual(self.messages, [])
        self.put(certified("other.example"))
        source = self.source()
        self.assertEqual(len(self.messages), 1)
        self.assertIsNot(source.certificateFor("example.com"), None)

    def test_tooShort(self) -> None:
        """
        A new key that OpenSSL does not accept leaves the old certificate in use.
        """
        source = self.source()
        self.put(certified("example.com", bits=1024))
        source.reload()
        self.assertEqual(self.serial(source), 1)
        self.assertEqual(self.metrics.value(rows.RELOADS, "failure"), 1)

    def test_reloaded(self) -> None:
        """
        A reload reads new files and tells those who asked.
        """
        source = self.source()
        told: list[int] = []
        source.onChange(lambda: told.append(self.serial(source)))
        self.put(self.second)
        source.reload()
        self.assertEqual((self.serial(source), told), (2, [2]))

    def test_reloadedUnchanged(self) -> None:
        """
        A reload of the same files changes nothing, so that contexts and sessions stay.
        """
        source = self.source()
        before = source.certificateFor("example.com")
        source.onChange(lambda: self.fail("nothing changed"))
        source.reload()
        self.assertIs(source.certificateFor("example.com"), before)

    def test_noticed(self) -> None:
        """
        Replaced files are noticed without a reload, once.
        """
        source = self.source()
        source.start()
        self.clock.advance(60)
        self.put(self.second)
        self.assertEqual(self.serial(source), 1)
        self.clock.advance(60)
        self.clock.advance(60)
        self.assertEqual(self.serial(source), 2)
        self.assertEqual(self.metrics.value(rows.RELOADS, "success"), 1)
        source.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_symbolicLinks(self) -> None:
        """
        A link that is pointed elsewhere counts as a replaced file: so Kubernetes does it.
        """
        directory = self.crt.parent
        for name, each in (("one", self.first), ("two", self.second)):
            (directory / name).mkdir()
            (directory / name / "tls.crt").write_bytes(each.certificatesPEM())
            (directory / name / "tls.key").write_bytes(each.keyPEM())
        link = directory / "data"
        link.symlink_to("one")
        source = self.source(certPath=str(link / "tls.crt"), keyPath=str(link / "tls.key"))
        source.start()
        self.addCleanup(source.stop)
        fresh = directory / "fresh"
        fresh.symlink_to("two")
        fresh.rename(link)
        self.clock.advance(60)
        self.assertEqual(self.serial(source), 2)

    def test_broken(self) -> None:
        """
        A broken new file leaves the old certificate in use, and is logged and counted, once; a
        good one is taken after that.
        """
        source = self.source()
        source.start()
        self.addCleanup(source.stop)
        self.replace(self.crt, self.second.certificatesPEM())
        self.clock.advance(60)
        self.clock.advance(60)
        self.assertEqual(self.serial(source), 1)
        self.assertEqual(self.metrics.value(rows.RELOADS, "failure"), 1)
        self.assertEqual(len([text for text in self.messages if "stays in use" in text]), 1)
        self.replace(self.key, self.second.keyPEM())
        self.clock.advance(60)
        self.assertEqual(self.serial(source), 2)

    def test_vanished(self) -> None:
        """
        Files that are gone for a moment are waited for; a reload in that moment is a failure.
        """
        source = self.source()
        source.start()
        self.addCleanup(source.stop)
        self.crt.unlink()
        self.clock.advance(60)
        self.assertEqual(self.metrics.value(rows.RELOADS, "failure"), 0)
        source.reload()
        self.assertEqual(self.metrics.value(rows.RELOADS, "failure"), 1)
        self.assertEqual(self.serial(source), 1)
        self.put(self.second)
        self.clock.advance(60)
        self.assertEqual(self.serial(source), 2)
