"""
Tests for L{aero.dns.stream}.
"""

from __future__ import annotations

from typing import Any

import dns.message
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from aero.dns.exchange import ExchangeFailed
from aero.dns.stream import IDLE, MAX_STRAYS, StreamExchange
from aero.metrics import ROWS, Metrics

from .fakes import FakeEndpoint, FakeReactor, answerTo, counting, question

RECORD = "www.example. 60 IN A 192.0.2.1"
OTHER = "other.example. 70 IN A 192.0.2.2"


class StreamExchangeTests(SynchronousTestCase):
    """
    Tests for L{StreamExchange}.
    """

    def makeExchange(self, **changes: Any) -> StreamExchange:
        """
        The way to an upstream over TCP.
        """
        self.endpoint = changes.pop("endpoint", FakeEndpoint())
        self.reactor = FakeReactor()
        self.metrics = Metrics(ROWS)
        options: dict[str, Any] = {
            "reactor": self.reactor,
            "randomness": counting(),
            "maxSize": 4096,
            "metrics": self.metrics,
        }
        return StreamExchange("192.0.2.53:53", "tcp", self.endpoint, **(options | changes))

    def assertFailed(self, waiting: Deferred[Any], reason: str) -> None:
        """
        A question failed for a reason.
        """
        self.assertEqual(self.failureResultOf(waiting, ExchangeFailed).value.reason, reason)

    def mismatches(self, reason: str) -> float | None:
        """
        Messages dropped for a reason.
        """
        return self.metrics.registry.get_sample_value(
            "aero_dns_mismatches_total", {"reason": reason}
        )

    def test_answered(self) -> None:
        """
        A question is answered, and the connection closed when nothing more is asked.
        """
        waiting = self.makeExchange().exchange(question())
        (sent,) = self.endpoint.last.messages()
        self.endpoint.last.deliver(answerTo(sent, RECORD))
        self.assertEqual(self.successResultOf(waiting).lifetime, 60)
        self.reactor.advance(IDLE)
        self.assertTrue(self.endpoint.last.gone)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_byteByByte(self) -> None:
        """
        However the stream is cut, the answer is the same.
        """
        waiting = self.makeExchange().exchange(question())
        (sent,) = self.endpoint.last.messages()
        raw = answerTo(sent, RECORD)
        for byte in len(raw).to_bytes(2, "big") + raw:
            self.assertNoResult(waiting)
            self.endpoint.last.protocol.dataReceived(bytes([byte]))
        self.assertEqual(self.successResultOf(waiting).lifetime, 60)

    def test_shared(self) -> None:
        """
        Questions share a connection, and answers may come in any order.
        """
        exchange = self.makeExchange()
        one = exchange.exchange(question())
        other = exchange.exchange(question("other.example"))
        first, second = self.endpoint.last.messages()
        self.endpoint.last.deliver(answerTo(second, OTHER), answerTo(first, RECORD))
        self.assertEqual(self.successResultOf(one).lifetime, 60)
        self.assertEqual(self.successResultOf(other).lifetime, 70)
        self.assertEqual(self.endpoint.attempts, 1)

    def test_idsDiffer(self) -> None:
        """
        Two questions under way never have one id.
        """
        chances = iter([b"\0\1", b"\0\1", b"\0\1", b"\0\2"])
        exchange = self.makeExchange(randomness=lambda _: next(chances))
        for name in ("a", "b"):
            exchange.exchange(question(name)).addErrback(lambda _: None)
        sent = self.endpoint.last.messages()
        self.assertEqual([message[:2] for message in sent], [b"\0\1", b"\0\2"])

    def test_connectingTogether(self) -> None:
        """
        Questions that come while the connection is being opened wait for it together, and
        one that gives up does not take it from the others.
        """
        exchange = self.makeExchange(endpoint=FakeEndpoint(slow=True))
        one, other = exchange.exchange(question()), exchange.exchange(question())
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.assertEqual(self.endpoint.attempts, 1)
        self.endpoint.finish()
        (sent,) = self.endpoint.last.messages()
        self.endpoint.last.deliver(answerTo(sent, RECORD))
        self.successResultOf(other)

    def test_nobodyWaits(self) -> None:
        """
        A connection that nobody waits for any more is closed after a while.
        """
        exchange = self.makeExchange(endpoint=FakeEndpoint(slow=True))
        waiting = exchange.exchange(question())
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.endpoint.finish()
        self.reactor.advance(IDLE)
        self.assertTrue(self.endpoint.last.gone)

    def test_notConnected(self) -> None:
        """
        A connection that cannot be opened is a failure, and tried again for the next.
        """
        exchange = self.makeExchange(endpoint=FakeEndpoint(refuses=True))
        self.assertFailed(exchange.exchange(question()), "network")
        self.endpoint.refuses = False
        exchange.exchange(question())
        self.assertEqual(len(self.endpoint.last.messages()), 1)

    def test_badHandshake(self) -> None:
        """
        So is one that fails otherwise, and one that is closed before an answer.
        """
        exchange = self.makeExchange(endpoint=FakeEndpoint(slow=True))
        waiting = exchange.exchange(question())
        self.endpoint.finish(ValueError("certificate"))
        self.assertFailed(waiting, "connect")
        waiting = exchange.exchange(question())
        self.endpoint.finish()
        self.endpoint.last.end()
        self.assertFailed(waiting, "closed")

    def test_closedMeanwhile(self) -> None:
        """
        A question on an older connection that the upstream closes is asked once more.
        """
        exchange = self.makeExchange()
        first = exchange.exchange(question())
        self.endpoint.last.deliver(answerTo(self.endpoint.last.messages()[0], RECORD))
        self.successResultOf(first)
        waiting = exchange.exchange(question())
        self.endpoint.last.end()
        self.assertEqual(self.endpoint.attempts, 2)
        self.endpoint.last.deliver(answerTo(self.endpoint.last.messages()[0], RECORD))
        self.successResultOf(waiting)

    def test_tooLarge(self) -> None:
        """
        A length beyond the limit ends the connection before the message is read (A174).
        """
        waiting = self.makeExchange(maxSize=512).exchange(question())
        self.endpoint.last.protocol.dataReceived(b"\x02\x01")
        self.assertFailed(waiting, "size")
        self.assertTrue(self.endpoint.last.gone)

    def test_tooSmall(self) -> None:
        """
        So does a message that cannot have a header.
        """
        waiting = self.makeExchange().exchange(question())
        self.endpoint.last.protocol.dataReceived(b"\0\0")
        self.assertFailed(waiting, "malformed")

    def test_strays(self) -> None:
        """
        Messages that answer nothing are dropped and counted; many end the connection.
        """
        waiting = self.makeExchange().exchange(question())
        (sent,) = self.endpoint.last.messages()
        raw = answerTo(sent, RECORD)
        changed = raw[:20] + b"z" + raw[21:]
        self.endpoint.last.deliver(b"\xff\xff" + raw[2:], changed, sent)
        self.assertNoResult(waiting)
        found = [self.mismatches(reason) for reason in ("id", "question", "query")]
        self.assertEqual(found, [1, 1, 1])
        self.endpoint.last.deliver(*[changed] * MAX_STRAYS)
        self.assertFailed(waiting, "flood")

    def test_anotherCase(self) -> None:
        """
        The case of a name does not matter on a connection.
        """
        waiting = self.makeExchange().exchange(question())
        raw = answerTo(self.endpoint.last.messages()[0], RECORD)
        self.endpoint.last.deliver(raw[:12] + b"\3WWW" + raw[16:])
        self.successResultOf(waiting)

    def test_timedOut(self) -> None:
        """
        A connection on which nothing came while a question waited is given up; the other
        questions on it are asked on a new one.
        """
        exchange = self.makeExchange()
        first = exchange.exchange(question())
        self.endpoint.last.deliver(answerTo(self.endpoint.last.messages()[0], RECORD))
        self.successResultOf(first)
        slow, other = exchange.exchange(question()), exchange.exchange(question())
        slow.cancel()
        self.failureResultOf(slow, CancelledError)
        self.assertEqual(self.endpoint.attempts, 2)
        self.endpoint.last.deliver(answerTo(self.endpoint.last.messages()[0], RECORD))
        self.successResultOf(other)

    def test_slowQuestion(self) -> None:
        """
        A connection that works is kept when one question is slow.
        """
        exchange = self.makeExchange()
        slow, other = exchange.exchange(question()), exchange.exchange(question())
        sent = self.endpoint.last.messages()
        self.endpoint.last.deliver(answerTo(sent[1], RECORD))
        self.successResultOf(other)
        slow.cancel()
        self.failureResultOf(slow, CancelledError)
        self.assertFalse(self.endpoint.last.gone)
        self.reactor.advance(IDLE)
        self.assertTrue(self.endpoint.last.gone)

    def test_withoutEDNS(self) -> None:
        """
        An upstream that does not understand EDNS is asked without.
        """
        waiting = self.makeExchange().exchange(question())
        (sent,) = self.endpoint.last.messages()
        self.endpoint.last.deliver(answerTo(sent, rcode=1, edns=False))
        (sent,) = self.endpoint.last.messages()
        self.assertEqual(dns.message.from_wire(sent).edns, -1)
        self.endpoint.last.deliver(answerTo(sent, RECORD))
        self.successResultOf(waiting)

    def test_padded(self) -> None:
        """
        Questions on encrypted connections are padded (RFC 8467).
        """
        self.makeExchange(padded=True).exchange(question())
        self.assertEqual(len(self.endpoint.last.messages()[0]) % 128, 0)

    def test_stop(self) -> None:
        """
        Stopping closes the connection, and an attempt to open one.
        """
        exchange = self.makeExchange()
        waiting = exchange.exchange(question())
        exchange.stop()
        self.assertFailed(waiting, "closed")
        self.assertTrue(self.endpoint.last.gone)
        exchange = self.makeExchange(endpoint=FakeEndpoint(slow=True))
        waiting = exchange.exchange(question())
        exchange.stop()
        self.assertFailed(waiting, "connect")
