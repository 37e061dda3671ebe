"""
Tests for L{aero.dns.datagrams}.
"""

from __future__ import annotations

import socket

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.dns.datagrams import CASE_GRACE, MAX_MISMATCHES, DatagramQuery, openSocket
from aero.dns.exchange import ExchangeFailed

from .fakes import FakeNetwork, answerTo, question

ASKED = b"\3wWw\7eXample\0\0\1\0\1"
SENT = question().message(0x1234, ASKED, payloadSize=None)
GOOD = answerTo(SENT, "www.example. 60 IN A 192.0.2.1")


class DatagramQueryTests(SynchronousTestCase):
    """
    Tests for L{DatagramQuery}.
    """

    def setUp(self) -> None:
        self.network = FakeNetwork()
        self.dropped: list[str] = []

    def ask(self, maxSize: int = 4096) -> Deferred[bytes]:
        """
        Send a query to 192.0.2.53.
        """
        query = DatagramQuery(
            self.network.reactor,
            ident=0x1234,
            question=ASKED,
            maxSize=maxSize,
            mismatched=self.dropped.append,
        )
        return query.send(self.network.open("192.0.2.53", 53), SENT)

    def assertFailed(self, waiting: Deferred[bytes], reason: str) -> None:
        """
        The query failed for a reason, and its socket is gone.
        """
        self.assertEqual(self.failureResultOf(waiting, ExchangeFailed).value.reason, reason)
        self.assertTrue(self.network.last.closed)
        self.assertEqual(self.network.reactor.readers, [])
        self.assertEqual(self.network.reactor.getDelayedCalls(), [])

    def test_answered(self) -> None:
        """
        The right answer is taken and the socket closed.
        """
        waiting = self.ask()
        self.assertEqual(self.network.last.sent, [SENT])
        self.network.last.deliver(GOOD, b"more")
        self.assertEqual(self.successResultOf(waiting), GOOD)
        self.assertTrue(self.network.last.closed)
        self.assertEqual(self.network.reactor.readers, [])

    def test_forgeries(self) -> None:
        """
        Datagrams from elsewhere, with another id or question, that are no answer, or garbage,
        are dropped and counted, and the right answer is still taken after them (C5).
        """
        waiting = self.ask()
        self.network.last.deliver(GOOD, source=("192.0.2.66", 53))
        self.network.last.deliver(GOOD, source=("192.0.2.53", 5353))
        self.network.last.deliver(
            b"\x12\x35" + GOOD[2:], SENT, GOOD[:20] + b"z" + GOOD[21:], b"", b"\x12\x34"
        )
        self.assertNoResult(waiting)
        self.assertEqual(
            self.dropped, ["source", "source", "id", "query", "question", "short", "short"]
        )
        self.network.last.deliver(GOOD)
        self.assertEqual(self.successResultOf(waiting), GOOD)

    def test_guessing(self) -> None:
        """
        When too many do not fit, the answer is looked for elsewhere.
        """
        waiting = self.ask()
        for number in range(MAX_MISMATCHES):
            self.assertNoResult(waiting)
            self.network.last.deliver(number.to_bytes(2, "big") + GOOD[2:])
        self.assertFailed(waiting, "flood")

    def test_lostCase(self) -> None:
        """
        An answer in another mixture of cases is not taken, but ends the wait soon.
        """
        waiting = self.ask()
        self.network.last.deliver(GOOD[:12] + GOOD[12:25].lower() + GOOD[25:])
        self.network.reactor.advance(CASE_GRACE / 2)
        self.assertNoResult(waiting)
        self.network.reactor.advance(CASE_GRACE / 2)
        self.assertFailed(waiting, "case")

    def test_betterAnswer(self) -> None:
        """
        The right one may still come after it.
        """
        waiting = self.ask()
        self.network.last.deliver(GOOD[:12] + GOOD[12:25].lower() + GOOD[25:], GOOD)
        self.assertEqual(self.successResultOf(waiting), GOOD)
        self.assertEqual(self.network.reactor.getDelayedCalls(), [])

    def test_tooLarge(self) -> None:
        """
        An answer above the limit is a failure (A174).
        """
        waiting = self.ask(len(GOOD) - 1)
        self.network.last.deliver(GOOD)
        self.assertFailed(waiting, "size")

    def test_portUnreachable(self) -> None:
        """
        An error of the network is a failure.
        """
        waiting = self.ask()
        self.network.last.failure = ConnectionRefusedError("nobody there")
        self.network.last.wake()
        self.assertFailed(waiting, "network")

    def test_reactorStops(self) -> None:
        """
        So is a socket that the reactor gives up.
        """
        waiting = self.ask()
        self.network.reactor.readers[0].connectionLost(Failure(OSError("gone")))
        self.assertFailed(waiting, "network")

    def test_notSent(self) -> None:
        """
        A query that cannot be sent fails.
        """
        query = DatagramQuery(
            self.network.reactor, ident=1, question=ASKED, maxSize=1, mismatched=self.dropped.append
        )
        made = self.network.open("192.0.2.53", 53)
        made.failure = OSError("no route")
        self.assertFailed(query.send(made, SENT), "network")

    def test_cancelled(self) -> None:
        """
        Whoever does not want to wait longer leaves nothing behind.
        """
        waiting = self.ask()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(self.network.last.closed)
        self.assertEqual(self.network.reactor.readers, [])

    def test_flood(self) -> None:
        """
        One socket does not keep the reactor from the others however much arrives.
        """
        waiting = self.ask()
        made = self.network.last
        made._queue += [(b"x", made.peer)] * 40
        self.network.reactor.readers[0].doRead()
        self.assertEqual(len(self.dropped), 16)
        self.assertNoResult(waiting)


class OpenSocketTests(SynchronousTestCase):
    """
    Tests for L{openSocket}.
    """

    def test_connected(self) -> None:
        """
        A socket is connected to its upstream, does not block, and has a port of its own.
        """
        made = [openSocket("127.0.0.1", 9) for _ in range(4)]
        ports = set()
        for one in made:
            self.addCleanup(one.close)
            assert isinstance(one, socket.socket)
            self.assertEqual(one.getpeername(), ("127.0.0.1", 9))
            self.assertFalse(one.getblocking())
            ports.add(one.getsockname()[1])
        self.assertEqual(len(ports), 4)

    def test_refused(self) -> None:
        """
        What is no address is an error at once.
        """
        self.assertRaises(OSError, openSocket, "not an address", 9)
