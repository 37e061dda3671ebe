"""
Tests for L{aero.tls.acme.source}.
"""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.defer import Deferred

from aero.metrics import acme as rows
from aero.settings.acme import ACMESettings
from aero.tls.certificates import CertifiedKey
from aero.tls.test.tlsfixtures import certified

from ..authority import KINDS, ACMEError, Window
from ..keeper import Keeper
from ..source import LOOK_INTERVAL, renewalID
from .fixtures import DAY, wait
from .sourcefixtures import SourceTestCase


class FirstTests(SourceTestCase):
    """
    The first certificate.
    """

    def test_placeholder(self) -> None:
        """
        Until there is a certificate, a self-signed one is served, and browsers would not accept it.
        """
        source = self.source(names=("www.example.com",))
        shown = self.shown(source)
        self.assertEqual(shown.names, ("example.com", "www.example.com"))
        shown.chain[0].verify_directly_issued_by(shown.chain[0])
        self.assertIs(source.certificateFor("www.example.com"), shown)
        self.assertFalse(source.isUsable())
        self.assertEqual(source.describe(), {"placeholder": True})
        source.start()
        self.assertEqual(self.metrics.value(rows.PLACEHOLDER), 1)

    def test_strangers(self) -> None:
        """
        No other name gets a certificate, nor a client that names none.
        """
        source = self.source()
        for name in ("evil.example", "www.example.com", "localhost", None):
            self.assertIs(source.certificateFor(name), None)

    def test_first(self) -> None:
        """
        The certificate is ordered at once and takes the placeholder's place.
        """
        source = self.started(names=("www.example.com",))
        self.assertEqual(self.authority.asked[1], ("order", ("example.com", "www.example.com"), ""))
        self.assertEqual(self.changes, 1)
        self.assertTrue(source.isUsable())
        self.assertEqual(list(source.current()), [self.shown(source)])
        described = source.describe()
        self.assertEqual(described["placeholder"], False)
        self.assertEqual(self.metrics.value(rows.PLACEHOLDER), 0)
        self.assertEqual(self.metrics.value(rows.ATTEMPTS, "success"), 1)

    def test_restart(self) -> None:
        """
        A restart takes up the certificate and orders nothing.
        """
        first = self.shown(self.started())
        source = self.started()
        self.assertEqual(self.shown(source).chain, first.chain)
        self.assertEqual(self.authority.times("order"), 1)

    def test_moreNames(self) -> None:
        """
        Another name orders another certificate; the old one serves until it is there.
        """
        first = self.shown(self.started())
        source = self.source(names=("www.example.com",))
        self.assertEqual(self.shown(source).chain, first.chain)
        source.start()
        wait(self.clock, 10)
        self.assertEqual(self.shown(source).names, ("example.com", "www.example.com"))

    def test_otherDomain(self) -> None:
        """
        A kept certificate of another site is not served.
        """
        Keeper(self.state, ACMESettings()).keepCertificate(certified("other.example"))
        self.assertEqual(self.shown(self.source()).names, ("example.com",))

    def test_otherKind(self) -> None:
        """
        If one kind of challenge fails, the other one is tried within seconds.
        """
        self.authority.judge = lambda challenge: (
            ACMEError("connection", "refused") if challenge.kind == KINDS[0] else None
        )
        source = self.started()
        self.assertTrue(source.isUsable())
        answered = [each[1] for each in self.authority.asked if each[0] == "answer"]
        self.assertEqual(answered, list(KINDS))
        self.assertEqual(self.metrics.value(rows.CHALLENGES, KINDS[0], "failure"), 1)
        self.assertEqual(self.metrics.value(rows.CHALLENGES, KINDS[1], "success"), 1)

    def test_placeholderRenewed(self) -> None:
        """
        An authority that stays away for months does not let the placeholder expire.
        """
        self.fail("unreachable")
        source = self.started()
        for _ in range(80):
            wait(self.clock, DAY, LOOK_INTERVAL)
            self.assertGreater(self.shown(source).notAfter, self.now())


