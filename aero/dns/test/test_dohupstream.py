"""
Tests for L{aero.dns.dohupstream}, with Twisted's HTTP client over a connection in memory.
"""

from __future__ import annotations

from typing import Any

import dns.message
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent

from aero.dns.dohhttp1 import HTTP1Poster
from aero.dns.dohhttp2 import HTTP2Poster
from aero.dns.dohupstream import CONCURRENT, HTTPSExchange, httpsFactory
from aero.dns.exchange import ExchangeFailed
from aero.metrics import ROWS, Metrics
from aero.policy.upstreams import Upstream
from aero.web.test.test_dns import RECORD, answered
from aero.wire.dns import RD
from aero.wire.dnsanswer import ScannedAnswer
from aero.wire.dnsquery import Question

QUESTION = Question(b"\3www\7example\0", 1, RD, False)
TYPE = b"Content-Type: application/dns-message\r\n"


class ClientTransport(StringTransport):
    """
    The client's end.
    """

    aborted = False

    def abortConnection(self) -> None:
        """
        Hang up; a reactor tells the protocol later.
        """
        self.aborted = True

    @property
    def gone(self) -> bool:
        """
        Whether the client wants no more.
        """
        return self.aborted or self.disconnecting


class HTTPSExchangeTests(SynchronousTestCase):
    """
    Tests for L{HTTPSExchange}.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.metrics = Metrics(ROWS)
        url = b"http://192.0.2.1:8080/dns-query"
        self.exchange = HTTPSExchange(
            "upstream",
            HTTP1Poster(url, Agent(self.reactor), 600),
            randomness=lambda size: b"\x77" * size,
            metrics=self.metrics,
        )

    def ask(self) -> Deferred[ScannedAnswer]:
        """
        Ask, and connect.
        """
        waiting = self.exchange.exchange(QUESTION)
        self.connect()
        return waiting

    def connect(self) -> None:
        """
        Let the newest connection open.
        """
        factory: Any = self.reactor.tcpClients[-1][2]
        self.protocol: Any = factory.buildProtocol(None)
        self.transport = ClientTransport()
        self.protocol.makeConnection(self.transport)

    def sent(self) -> tuple[bytes, bytes]:
        """
        Head and body of the request.
        """
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        return head, body

    def respond(self, body: bytes, head: bytes = TYPE, status: bytes = b"200 OK") -> None:
        """
        Answer the request.
        """
        self.protocol.dataReceived(
            b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), head, body)
        )

    def assertFailed(self, waiting: Deferred[ScannedAnswer], reason: str) -> None:
        """
        The question failed for a reason.
        """
        self.assertEqual(self.failureResultOf(waiting, ExchangeFailed).value.reason, reason)

    def test_answered(self) -> None:
        """
        The question is posted, padded, to where the operator said, and answered.
        """
        waiting = self.ask()
        self.assertEqual(self.reactor.tcpClients[0][1], 8080)
        head, body = self.sent()
        self.assertTrue(head.startswith(b"POST /dns-query HTTP/1.1\r\n"))
        for line in (b"Content-Type: application/dns-message", b"Accept: application/dns-message"):
            self.assertIn(line, head)
        self.assertEqual(len(body) % 128, 0)
        self.respond(answered(body, RECORD))
        self.assertEqual(self.successResultOf(waiting).lifetime, 60)

    def test_parameters(self) -> None:
        """
        The type of an answer may have parameters and capitals.
        """
        waiting = self.ask()
        body = answered(self.sent()[1], RECORD)
        self.respond(body, b"Content-Type: Application/DNS-Message; x=y\r\n")
        self.successResultOf(waiting)

    def test_otherResponses(self) -> None:
        """
        Another status or type is a failure, a redirection as well (section 14.6).
        """
        for head, status, reason in (
            (TYPE, b"500 Oops", "status"),
            (b"Location: http://192.0.2.9/\r\n" + TYPE, b"302 Found", "status"),
            (b"Content-Type: text/html\r\n", b"200 OK", "type"),
            (b"", b"200 OK", "type"),
            (TYPE + TYPE, b"200 OK", "type"),
        ):
            waiting = self.ask()
            self.respond(answered(self.sent()[1], RECORD), head, status)
            self.assertFailed(waiting, reason)

    def test_announcedTooLarge(self) -> None:
        """
        A body announced above the limit is not read (A174).
        """
        waiting = self.ask()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 601\r\n" + TYPE + b"\r\n")
        self.assertFailed(waiting, "size")
        self.assertTrue(self.transport.gone)

    def test_tooLarge(self) -> None:
        """
        A body without an end is read up to the limit.
        """
        waiting = self.ask()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n" + TYPE + b"\r\n" + bytes(600))
        self.assertNoResult(waiting)
        self.protocol.dataReceived(b"x")
        self.assertFailed(waiting, "size")
        self.assertTrue(self.transport.gone)
        self.protocol.dataReceived(bytes(1000))

    def test_cut(self) -> None:
        """
        A body that ends early is a failure.
        """
        waiting = self.ask()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n" + TYPE + b"\r\nabc")
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertFailed(waiting, "http")

    def test_untilTheEnd(self) -> None:
        """
        A body without a length ends with the connection.
        """
        waiting = self.ask()
        raw = answered(self.sent()[1], RECORD)
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n" + TYPE + b"\r\n" + raw)
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.successResultOf(waiting).lifetime, 60)

    def test_wrongAnswer(self) -> None:
        """
        An answer to something else, or garbage, is a failure.
        """
        for change, reason in (
            (lambda raw: b"\0\0" + raw[2:], "mismatch"),
            (lambda raw: raw[:20] + b"z" + raw[21:], "mismatch"),
            (lambda raw: b"", "mismatch"),
            (lambda raw: raw + b"junk", "malformed"),
        ):
            waiting = self.ask()
            self.respond(change(answered(self.sent()[1], RECORD)))
            self.assertFailed(waiting, reason)

    def test_withoutEDNS(self) -> None:
        """
        An upstream that does not understand EDNS is asked without.
        """
        waiting = self.ask()
        raw = answered(dns.message.from_wire(self.sent()[1]).to_wire(), rcode=1)
        without = dns.message.from_wire(raw)
        without.use_edns(False)
        self.respond(without.to_wire())
        self.connect()
        body = self.sent()[1]
        self.assertEqual(dns.message.from_wire(body).edns, -1)
        self.respond(answered(body, RECORD))
        self.successResultOf(waiting)

    def test_refused(self) -> None:
        """
        A connection that cannot be opened is a failure.
        """
        waiting = self.exchange.exchange(QUESTION)
        factory: Any = self.reactor.tcpClients[0][2]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.reactor.advance(1)
        self.assertFailed(waiting, "http")

    def test_manyAtOnce(self) -> None:
        """
        An upstream is asked a bounded number of questions at once; the next one's turn comes
        when one is answered or nobody waits for it any more.
        """
        waiting = [self.exchange.exchange(QUESTION) for _ in range(CONCURRENT + 2)]
        self.assertEqual(len(self.reactor.tcpClients), CONCURRENT)
        waiting[-2].cancel()
        self.failureResultOf(waiting[-2], CancelledError)
        self.assertEqual(len(self.reactor.tcpClients), CONCURRENT)
        self.connect()
        self.respond(answered(self.sent()[1], RECORD))
        self.successResultOf(waiting[CONCURRENT - 1])
        self.assertEqual(len(self.reactor.tcpClients), CONCURRENT + 1)

    def test_cancelled(self) -> None:
        """
        A question nobody waits for any more hangs up, also in the middle of a body.
        """
        waiting = self.ask()
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n" + TYPE + b"\r\nabc")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(self.transport.gone)

    def test_cancelledEarly(self) -> None:
        """
        Before the head of the response as well.
        """
        waiting = self.ask()
        waiting.cancel()
        self.assertTrue(self.transport.gone)
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(waiting, ExchangeFailed, CancelledError)


class HTTPSFactoryTests(SynchronousTestCase):
    """
    Tests for L{httpsFactory}.
    """

    def test_made(self) -> None:
        """
        An exchange is named by its URL, and can be stopped. Only over TLS is there a choice of
        versions.
        """
        make = httpsFactory(
            MemoryReactorClock(), randomness=bytes, maxSize=1, metrics=Metrics(ROWS)
        )
        for url, kind in (
            ("https://dns.example/dns-query", HTTP2Poster),
            ("https://[2001:db8::1]:8443/q", HTTP2Poster),
            ("http://dns.example/dns-query", HTTP1Poster),
        ):
            made: Any = make(Upstream.parse(url))
            self.assertEqual((made.label, made.kind), (url, "doh"))
            self.assertIsInstance(made._poster, kind)
            made.stop()
