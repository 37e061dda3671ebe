"""
Tests for L{aero.tls.ca}.
"""

from __future__ import annotations

import datetime
import os
import stat
from pathlib import Path
from unittest import mock

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import StartError
from aero.metrics import tls as rows
from aero.tls.ca import LOOK_INTERVAL, ROOT_LIFE, InternalCA, InternalSource
from aero.tls.certificates import CertifiedKey
from aero.tls.state import StateDirectory

from .tlsfixtures import DAY, EPOCH, metricsForTLS


class _CATestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """
        Open a state directory at the beginning of 2026.
        """
        self.state = StateDirectory(self.mktemp())
        self.state.open()
        self.time = EPOCH
        self.clock = Clock()
        self.metrics = metricsForTLS()
        self.ca = self.state.path / "ca"

    def authority(self) -> InternalCA:
        """
        The CA, as a process that starts now has it.
        """
        return InternalCA(self.state, now=lambda: self.time)

    def source(self, domain: str = "localhost") -> InternalSource:
        """
        The source, as a process that starts now has it.
        """
        return InternalSource(
            self.state, domain, clock=self.clock, now=lambda: self.time, metrics=self.metrics
        )

    def shown(self, source: InternalSource) -> CertifiedKey:
        """
        The certificate for the site name.
        """
        (found,) = source.current()
        return found

    def verify(self, certified: CertifiedKey, name: str) -> None:
        """
        Do what a client does that trusts nothing but the file root.crt.
        """
        root = x509.load_pem_x509_certificate((self.ca / "root.crt").read_bytes())
        when = datetime.datetime.fromtimestamp(self.time, datetime.UTC)
        subject = x509.DNSName(name)
        verifier = PolicyBuilder().store(Store([root])).time(when).build_server_verifier(subject)
        verifier.verify(certified.chain[0], list(certified.chain[1:]))


class RootTests(_CATestCase):
    """
    Tests for L{InternalCA}.
    """

    def test_root(self) -> None:
        """
        The root is a P-256 CA that may sign certificates only, for about ten years.
        """
        root = self.authority().root.chain[0]
        constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
        self.assertTrue(constraints.critical and constraints.value.ca)
        self.assertEqual(constraints.value.path_length, 0)
        usage = root.extensions.get_extension_for_class(x509.KeyUsage)
        self.assertTrue(usage.critical and usage.value.key_cert_sign and usage.value.crl_sign)
        self.assertFalse(usage.value.digital_signature)
        self.assertIn("aero internal CA (", root.subject.rfc4514_string())
        self.assertEqual(root.not_valid_after_utc.timestamp(), EPOCH + ROOT_LIFE.total_seconds())
        self.assertLess(root.not_valid_before_utc.timestamp(), EPOCH)

    def test_files(self) -> None:
        """
        The certificate may be read by everybody, its key by us alone.
        """
        self.authority()
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.ca.iterdir()}
        self.assertEqual(modes, {"root.crt": 0o644, "root.key": 0o600})

    def test_kept(self) -> None:
        """
        The root is the same after a restart, and another one in another directory.
        """
        first = self.authority().root.fingerprint
        self.time += 1000 * DAY
        self.assertEqual(self.authority().root.fingerprint, first)
        other = StateDirectory(self.mktemp())
        other.open()
        self.assertNotEqual(InternalCA(other, now=lambda: EPOCH).root.fingerprint, first)

    def test_damaged(self) -> None:
        """
        A damaged root stops the start, names the file, and is left as it is.
        """
        self.authority()
        good = {path: path.read_bytes() for path in self.ca.iterdir()}
        crt, key = self.ca / "root.crt", self.ca / "root.key"
        other = StateDirectory(self.mktemp())
        other.open()
        InternalCA(other, now=lambda: EPOCH)
        foreign = (other.path / "ca" / "root.key").read_bytes()
        leaf = self.authority().certify("localhost")
        for path, content in (
            (crt, b""),
            (crt, good[crt][:200]),
            (key, b""),
            (key, good[key][:100]),
            (key, foreign),
        ):
            for each, data in good.items():
                each.write_bytes(data)
            path.write_bytes(content)
            error = self.assertRaises(StartError, self.authority)
            self.assertIn(str(crt), str(error))
            self.assertEqual(path.read_bytes(), content)
        crt.write_bytes(leaf.certificatesPEM())
        key.write_bytes(leaf.keyPEM())
        self.assertRaises(StartError, self.authority)

    def test_keyLost(self) -> None:
        """
        A root whose key is missing stops the start.
        """
        self.authority()
        (self.ca / "root.key").unlink()
        self.assertIn("its key is missing", str(self.assertRaises(StartError, self.authority)))

    def test_crashBetween(self) -> None:
        """
        A key without a certificate, as a crash leaves it, is made anew with one.
        """
        self.authority()
        (self.ca / "root.crt").unlink()
        self.assertEqual(self.authority().root.fingerprint, self.authority().root.fingerprint)

    def test_expired(self) -> None:
        """
        A root that is about to expire is replaced, and what it signs then is good.
        """
        first = self.authority().root.fingerprint
        self.time += ROOT_LIFE.total_seconds() - DAY
        authority = self.authority()
        leaf = authority.certify("localhost")
        self.assertNotEqual(authority.root.fingerprint, first)
        self.verify(leaf, "localhost")
        self.assertEqual(self.authority().root.fingerprint, authority.root.fingerprint)