class RenewalTests(SourceTestCase):
    """
    Renewal, and what stands in its way.
    """

    def test_renewed(self) -> None:
        """
        A certificate is renewed when a third of its life is left, and says which one it replaces.
        """
        source = self.started()
        first = self.shown(source)
        wait(self.clock, 59 * DAY, LOOK_INTERVAL)
        self.assertIs(self.shown(source), first)
        wait(self.clock, DAY + 2 * LOOK_INTERVAL, LOOK_INTERVAL)
        wait(self.clock, 10)
        self.assertGreater(self.shown(source).notAfter, first.notAfter)
        self.assertEqual(self.changes, 2)
        orders = [each for each in self.authority.asked if each[0] == "order"]
        self.assertEqual([order[2] for order in orders], ["", renewalID(first)])

    def test_shortLife(self) -> None:
        """
        Certificates of minutes are renewed in time again and again, without a gap.
        """
        self.authority.life = 120
        source = self.started()
        for _ in range(600):
            self.clock.advance(1)
            self.assertTrue(source.isUsable())
        self.assertLess(self.authority.times("order"), 12)

    def test_window(self) -> None:
        """
        The authority's word about renewal counts, and is asked for every few hours.
        """
        source = self.started()
        first = self.shown(source)
        self.dice = 0.5
        begin = self.now() + 5 * DAY
        self.authority.window = Window(begin, begin + 2 * DAY, 3_600.0)
        wait(self.clock, 5.5 * DAY, LOOK_INTERVAL)
        self.assertIs(self.shown(source), first)
        asked = self.authority.times("renewalWindow")
        self.assertTrue(5 * 20 < asked < 5.5 * 25, asked)
        wait(self.clock, DAY, LOOK_INTERVAL)
        self.assertIsNot(self.shown(source), first)

    def test_revoked(self) -> None:
        """
        A window in the past, which is how authorities announce a revocation, renews at once.
        """
        source = self.started()
        first = self.shown(source)
        self.authority.window = Window(0, 1)
        source.reload()
        wait(self.clock, 10)
        self.assertIsNot(self.shown(source), first)
        self.authority.window = None

    def test_insatiable(self) -> None:
        """
        An authority that always wants a certificate replaced gets one an hour at most, restarts
        included.
        """
        self.authority.window = Window(0, 1)
        self.started()
        for _ in range(24):
            source = self.source()
            source.start()
            wait(self.clock, 3_600, LOOK_INTERVAL)
        self.assertLessEqual(self.authority.times("order"), 25)
        self.assertGreater(self.authority.times("order"), 12)

    def test_slowClock(self) -> None:
        """
        A certificate that is not valid yet, as our clock is slow, is waited for and not replaced.
        """
        self.authority.ahead = 7_200
        source = self.started()
        self.assertFalse(source.isUsable())
        wait(self.clock, 7_200, LOOK_INTERVAL)
        self.assertTrue(source.isUsable())
        self.assertEqual(self.authority.times("order"), 1)

    def test_windowFails(self) -> None:
        """
        An authority that does not say is no obstacle.
        """
        source = self.started()
        first = self.shown(source)
        self.authority.obstacle = {"renewalWindow": ACMEError("malfunction", "")}
        wait(self.clock, 61 * DAY, LOOK_INTERVAL)
        self.assertIsNot(self.shown(source), first)

    def test_down(self) -> None:
        """
        While the authority is away the certificate stays, waits grow, and it recovers by itself.
        """
        source = self.started()
        first = self.shown(source)
        self.fail("unreachable")
        wait(self.clock, 70 * DAY, LOOK_INTERVAL)
        self.assertIs(self.shown(source), first)
        failures = self.metrics.value(rows.FAILURES)
        self.assertTrue(20 < failures < 60, failures)
        self.flushLoggedErrors()
        self.authority.obstacle = {}
        wait(self.clock, 8 * 3_600, LOOK_INTERVAL)
        self.assertIsNot(self.shown(source), first)
        self.assertEqual(self.metrics.value(rows.FAILURES), 0)

    def test_expired(self) -> None:
        """
        A certificate that expired is still served, as there is nothing better, and is not usable.
        """
        source = self.started()
        first = self.shown(source)
        self.fail("rejectedIdentifier")
        wait(self.clock, 91 * DAY, LOOK_INTERVAL)
        self.assertIs(self.shown(source), first)
        self.assertFalse(source.isUsable())

    def test_limited(self) -> None:
        """
        A rate limit is waited out, across a restart and a SIGHUP.
        """
        self.fail("rateLimited", 7_200.0)
        self.started()
        self.assertEqual(self.authority.times("order"), 1)
        self.assertEqual(self.metrics.value(rows.ATTEMPTS, "limited"), 1)
        source = self.started()
        source.reload()
        wait(self.clock, 3_600, LOOK_INTERVAL)
        self.assertEqual(self.authority.times("order"), 1)
        self.authority.obstacle = {}
        wait(self.clock, 4_200, LOOK_INTERVAL)
        wait(self.clock, 10)
        self.assertTrue(source.isUsable())

    def test_crashing(self) -> None:
        """
        A process that is started again and again does not order again and again.
        """
        self.fail("serverInternal")
        for _ in range(20):
            self.started()
        self.assertEqual(self.authority.times("order"), 1)

    def test_hangUp(self) -> None:
        """
        SIGHUP tries again at once what the authority did not forbid.
        """
        self.fail("rejectedIdentifier")
        source = self.started()
        self.authority.obstacle = {}
        source.reload()
        wait(self.clock, 10)
        self.assertTrue(source.isUsable())

    def test_junk(self) -> None:
        """
        A certificate that cannot be used takes nothing's place.
        """
        source = self.started()
        first = self.shown(source)
        self.authority.junk = b"nonsense"
        wait(self.clock, 61 * DAY, LOOK_INTERVAL)
        self.assertIs(self.shown(source), first)
        kept = Keeper(self.state, ACMESettings()).certificate()
        assert kept is not None
        self.assertEqual(kept.chain, first.chain)

    def test_otherProcess(self) -> None:
        """
        What another process with the same state directory got is used rather than ordered again.
        """
        source = self.started()
        first = self.shown(source)
        wait(self.clock, 59 * DAY, LOOK_INTERVAL)
        fresh = CertifiedKey.fromPEM(self.authority.sign(first.key.public_key()), first.keyPEM())
        Keeper(self.state, ACMESettings()).keepCertificate(fresh)
        wait(self.clock, 2 * DAY, LOOK_INTERVAL)
        self.assertEqual(self.shown(source).chain, fresh.chain)
        self.assertEqual(self.authority.times("order"), 1)

    def test_restored(self) -> None:
        """
        A certificate that is put into the state directory is taken up on SIGHUP.
        """
        self.fail("unreachable")
        source = self.started()
        Keeper(self.state, ACMESettings()).keepCertificate(certified("example.com"))
        source.reload()
        self.assertTrue(source.isUsable())

    def test_fullDisk(self) -> None:
        """
        A certificate that cannot be written down is used, and written down once that works.
        """
        source = self.source()
        account = self.state.path / Keeper(self.state, ACMESettings()).directory
        account.rename(account.with_name("away"))
        account.write_bytes(b"in the way")
        source.start()
        wait(self.clock, 10)
        self.assertFalse(source.isUsable())
        account.unlink()
        account.with_name("away").rename(account)
        (account / "site.pem").mkdir()
        wait(self.clock, 400)
        self.assertTrue(source.isUsable())
        (account / "site.pem").rmdir()
        wait(self.clock, LOOK_INTERVAL)
        self.assertTrue((account / "site.pem").is_file())


