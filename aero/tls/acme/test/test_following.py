"""
Tests for L{aero.tls.acme.source}: several processes that share a state directory.
"""

from __future__ import annotations

from typing import Any

from aero.tls.certificates import CertifiedKey

from ..authority import KINDS, ACMEError
from ..source import FOLLOW_INTERVAL, LOOK_INTERVAL
from .fixtures import DAY, wait
from .sourcefixtures import SourceTestCase


class FollowingTests(SourceTestCase):
    """
    Several processes with one state directory.
    """

    def test_oneOrders(self) -> None:
        """
        One process orders, and the other one has the certificate within moments, as well as the
        next; neither has a certificate of its own.
        """
        first = self.started()
        second = self.beside()
        second.start()
        wait(self.clock, FOLLOW_INTERVAL)
        self.assertEqual(self.shown(second).chain, self.shown(first).chain)
        self.assertTrue(second.isUsable())
        before = self.shown(first).chain
        wait(self.clock, 60 * DAY, LOOK_INTERVAL)
        wait(self.clock, 10)
        self.assertNotEqual(self.shown(first).chain, before)
        self.assertEqual(self.shown(second).chain, self.shown(first).chain)
        self.assertEqual(self.authority.times("order"), 2)

    def test_challenges(self) -> None:
        """
        The authority may ask any of them, over HTTP and over TLS, while an order is open.
        """
        first, second = self.source(), self.beside()
        seen: list[object] = []

        def judge(challenge: Any) -> ACMEError | None:
            if challenge.kind == KINDS[0]:
                seen.append(second.keyAuthorization(challenge.token))
                return ACMEError("connection", "refused")
            seen.append(second.challengeFor("example.com"))
            return None

        self.authority.judge = judge
        for source in (first, second):
            source.start()
        wait(self.clock, 10)
        self.assertTrue(first.isUsable())
        self.assertEqual(seen[0], "token-example_com.thumbprint")
        self.assertIsInstance(seen[1], CertifiedKey)
        self.assertEqual(second.keyAuthorization("token-example_com"), None)
        self.assertIs(second.challengeFor("example.com"), None)

    def test_takeOver(self) -> None:
        """
        If the process whose turn it is ends, another one goes on where it was: with the same
        account, and after the wait that the authority asked for.
        """
        self.fail("rateLimited", 600.0)
        first = self.source()
        second = self.beside()
        for source in (first, second):
            source.start()
        wait(self.clock, 10)
        self.assertEqual(self.authority.times("order"), 1)
        first.stop()
        self.authority.obstacle = {}
        wait(self.clock, 580)
        self.assertEqual(self.authority.times("order"), 1)
        wait(self.clock, 100)
        self.assertEqual(self.authority.times("order"), 2)
        self.assertTrue(second.isUsable())

    def test_killedInBetween(self) -> None:
        """
        What a process leaves that is killed while its order is open is removed, and the next one
        orders anew.
        """
        self.authority.slow = 1_000_000
        first = self.source()
        second = self.beside()
        first.start()
        wait(self.clock, 5)
        self.assertNotEqual(second.keyAuthorization("token-example_com"), None)
        self.authority.slow = 0
        second = self.source()
        second.start()
        wait(self.clock, 10)
        self.assertTrue(second.isUsable())
        self.assertIs(self.beside().keyAuthorization("token-example_com"), None)

    def test_hangUp(self) -> None:
        """
        SIGHUP in a process whose turn it is not orders nothing.
        """
        self.fail("rejectedIdentifier")
        self.started()
        second = self.beside()
        second.start()
        self.authority.obstacle = {}
        second.reload()
        wait(self.clock, 10)
        self.assertEqual(self.authority.times("order"), 1)

    def test_noTurn(self) -> None:
        """
        A state directory that is gone is said once, and the certificate goes on being served.
        """
        first = self.source()
        first.start()
        wait(self.clock, 10)
        away = self.state.path.with_name("away")
        self.state.path.rename(away)
        wait(self.clock, 61 * DAY, LOOK_INTERVAL)
        self.assertEqual(self.authority.times("order"), 1)
        self.assertIsNot(self.shown(first), None)
        away.rename(self.state.path)
        wait(self.clock, 10)
        self.assertEqual(self.authority.times("order"), 2)
