"""
Tests for L{aero.dns.udp}.
"""

from __future__ import annotations

from typing import Any

import dns.message
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from aero.dns.datagrams import CASE_GRACE, MAX_MISMATCHES
from aero.dns.exchange import ExchangeFailed
from aero.dns.udp import UDPExchange
from aero.metrics import ROWS, Metrics
from aero.policy.upstreams import Upstream

from .fakes import FakeExchange, FakeNetwork, answerTo, counting, question

RECORD = "www.example. 60 IN A 192.0.2.1"


class UDPExchangeTests(SynchronousTestCase):
    """
    Tests for L{UDPExchange}.
    """

    def makeExchange(self, **changes: Any) -> UDPExchange:
        """
        The way to 192.0.2.53.
        """
        self.network = FakeNetwork()
        self.metrics = Metrics(ROWS)
        self.stream = FakeExchange()
        options: dict[str, Any] = {
            "reactor": self.network.reactor,
            "stream": self.stream,
            "randomness": counting(),
            "caseMixing": True,
            "maxSize": 4096,
            "metrics": self.metrics,
            "open": self.network.open,
        }
        return UDPExchange(Upstream.parse("192.0.2.53"), **(options | changes))

    def test_asked(self) -> None:
        """
        The question goes to the upstream with its case mixed, and the answer comes back.
        """
        waiting = self.makeExchange().exchange(question())
        self.assertEqual(self.network.last.peer, ("192.0.2.53", 53))
        sent = self.network.last.sent[0]
        self.assertEqual(sent[12:25].lower(), b"\3www\7example\0")
        self.assertNotEqual(sent[12:25], b"\3www\7example\0")
        self.assertEqual(dns.message.from_wire(sent).payload, 1232)
        self.network.last.deliver(answerTo(sent, RECORD))
        self.assertEqual(self.successResultOf(waiting).lifetime, 60)

    def test_fresh(self) -> None:
        """
        Every question has an id, a mixture and a socket of its own (C5).
        """
        exchange = self.makeExchange()
        for _ in range(5):
            exchange.exchange(question()).addErrback(lambda _: None)
        sent = [one.sent[0] for one in self.network.sockets]
        self.assertEqual(len({message[:2] for message in sent}), 5)
        self.assertGreater(len({message[12:25] for message in sent}), 1)

    def test_unmixed(self) -> None:
        """
        Without mixing the name goes out in lower case.
        """
        self.makeExchange(caseMixing=False).exchange(question())
        self.assertEqual(self.network.last.sent[0][12:25], b"\3www\7example\0")

    def test_truncated(self) -> None:
        """
        A truncated answer is asked for again over TCP (H11).
        """
        waiting = self.makeExchange().exchange(question())
        self.network.last.deliver(answerTo(self.network.last.sent[0], flags=0x0200))
        self.assertNoResult(waiting)
        self.stream.answer(RECORD)
        self.assertEqual(self.successResultOf(waiting).lifetime, 60)
        self.assertEqual(self.counted("aero_dns_tcp_retries_total", reason="truncated"), 1.0)

    def counted(self, name: str, **labels: str) -> float | None:
        """
        The value of a counter.
        """
        return self.metrics.registry.get_sample_value(name, labels)

    def test_guessing(self) -> None:
        """
        When somebody guesses, the question is asked over TCP, where guessing does not help.
        """
        waiting = self.makeExchange().exchange(question())
        self.network.last.deliver(*[b"guess"] * MAX_MISMATCHES)
        self.stream.answer(RECORD)
        self.successResultOf(waiting)
        self.assertEqual(self.counted("aero_dns_mismatches_total", reason="short"), MAX_MISMATCHES)

    def loseCase(self) -> None:
        """
        Answer the last question in lower case.
        """
        raw = answerTo(self.network.last.sent[0], RECORD)
        self.network.last.deliver(raw[:12] + raw[12:25].lower() + raw[25:])

    def test_lostCase(self) -> None:
        """
        An upstream that loses the case is asked once more, with another id and no mixture;
        one that always does is soon asked so at once, for a while.
        """
        exchange = self.makeExchange()
        for _ in range(3):
            waiting = exchange.exchange(question())
            first = self.network.last.sent[0]
            self.loseCase()
            self.network.reactor.advance(CASE_GRACE)
            second = self.network.last.sent[0]
            self.assertEqual(second[12:25], b"\3www\7example\0")
            self.assertNotEqual(first[:2], second[:2])
            self.loseCase()
            self.successResultOf(waiting)
        exchange.exchange(question())
        self.assertEqual(self.network.last.sent[0][12:25], b"\3www\7example\0")
        self.network.reactor.advance(600)
        exchange.exchange(question())
        self.assertNotEqual(self.network.last.sent[0][12:25], b"\3www\7example\0")

    def test_withoutEDNS(self) -> None:
        """
        An upstream that does not understand EDNS, or answers it with garbage, is asked
        without.
        """
        for mangle in (lambda raw: raw, lambda raw: raw + b"junk"):
            waiting = self.makeExchange().exchange(question())
            self.network.last.deliver(
                mangle(answerTo(self.network.last.sent[0], rcode=1, edns=False))
            )
            sent = self.network.last.sent[0]
            self.assertEqual(dns.message.from_wire(sent).edns, -1)
            self.network.last.deliver(answerTo(sent, RECORD))
            self.assertEqual(self.successResultOf(waiting).lifetime, 60)

    def test_malformed(self) -> None:
        """
        An answer that cannot be walked is a failure.
        """
        waiting = self.makeExchange().exchange(question())
        for _ in range(2):
            self.network.last.deliver(answerTo(self.network.last.sent[0], RECORD) + b"junk")
        self.assertEqual(self.failureResultOf(waiting, ExchangeFailed).value.reason, "malformed")

    def test_noSocket(self) -> None:
        """
        So is a socket that cannot be had.
        """
        exchange = self.makeExchange()
        self.network.failure = OSError("too many open files")
        failure = self.failureResultOf(exchange.exchange(question()), ExchangeFailed)
        self.assertEqual(failure.value.reason, "network")

    def test_cancelled(self) -> None:
        """
        A question nobody waits for any more closes its socket.
        """
        waiting = self.makeExchange().exchange(question())
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(self.network.last.closed)

    def test_stop(self) -> None:
        """
        Stopping closes the connection.
        """
        self.makeExchange().stop()
        self.assertTrue(self.stream.stopped)
