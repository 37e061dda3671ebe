"""
Tests for L{aero.tls.acme.order}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.tls.certificates import CertifiedKey
from aero.tls.state import StateDirectory

from ..answers import Answers
from ..authority import HTTP_01, TLS_ALPN_01, ACMEError, Challenge
from ..board import Board
from ..order import PATIENCE, OrderProcess
from .fixtures import EPOCH, FakeAuthority, runHere, tokenFor, wait


class OrderProcessTests(SynchronousTestCase):
    """
    Tests for L{OrderProcess}.
    """

    def setUp(self) -> None:
        """
        Have an authority that believes everything.
        """
        self.clock = Clock()
        self.authority = FakeAuthority(self.now)
        state = StateDirectory(self.mktemp())
        state.open()
        self.answers = Answers(self.now, Board(state, "answers.json"))
        self.process = OrderProcess(
            self.authority, self.answers, run=runHere, clock=self.clock, now=self.now
        )

    def now(self) -> float:
        """
        The wall clock.
        """
        return EPOCH + self.clock.seconds()

    def issue(self, *names: str, kind: str = HTTP_01) -> Deferred[CertifiedKey]:
        """
        Begin an order.
        """
        return self.process.issue(names or ("example.com",), kind)

    def failure(self, deferred: Deferred[Any]) -> ACMEError:
        """
        The error of an order that failed.
        """
        error = self.failureResultOf(deferred, ACMEError).value
        assert isinstance(error, ACMEError)
        return error

    def test_issued(self) -> None:
        """
        Names become a certificate for all of them, proven one after the other.
        """
        waiting = self.issue("example.com", "www.example.com")
        wait(self.clock, 10)
        found = self.successResultOf(waiting)
        self.assertEqual(found.names, ("example.com", "www.example.com"))
        self.assertEqual(self.authority.times("answer"), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answered(self) -> None:
        """
        The answer is there when the authority is told to look, by either kind, and gone when all
        is decided.
        """
        for kind in (HTTP_01, TLS_ALPN_01):
            seen: list[object] = []

            def look(challenge: Challenge, seen: list[object] = seen) -> None:
                seen.append(self.answers.keyAuthorization(challenge.token))
                seen.append(self.answers.challengeFor("example.com"))

            self.authority.judge = look
            waiting = self.issue(kind=kind)
            wait(self.clock, 10)
            self.successResultOf(waiting)
            self.assertEqual(
                [each is not None for each in seen], [kind == HTTP_01, kind != HTTP_01]
            )
            self.assertIs(self.answers.keyAuthorization(tokenFor("example.com")), None)
            self.assertIs(self.answers.challengeFor("example.com"), None)

    def test_believedAlready(self) -> None:
        """
        A name that was proven before is not proven again.
        """
        made = self.authority.order

        def order(names: tuple[str, ...], replaces: str) -> Any:
            found = made(names, replaces)
            self.authority.proven = dict.fromkeys(names, "valid")
            return found

        self.authority.order = order  # type: ignore[method-assign]
        waiting = self.issue()
        wait(self.clock, 10)
        self.successResultOf(waiting)
        self.assertEqual(self.authority.times("answer"), 0)

    def test_disbelieved(self) -> None:
        """
        A challenge that is not met ends the order with the authority's reason; the answer is gone.
        """
        self.authority.judge = lambda challenge: ACMEError("connection", "refused")
        error = self.failure(self._after(self.issue("a.example", "b.example")))
        self.assertEqual(error.kind, "connection")
        self.assertIn("a.example by http-01: refused", str(error))
        self.assertEqual(self.authority.times("finalize"), 0)
        self.assertIs(self.answers.keyAuthorization(tokenFor("a.example")), None)

    def test_notOffered(self) -> None:
        """
        A kind of challenge that the authority does not offer is an error of its own.
        """
        self.authority.offered = ("dns-01",)
        self.assertEqual(self.failure(self.issue()).kind, "unsupported")

    def test_patience(self) -> None:
        """
        An authority that never decides is not waited for beyond a limit, in few looks.
        """
        self.authority.slow = 10**6
        waiting = self.issue()
        wait(self.clock, PATIENCE + 60)
        self.assertEqual(self.failure(waiting).kind, "timeout")
        self.assertLess(self.authority.times("authorization"), 50)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_retryAfter(self) -> None:
        """
        The authority says when to look again, within reason.
        """
        for said, first in ((7.0, 7.0), (0.0, 1.0), (1e9, 30.0)):
            self.authority.retryAfter, self.authority.slow = said, 1
            waiting = self.issue()
            looks = self.authority.times("authorization")
            self.clock.advance(first - 0.5)
            self.assertEqual(self.authority.times("authorization"), looks)
            self.clock.advance(0.5)
            self.assertEqual(self.authority.times("authorization"), looks + 1)
            wait(self.clock, 300)
            self.successResultOf(waiting)

    def test_wrongCertificate(self) -> None:
        """
        What is no certificate, is for another key, another name or another time is not taken.
        """
        foreign = FakeAuthority(self.now)
        for junk in (b"-", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA"):
            self.authority.junk = junk
            self.assertEqual(self.failure(self._after(self.issue())).kind, "malfunction")
        self.authority.junk = foreign.sign(foreign.key.public_key())
        self.assertIn("does not belong", str(self.failure(self._after(self.issue()))))
        self.authority.junk = b""
        self.authority.issuedFor = ("other.example",)
        self.assertIn("not good for example.com", str(self.failure(self._after(self.issue()))))
        self.authority.issuedFor = None
        self.authority.life = 0.5
        self.assertEqual(self.failure(self._after(self.issue())).kind, "malfunction")

    def test_obstacles(self) -> None:
        """
        Each exchange may fail, and no timer or answer is left behind.
        """
        for exchange in ("order", "authorization", "answer", "finalize", "orderAt", "certificate"):
            self.authority.obstacle = {exchange: ACMEError("serverInternal", exchange)}
            error = self.failure(self._after(self.issue()))
            self.assertEqual(error.detail, exchange)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.assertIs(self.answers.keyAuthorization(tokenFor("example.com")), None)

    def test_cancelled(self) -> None:
        """
        An order that is cancelled leaves nothing behind.
        """
        self.authority.slow = 10
        waiting = self.issue()
        self.clock.advance(1)
        waiting.cancel()
        self.failureResultOf(waiting)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIs(self.answers.keyAuthorization(tokenFor("example.com")), None)

    def _after(self, waiting: Deferred[Any]) -> Deferred[Any]:
        wait(self.clock, 20)
        return waiting