class SourceTests(_CATestCase):
    """
    Tests for L{InternalSource}.
    """

    def test_leaf(self) -> None:
        """
        A client that trusts the root verifies the site name, localhost and the loopback
        addresses, by a certificate made for servers.
        """
        leaf = self.shown(self.source("pc.internal"))
        self.assertEqual(leaf.names, ("pc.internal", "localhost", "127.0.0.1", "::1"))
        for name in ("pc.internal", "localhost"):
            self.verify(leaf, name)
        extensions = leaf.chain[0].extensions
        usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        self.assertEqual(list(usage), [ExtendedKeyUsageOID.SERVER_AUTH])
        self.assertLessEqual(leaf.notBefore, EPOCH - 3600)

    def test_subject(self) -> None:
        """
        The certificate has the site's name as its subject; where the name is too long for that
        it has none, and the alternative names are critical instead (RFC 5280 section 4.2.1.6).
        """
        long = ".".join(["l" * 32] * 3)
        for domain, subject in (("pc.internal", "CN=pc.internal"), (long, "")):
            leaf = self.shown(self.source(domain)).chain[0]
            self.assertEqual(leaf.subject.rfc4514_string(), subject)
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            self.assertEqual(names.critical, not subject)

    def test_address(self) -> None:
        """
        A site without a name has its address in the certificate.
        """
        names = self.shown(self.source("192.0.2.7")).names
        self.assertEqual(names, ("localhost", "192.0.2.7", "127.0.0.1", "::1"))

    def test_restart(self) -> None:
        """
        A restart keeps root and certificate.
        """
        first = self.source()
        second = self.source()
        self.assertEqual(second.ca.root.fingerprint, first.ca.root.fingerprint)
        self.assertEqual(self.shown(second).fingerprint, self.shown(first).fingerprint)

    def test_leafDeleted(self) -> None:
        """
        A deleted, damaged, expired, foreign or renamed certificate is made anew by the same root.
        """
        first = self.source()

        def delete() -> None:
            (self.ca / "site.pem").unlink()

        def damage() -> None:
            (self.ca / "site.pem").write_bytes(b"-----BEGIN")

        def expire() -> None:
            self.time += 8 * DAY

        def exchange() -> None:
            other = StateDirectory(self.mktemp())
            other.open()
            made = InternalCA(other, now=lambda: self.time).certify("localhost")
            (self.ca / "site.pem").write_bytes(made.keyPEM() + made.certificatesPEM())

        for change in (delete, damage, expire, exchange):
            change()
            again = self.source()
            self.assertEqual(again.ca.root.fingerprint, first.ca.root.fingerprint)
            self.assertNotEqual(self.shown(again).fingerprint, self.shown(first).fingerprint)
            self.verify(self.shown(again), "localhost")
        self.verify(self.shown(self.source("other.internal")), "other.internal")

    def test_renewed(self) -> None:
        """
        While the process runs the certificate is renewed after two thirds of its life, and
        those who asked are told.
        """
        source = self.source()
        told: list[bool] = []
        source.onChange(lambda: told.append(True))
        source.start()
        first = self.shown(source)
        life = first.notAfter - first.notBefore
        elapsed = 0.0
        while not told:
            self.clock.advance(LOOK_INTERVAL)
            elapsed += LOOK_INTERVAL
            self.time = EPOCH + elapsed
            self.assertLess(elapsed, 7 * DAY)
        self.assertGreater(self.time, first.notBefore + life * 0.66)
        self.assertGreater(first.notAfter - self.time, 2 * DAY)
        self.verify(self.shown(source), "localhost")
        self.assertEqual(self.shown(self.source()).fingerprint, self.shown(source).fingerprint)
        self.assertEqual(self.metrics.value(rows.RELOADS, "success"), 1)
        source.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_oneForAll(self) -> None:
        """
        Processes that use one directory agree on the certificate after every renewal, and on the
        next root.
        """
        sources = [self.source() for _ in range(3)]
        roots = set()
        for age in (0.0, 6 * DAY, ROOT_LIFE.total_seconds() - 3 * DAY):
            self.time = EPOCH + age
            for source in sources:
                source.reload()
            shown = {self.shown(source).fingerprint for source in sources}
            self.assertEqual(len(shown), 1, age)
            roots |= {source.ca.root.fingerprint for source in sources}
        self.assertEqual(len(roots), 2)

    def test_slept(self) -> None:
        """
        A machine that slept for a week renews with the next look at the clock.
        """
        source = self.source()
        source.start()
        self.addCleanup(source.stop)
        self.time += 7 * DAY
        self.clock.advance(LOOK_INTERVAL)
        self.verify(self.shown(source), "localhost")

    def test_renewalFails(self) -> None:
        """
        With a full disk the old certificate stays, the failure is counted, and renewal is tried
        again.
        """
        source = self.source()
        source.start()
        self.addCleanup(source.stop)
        first = self.shown(source).fingerprint
        self.time += 6 * DAY
        with mock.patch.object(os, "fsync", side_effect=OSError(28, "No space left on device")):
            self.clock.advance(LOOK_INTERVAL)
        self.assertEqual(self.shown(source).fingerprint, first)
        self.assertEqual(self.metrics.value(rows.RELOADS, "failure"), 1)
        self.clock.advance(LOOK_INTERVAL)
        self.assertNotEqual(self.shown(source).fingerprint, first)

    def test_reload(self) -> None:
        """
        An operator's reload does not renew what is still good.
        """
        source = self.source()
        first = self.shown(source)
        source.reload()
        self.assertIs(self.shown(source), first)

    def test_answers(self) -> None:
        """
        It answers to its own names only, and knows no challenges.
        """
        source = self.source("pc.internal")
        for name in ("pc.internal", "localhost", None, "::1"):
            self.assertIs(source.certificateFor(name), self.shown(source))
        self.assertIs(source.certificateFor("other.internal"), None)
        self.assertIs(source.challengeFor("pc.internal"), None)

    def test_rootPath(self) -> None:
        """
        The file to import is where the documentation says.
        """
        self.source()
        self.assertTrue(Path(self.state.path, "ca", "root.crt").is_file())