class LifeTests(SourceTestCase):
    """
    Starting and stopping.
    """

    def test_stop(self) -> None:
        """
        Nothing is left to do for a source that was stopped, at whatever it was.
        """
        for seconds in (0, 1, 2, 3, 20):
            source = self.source()
            source.start()
            wait(self.clock, seconds)
            source.stop()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopWhileAsking(self) -> None:
        """
        An exchange whose answer comes after the stop changes nothing.
        """
        asked: list[Deferred[Any]] = []

        def run(function: Any, *arguments: Any) -> Deferred[Any]:
            asked.append(Deferred())
            return asked[-1]

        source = self.source(run=run)
        source.start()
        self.clock.advance(0)
        source.stop()
        asked[0].callback("https://ca.test/account/1")
        self.assertEqual((len(asked), self.clock.getDelayedCalls()), (1, []))

    def test_bug(self) -> None:
        """
        An error that nobody thought of is logged, counted and waited for like any other.
        """
        self.authority.judge = lambda challenge: 1 / 0  # type: ignore[assignment, return-value]
        self.started()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.metrics.value(rows.ATTEMPTS, "error"), 1)
        self.assertNotEqual(self.clock.getDelayedCalls(), [])

    def test_renewalID(self) -> None:
        """
        The example of RFC 9773 section 4.1 has the name that is written there; a certificate that
        does not tell its issuer has none.
        """
        made = certified("example.com")
        self.assertEqual(renewalID(made), "")
        issuer = x509.AuthorityKeyIdentifier(
            bytes.fromhex("69885b6b87464041e1b37b847ba0ae2cde01c8d4"), None, None
        )
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(x509.Name([]))
            .public_key(key.public_key())
            .serial_number(0x87654321)
            .not_valid_before(datetime.datetime(2026, 1, 1))
            .not_valid_after(datetime.datetime(2026, 2, 1))
            .add_extension(issuer, critical=False)
            .sign(key, hashes.SHA256())
        )
        found = renewalID(CertifiedKey(key, (certificate,)))
        self.assertEqual(found, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
