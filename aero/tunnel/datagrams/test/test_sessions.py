"""
Tests for L{aero.tunnel.datagrams.sessions}.
"""

from __future__ import annotations

import re
from typing import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.metrics import ROWS, Metrics
from aero.metrics.relay import EVENTS, SESSIONS, SESSIONS_REFUSED
from aero.settings.signal import SignalSettings
from aero.settings.udp import UDPSettings
from aero.tunnel.datagrams.sessions import RelaySession, RelaySessions


def counting() -> Callable[[int], bytes]:
    """
    Bytes that differ each time.
    """
    last = 0

    def randomness(size: int) -> bytes:
        nonlocal last
        last += 1
        return last.to_bytes(size, "big")

    return randomness


class RelaySessionsTests(SynchronousTestCase):
    """
    One pool, one session for each key (relay.md section 20.4).
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics(ROWS)
        self.reasons: list[str] = []

    def pool(
        self,
        limit: int = 0,
        ttl: float = 60.0,
        lifetime: float = 0.0,
        perAddress: int = 0,
        randomness: Callable[[int], bytes] | None = None,
        **udp: int,
    ) -> RelaySessions:
        """
        A pool with these settings.
        """
        return RelaySessions(
            SignalSettings(
                maxRelaySessions=limit,
                preallocationTTL=ttl,
                maxRelaySessionTime=lifetime,
                maxRelaySessionsPerIP=perAddress,
            ),
            UDPSettings(**udp),  # type: ignore[arg-type]
            clock=self.clock,
            metrics=self.metrics,
            randomness=randomness or counting(),
        )

    def take(
        self, sessions: RelaySessions, key: str | None = None, reservation: str | None = None
    ) -> RelaySession:
        """
        Take a session.
        """
        return sessions.take(key, self.reasons.append, reservation=reservation)

    def refusal(self, sessions: RelaySessions, key: str | None = None) -> tuple[int, str]:
        """
        How a session is refused: status and code.
        """
        refused = self.assertRaises(Refused, self.take, sessions, key)
        self.assertIsNotNone(refused.retryAfter)
        return refused.status, refused.code

    def test_ids(self) -> None:
        """
        An id is 32 lower-case hexadecimal digits, listed while the session lives.
        """
        sessions = self.pool()
        session = self.take(sessions, "key")
        self.assertTrue(re.fullmatch(r"[0-9a-f]{32}", session.id))
        self.assertIn(session.id, sessions)
        self.assertEqual(self.metrics.value(SESSIONS), 1)
        session.release()
        session.release()
        self.assertNotIn(session.id, sessions)
        self.assertEqual((len(sessions), self.metrics.value(SESSIONS)), (0, 0))

    def test_collision(self) -> None:
        """
        An id that is taken is drawn again, of keyed and unkeyed sessions alike, and at last
        given up.
        """
        drawn = iter([b"a" * 16, b"a" * 16, b"a" * 16, b"b" * 16, *[b"a" * 16] * 3])
        sessions = self.pool(randomness=lambda size: next(drawn))
        self.take(sessions, "key")
        self.assertEqual(self.take(sessions).id, (b"b" * 16).hex())
        self.assertRaises(RuntimeError, self.take, sessions)

    def test_limit(self) -> None:
        """
        At the limit sessions are refused and counted until one ends.
        """
        sessions = self.pool(limit=1)
        first = self.take(sessions)
        self.assertEqual(self.refusal(sessions), (503, "too_many_sessions"))
        self.assertEqual(self.metrics.value(EVENTS, "too_many_sessions"), 1)
        self.assertEqual(self.metrics.value(SESSIONS_REFUSED, "limit"), 1)
        first.release()
        self.take(sessions)

    def test_key(self) -> None:
        """
        A key has one session, different keys do not mind each other, and a key is taken as it
        is.
        """
        sessions = self.pool()
        first = self.take(sessions, "a")
        self.take(sessions, " ")
        self.take(sessions, "")
        self.assertEqual(self.refusal(sessions, "a"), (409, "session_already_active"))
        self.assertEqual(self.metrics.value(SESSIONS_REFUSED, "active"), 1)
        first.release()
        self.take(sessions, "a")

    def test_lockBeforeLimit(self) -> None:
        """
        A duplicate at full capacity is told of the lock.
        """
        sessions = self.pool(limit=1)
        self.take(sessions, "a")
        self.assertEqual(self.refusal(sessions, "a"), (409, "session_already_active"))
        self.assertEqual(self.refusal(sessions, "b"), (503, "too_many_sessions"))

    def test_reservation(self) -> None:
        """
        A reservation holds its place and its key until its time is up.
        """
        sessions = self.pool(limit=1, ttl=0.25)
        ident = sessions.reserve("a")
        self.assertIn(ident, sessions)
        self.assertEqual(self.refusal(sessions, "a"), (409, "session_already_active"))
        self.clock.advance(0.24)
        self.assertEqual(self.refusal(sessions, "b"), (503, "too_many_sessions"))
        self.clock.advance(0.02)
        self.take(sessions, "a")

    def test_consume(self) -> None:
        """
        Whoever names a reservation of the same key gets its place and its id; it does not
        expire then.
        """
        sessions = self.pool(limit=1, ttl=1)
        ident = sessions.reserve("a")
        session = self.take(sessions, "a", reservation=ident)
        self.assertEqual(session.id, ident)
        self.clock.advance(2)
        self.assertTrue(session.isLive)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_consumeOthers(self) -> None:
        """
        The id of somebody else's reservation, or of a session that is no reservation, opens
        nothing.
        """
        sessions = self.pool(limit=2)
        ident = sessions.reserve("a")
        open = self.take(sessions, "b")
        for key, named in (("c", ident), (None, ident), ("c", open.id), ("c", "nonsense")):
            self.assertRaises(Refused, self.take, sessions, key, named)
        self.assertEqual(len(sessions), 2)

    def test_stop(self) -> None:
        """
        At the end reservations are released and owners told.
        """
        sessions = self.pool(ttl=3_600)
        sessions.reserve("a")
        self.take(sessions, "b")
        sessions.stop()
        self.assertEqual(self.reasons, ["server is shutting down"])
        self.assertEqual((len(sessions), self.clock.getDelayedCalls()), (0, []))

    def test_hardClose(self) -> None:
        """
        Too many violations end the session and tell its owner, once.
        """
        sessions = self.pool(hardCloseAfter=2)
        session = self.take(sessions, "a")
        session.violated(0)
        self.assertEqual(self.reasons, [])
        session.violated(1)
        session.violated(1)
        self.assertEqual(self.reasons, ["session closed"])
        self.assertEqual(self.metrics.value(EVENTS, "session_hard_closed"), 1)
        self.take(sessions, "a")

    def test_lifetime(self) -> None:
        """
        A session may have its time; a reservation that has it is gone as a whole.
        """
        sessions = self.pool(ttl=10, lifetime=5)
        session = self.take(sessions, "a")
        sessions.reserve("b")
        self.clock.advance(4)
        session.release()
        other = self.take(sessions, "a")
        self.clock.advance(1)
        self.assertEqual((self.reasons, len(sessions)), ([], 1))
        self.clock.advance(4)
        self.assertEqual((self.reasons, len(sessions)), (["session expired"], 0))
        self.assertFalse(other.isLive)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_address(self) -> None:
        """
        One address has so many sessions, and an IPv6 address stands for its network.
        """
        sessions = self.pool(perAddress=1)

        def take(address: str) -> RelaySession:
            return sessions.take(None, self.reasons.append, address=address)

        first = take("2001:db8::1")
        refused = self.assertRaises(Refused, take, "2001:db8::2")
        self.assertEqual((refused.status, refused.code), (503, "too_many_sessions"))
        self.assertEqual(self.metrics.value(SESSIONS_REFUSED, "address"), 1)
        take("192.0.2.1")
        self.assertRaises(Refused, sessions.reserve, None, address="192.0.2.1")
        first.release()
        sessions.reserve(None, address="2001:db8::2")

    def test_limits(self) -> None:
        """
        A session has limits where there are any.
        """
        free = self.take(self.pool())
        self.assertEqual((free.outbound, free.towardsClient), (None, None))
        limited = self.take(self.pool(maxPPS=1, maxClientBPS=10))
        assert limited.outbound is not None and limited.towardsClient is not None
        self.assertEqual(limited.outbound.refusal(b"addr", 1, 1, 0), "")
        self.assertEqual(limited.outbound.refusal(b"addr", 1, 1, 0), "rate")
        self.assertTrue(limited.towardsClient.take(10, 0))
        self.assertFalse(limited.towardsClient.take(1, 0))
