"""
Tests for L{aero.tunnel.datagrams.engine}: limits of a session, and clients that are slow (relay.md section
20.8).
"""

from __future__ import annotations

from typing import Any

from aero.metrics import relay as rows
from aero.policy.destinations import DestinationPolicy
from aero.wire.udprelay import encode

from .enginefixtures import MAPPED, V4, A, SessionTestCase


class LimitTests(SessionTestCase):
    """
    Limits of the session.
    """

    def burst(self, count: int, payload: bytes = b"x", port: int = 53) -> None:
        """
        Send some at once.
        """
        message = encode(1, 7, V4, port, payload)
        self.session.messagesReceived([message] * count)

    def test_rate(self) -> None:
        """
        Of five datagrams two leave at 2/s, the session goes on.
        """
        self.start(maxPPS=2)
        self.burst(5)
        self.assertEqual(len(self.sent()), 2)
        self.assertEqual((self.drops(), self.event("rate_limited")), ({"rate_limited": 3}, 3))
        self.reactor.advance(0.5)
        self.burst(2)
        self.assertEqual(len(self.sent()), 3)

    def test_bytes(self) -> None:
        """
        Bytes of payload count, at a rate of 4 exactly four.
        """
        self.start(maxBPS=4)
        self.burst(1, b"1234")
        self.burst(1, b"x")
        self.assertEqual([payload for payload, _ in self.sent()], [b"1234"])

    def test_perDestination(self) -> None:
        """
        Each destination has a rate of its own; the forgotten ones are counted.
        """
        self.start(maxPPSPerDestination=1, maxDestinationBuckets=4)
        for port in range(1, 11):
            self.burst(2, port=port)
        self.assertEqual(len(self.sent()), 10)
        self.assertEqual(self.event("udp_per_dest_bucket_evictions"), 6)

    def test_mappedIsTheSame(self) -> None:
        """
        The two spellings of one destination share its rate.
        """
        session = self.start(maxPPSPerDestination=1)
        self.burst(1)
        session.messageReceived(encode(2, 7, MAPPED, 53, b"x"))
        self.assertEqual((len(self.sent()), self.drops()), (1, {"rate_limited": 1}))

    def test_unique(self) -> None:
        """
        One destination too many is a quota, with its counters.
        """
        self.start(maxUniqueDestinations=1)
        self.burst(1, port=1)
        self.burst(1, port=2)
        self.burst(1, port=1)
        self.assertEqual(len(self.sent()), 2)
        self.assertEqual(self.drops(), {"quota_exceeded": 1})
        self.assertEqual(self.event("quota_exceeded"), 1)
        self.assertEqual(self.event("too_many_destinations"), 1)

    def test_hardClose(self) -> None:
        """
        The second violation ends the session; nothing of the same read is looked at after it.
        """
        self.start(maxPPS=1, hardCloseAfter=2)
        self.burst(9)
        self.assertEqual(self.ended, ["session closed"])
        self.assertEqual(self.event("session_hard_closed"), 1)
        self.assertEqual(self.drops(), {"rate_limited": 2})
        self.assertFalse(self.session.isOpen)

    def test_notViolations(self) -> None:
        """
        Other drops do not end a session.
        """
        self.start(DestinationPolicy(), hardCloseAfter=1)
        self.burst(3)
        self.session.messageReceived(b"?")
        self.assertEqual(self.ended, [])

    def test_towardsClient(self) -> None:
        """
        A rate of 9 lets one message of 9 bytes through, header included.
        """
        self.start(maxClientBPS=9)
        self.burst(1)
        self.network.deliver(0, (b"a", A), (b"b", A))
        self.assertEqual(self.sink.messages, [encode(1, 7, V4, 53, b"a")])
        self.assertEqual((self.drops(), self.event("rate_limited")), ({"rate_limited": 1}, 1))

    def test_towardsClientHardClose(self) -> None:
        """
        Too much of that ends the session as well.
        """
        self.start(maxClientBPS=9, hardCloseAfter=2)
        self.burst(1)
        self.network.deliver(0, *[(b"a", A)] * 8)
        self.assertEqual(self.ended, ["session closed"])
        self.assertEqual(self.drops(), {"rate_limited": 2})


class QueueTests(SessionTestCase):
    """
    Clients that are slow.
    """

    def fill(self, *payloads: bytes) -> None:
        """
        Datagrams come.
        """
        self.network.deliver(0, *[(payload, A) for payload in payloads])

    def begin(self, **settings: Any) -> None:
        """
        A session whose client takes nothing now.
        """
        self.start(**settings).messageReceived(encode(1, 7, V4, 53, b"x"))
        self.session.pauseProducing()

    def test_waits(self) -> None:
        """
        Messages wait in order until there is room.
        """
        self.begin()
        self.fill(b"1", b"2")
        self.fill(b"3")
        self.assertEqual((self.sink.messages, self.session.queuedBytes), ([], 27))
        self.assertEqual(self.metrics.value(rows.QUEUE_BYTES), 27)
        self.session.resumeProducing()
        self.assertEqual([message[8:] for message in self.sink.messages], [b"1", b"2", b"3"])
        self.assertEqual((self.session.queuedBytes, self.metrics.value(rows.QUEUE_BYTES)), (0, 0))
        self.fill(b"4")
        self.assertEqual(self.sink.messages[-1][8:], b"4")
        self.assertEqual(self.event("udp_ws_datagrams_out"), 4)

    def test_oldestMakesRoom(self) -> None:
        """
        A full queue drops its oldest messages and counts them.
        """
        self.begin(sendQueue=20)
        self.fill(b"1", b"2", b"3", b"4")
        self.assertEqual(self.drops(), {"backpressure": 2})
        self.session.resumeProducing()
        self.assertEqual([message[8:] for message in self.sink.messages], [b"3", b"4"])

    def test_tooLong(self) -> None:
        """
        A message that no queue could hold is dropped even when nothing waits.
        """
        self.start(sendQueue=9).messageReceived(encode(1, 7, V4, 53, b"x"))
        self.fill(b"12", b"1")
        self.assertEqual([message[8:] for message in self.sink.messages], [b"1"])
        self.assertEqual(self.drops(), {"backpressure": 1})

    def test_pausesAgain(self) -> None:
        """
        A carrier that is full again gets no more than a portion, and the rest later.
        """
        self.begin(maxPayload=60_000, sendQueue=1_000_000)
        self.fill(*[bytes(60_000)] * 6)
        self.sink.pauseAfter = 1
        self.session.resumeProducing()
        self.assertEqual(self.sink.batches, [2])
        self.session.resumeProducing()
        self.assertEqual(sum(self.sink.batches), 6)
