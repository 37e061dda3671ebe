"""
Tests for L{aero.dns.engine}.
"""

from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from aero.dns.engine import STALE_TTL, WAITERS, Answer, DNSEngine
from aero.metrics import ROWS, Metrics
from aero.policy.upstreams import Upstream
from aero.settings.dns import DNSSettings
from aero.wire.dns import CD, RD, encodeName
from aero.wire.dnsanswer import scanAnswer
from aero.wire.dnsquery import EDNS, Query

from .fakes import FakeExchange, FakeNetwork, FakeReactor, answerTo, counting, query

RECORD = "www.example. 60 IN A 192.0.2.1"


class EngineCase(SynchronousTestCase):
    """
    An engine with two upstreams that the test answers for.
    """

    def makeEngine(self, **settings: Any) -> DNSEngine:
        """
        Make one with other settings than the default.
        """
        self.reactor = FakeReactor()
        self.metrics = Metrics(ROWS)
        self.first = FakeExchange("first")
        self.second = FakeExchange("second")
        return DNSEngine(
            DNSSettings(**settings),
            reactor=self.reactor,
            metrics=self.metrics,
            exchanges=[self.first, self.second],
        )

    def counted(self, name: str, **labels: str) -> float:
        """
        The value of a counter.
        """
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def parsed(self, waiting: Deferred[Answer]) -> dns.message.Message:
        """
        An answer as another implementation reads it.
        """
        return dns.message.from_wire(self.successResultOf(waiting).message)


class CachingTests(EngineCase):
    """
    Tests for what L{DNSEngine} keeps and for whom.
    """

    def test_resolved(self) -> None:
        """
        A question is asked once; the second answer has its own id and spelling (A171).
        """
        engine = self.makeEngine()
        waiting = engine.query(query())
        asked = self.first.asked[0][0]
        self.assertEqual((asked.name, asked.qtype), (b"\3www\7example\0", 1))
        self.first.answer(RECORD)
        first = self.successResultOf(waiting)
        self.assertEqual((first.rcode, first.source, first.ttl), (0, "upstream", 60))
        second = self.successResultOf(engine.query(query("WWW.example", ident=0x99)))
        self.assertEqual((second.source, second.ttl), ("cache", 60))
        message = dns.message.from_wire(second.message)
        self.assertEqual(message.id, 0x99)
        self.assertEqual(message.question[0].name.labels[0], b"WWW")
        self.assertEqual(str(message.answer[0][0]), "192.0.2.1")
        self.assertEqual(len(self.first.asked), 1)
        for source in ("upstream", "cache"):
            self.assertEqual(
                self.counted("dns_queries_total", qtype="A", rcode="NOERROR", source=source), 1
            )
        self.assertEqual(self.counted("dns_cache_hits_total", qtype="A"), 1)
        self.assertEqual(self.counted("dns_cache_misses_total", qtype="A"), 1)

    def test_ageing(self) -> None:
        """
        An answer from the cache says for how long it is still good (H11).
        """
        engine = self.makeEngine()
        engine.query(query())
        self.first.answer(RECORD)
        self.reactor.advance(20.5)
        answer = self.successResultOf(engine.query(query()))
        self.assertEqual(answer.ttl, 40)
        self.assertEqual(dns.message.from_wire(answer.message).answer[0].ttl, 40)
        self.reactor.advance(39.5)
        self.assertNoResult(engine.query(query()))

    def test_poisoning(self) -> None:
        """
        Nobody can say something about one name by asking for another that looks like it (C4).
        """
        engine = self.makeEngine()
        odd = [
            query()._replace(name=b"\x0bwww.example\0"),
            query()._replace(name=encodeName([b" www", b"example"])),
            query()._replace(name=encodeName([b"www", b"example "])),
            query()._replace(name=encodeName([b"\xff\xfe", b"example"])),
        ]
        for one in odd:
            engine.query(one)
            self.first.asked[-1][1].callback(self._nothing(one))
        for one in (query(), query()._replace(name=encodeName([b"\xff\xfd", b"example"]))):
            self.assertNoResult(engine.query(one))

    def _nothing(self, asked: Query) -> Any:
        header = b"\0\0\x81\x83\0\1" + bytes(6)
        return scanAnswer(header + asked.question)

    def test_bitsThatMatter(self) -> None:
        """
        Answers to questions with other type, CD, DO or RD are not mixed up.
        """
        engine = self.makeEngine()
        engine.query(query())
        self.first.answer(RECORD)
        for other in (
            query(qtype=28),
            query(flags=RD | CD),
            query(flags=0),
            query(edns=EDNS(1232, 0, True, False)),
        ):
            self.assertNoResult(engine.query(other))
        self.successResultOf(engine.query(query(edns=EDNS(1232, 0, False, False))))

    def test_edns(self) -> None:
        """
        OPT is only for those who sent it.
        """
        engine = self.makeEngine()
        engine.query(query())
        self.first.answer(RECORD, edns=True)
        self.assertEqual(self.parsed(engine.query(query())).edns, -1)
        self.assertEqual(self.parsed(engine.query(query(edns=EDNS(1232, 0, False, False)))).edns, 0)

    def test_negative(self) -> None:
        """
        That a name does not exist is remembered for as long as its zone says (RFC 2308).
        """
        engine = self.makeEngine()
        waiting = engine.query(query())
        soa = "example. 100 IN SOA a. b. 1 2 3 4 30"
        self.first.answer(rcode=3, authority=(soa,))
        answer = self.successResultOf(waiting)
        self.assertEqual((answer.rcode, answer.ttl), (3, 30))
        self.reactor.advance(29.9)
        self.assertEqual(self.successResultOf(engine.query(query())).source, "cache")
        self.reactor.advance(0.1)
        self.assertNoResult(engine.query(query()))

    def test_failuresAreNotKept(self) -> None:
        """
        Truncated answers and failures are given, and not kept.
        """
        for options in ({"rcode": 1}, {"flags": dns.flags.TC}):
            engine = self.makeEngine()
            waiting = engine.query(query())
            self.first.answer(**options)
            self.assertIsNone(self.successResultOf(waiting).ttl)
            self.assertNoResult(engine.query(query()))

    def test_stale(self) -> None:
        """
        Where that is wanted, an answer past its time is given when no upstream can be asked.
        """
        engine = self.makeEngine(serveStale=100)
        engine.query(query())
        self.first.answer(RECORD)
        self.reactor.advance(80)
        waiting = engine.query(query())
        self.first.fail()
        self.second.answer(rcode=2)
        answer = self.successResultOf(waiting)
        self.assertEqual((answer.rcode, answer.source, answer.ttl), (0, "cache", None))
        self.assertEqual(dns.message.from_wire(answer.message).answer[0].ttl, STALE_TTL)
        self.assertEqual(self.counted("aero_dns_stale_total"), 1)

    def test_notStale(self) -> None:
        """
        By default it is not.
        """
        engine = self.makeEngine()
        engine.query(query())
        self.first.answer(RECORD)
        self.reactor.advance(61)
        waiting = engine.query(query())
        self.first.fail()
        self.second.fail()
        self.assertEqual(self.successResultOf(waiting).source, "error")


class UpstreamTests(EngineCase):
    """
    Tests for how L{DNSEngine} asks.
    """

    def test_failover(self) -> None:
        """
        When one upstream fails the next is asked, and both are counted.
        """
        waiting = self.makeEngine().query(query())
        self.first.fail("malformed")
        self.second.answer(RECORD)
        self.assertEqual(self.successResultOf(waiting).rcode, 0)
        self.assertEqual(self.counted("dns_upstream_errors_total", upstream="first", kind="udp"), 1)
        self.assertEqual(self.counted("aero_dns_failovers_total", reason="malformed"), 1)
        for name in ("first", "second"):
            count = self.counted("dns_upstream_latency_seconds_count", upstream=name, kind="udp")
            self.assertEqual(count, 1)

    def test_timeout(self) -> None:
        """
        Each upstream has its own time; then SERVFAIL is the answer.
        """
        waiting = self.makeEngine(upstreamTimeout=2.0).query(query())
        self.reactor.advance(1.9)
        self.assertEqual(len(self.second.asked), 0)
        self.reactor.advance(0.1)
        self.assertEqual((self.first.cancelled, len(self.second.asked)), (1, 1))
        self.reactor.advance(2.0)
        answer = self.successResultOf(waiting)
        self.assertEqual((answer.rcode, answer.source, answer.ttl), (2, "error", None))
        message = dns.message.from_wire(answer.message)
        self.assertEqual(message.id, 0x4321)
        self.assertEqual(str(message.question[0]), "www.example. IN A")
        self.assertEqual(
            self.counted("dns_queries_total", qtype="A", rcode="SERVFAIL", source="error"), 1
        )
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_timeoutInOtherWords(self) -> None:
        """
        An HTTP client that tells in its own way that it was cancelled ran out of time, too.
        """
        waiting = self.makeEngine(upstreamTimeout=2.0).query(query())
        self.first.wording = "http"
        self.reactor.advance(2.0)
        self.second.answer(RECORD)
        self.successResultOf(waiting)
        self.assertEqual(self.counted("aero_dns_failovers_total", reason="timeout"), 1)

    def test_silent(self) -> None:
        """
        An upstream from which nothing comes any more does not hold up every question.
        """
        engine = self.makeEngine(upstreamTimeout=2.0)
        for number in range(6):
            waiting = engine.query(query(f"host{number}.example"))
            self.reactor.advance(2.0)
            self.second.answer(RECORD)
            self.successResultOf(waiting)
        waiting = engine.query(query("later.example"))
        self.second.answer(RECORD)
        self.assertEqual(self.successResultOf(waiting).rcode, 0)
        self.assertEqual(len(self.first.asked), 6)

    def test_serverFailure(self) -> None:
        """
        An upstream that cannot or will not answer is passed over (H11).
        """
        for rcode in (2, 4, 5):
            waiting = self.makeEngine().query(query())
            self.first.answer(rcode=rcode)
            self.second.answer(RECORD)
            self.assertEqual(self.successResultOf(waiting).rcode, 0)

    def test_allRefuse(self) -> None:
        """
        When none will, the first that spoke is believed.
        """
        waiting = self.makeEngine().query(query())
        self.first.answer(rcode=5)
        self.second.fail()
        answer = self.successResultOf(waiting)
        self.assertEqual((answer.rcode, answer.source, answer.ttl), (5, "upstream", None))

    def test_nonexistent(self) -> None:
        """
        That a name does not exist is an answer.
        """
        waiting = self.makeEngine().query(query())
        self.first.answer(rcode=3)
        self.assertEqual(self.successResultOf(waiting).rcode, 3)
        self.assertEqual(self.second.asked, [])

    def test_noUpstreams(self) -> None:
        """
        Without upstreams every question fails (A170).
        """
        engine = DNSEngine(
            DNSSettings(), reactor=FakeReactor(), metrics=Metrics(ROWS), exchanges=[]
        )
        self.assertEqual(self.successResultOf(engine.query(query())).rcode, 2)

    def test_merged(self) -> None:
        """
        Equal questions under way are asked once, and each asker gets its own answer.
        """
        engine = self.makeEngine()
        one, other = engine.query(query()), engine.query(query("WWW.Example", ident=7))
        self.assertEqual(len(self.first.asked), 1)
        self.assertEqual(self.counted("aero_dns_pending"), 1)
        self.first.answer(RECORD)
        self.assertEqual(self.parsed(one).id, 0x4321)
        message = self.parsed(other)
        self.assertEqual((message.id, message.question[0].name.labels[0]), (7, b"WWW"))
        self.assertEqual(self.counted("aero_dns_merged_total"), 1)
        self.assertEqual(self.counted("aero_dns_pending"), 0)

    def test_gone(self) -> None:
        """
        An asker that goes away does not take the answer from the others, nor from the cache.
        """
        engine = self.makeEngine()
        one, other = engine.query(query()), engine.query(query())
        for waiting in (one, other):
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
        third = engine.query(query())
        self.assertEqual(len(self.first.asked), 1)
        self.first.answer(RECORD)
        self.assertEqual(self.successResultOf(third).source, "upstream")
        self.assertEqual(self.successResultOf(engine.query(query())).source, "cache")

    def test_pendingBound(self) -> None:
        """
        Above the limit of questions under way new ones fail at once, equal ones do not.
        """
        engine = self.makeEngine(maxPending=2)
        waiting = [engine.query(query(name)) for name in ("a", "b")]
        self.assertEqual(self.successResultOf(engine.query(query("c"))).source, "error")
        waiting.append(engine.query(query("a")))
        self.assertEqual(self.counted("aero_dns_refused_total", reason="pending"), 1)
        for one in waiting:
            self.assertNoResult(one)

    def test_waiterBound(self) -> None:
        """
        So do more askers than there is room for, until some have gone.
        """
        engine = self.makeEngine(maxPending=1)
        waiting = [engine.query(query()) for _ in range(WAITERS)]
        self.assertEqual(self.successResultOf(engine.query(query())).source, "error")
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        self.assertNoResult(engine.query(query()))
        self.first.answer(RECORD)
        for one in waiting[1:]:
            self.successResultOf(one)

    def test_roomAgain(self) -> None:
        """
        Those who have their answer take no room any more.
        """
        engine = self.makeEngine(maxPending=1)
        for number in range(3 * WAITERS):
            waiting = engine.query(query(f"n{number}"))
            self.first.answer(f"n{number}. 60 IN A 192.0.2.1")
            self.assertEqual(self.successResultOf(waiting).source, "upstream")

    def test_mistake(self) -> None:
        """
        A mistake in an exchange is logged and costs nobody an answer.
        """
        waiting = self.makeEngine().query(query())
        self.first.asked[0][1].errback(ZeroDivisionError())
        self.second.answer(RECORD)
        self.assertEqual(self.successResultOf(waiting).rcode, 0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stop(self) -> None:
        """
        Stopping answers those who wait, asks nobody else, and closes the connections.
        """
        engine = self.makeEngine()
        waiting = engine.query(query())
        engine.stop()
        self.assertEqual(self.successResultOf(waiting).rcode, 2)
        self.assertEqual(self.second.asked, [])
        self.assertTrue(self.first.stopped and self.second.stopped)
        self.assertEqual(self.successResultOf(engine.query(query())).rcode, 2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_quiet(self) -> None:
        """
        No name that is asked for is logged where an operator would see it.
        """
        events: list[Any] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        waiting = self.makeEngine().query(query("secret.example"))
        self.first.fail()
        self.second.fail()
        self.successResultOf(waiting)
        shown = [event for event in events if event["log_level"] >= LogLevel.info]
        self.assertEqual(shown, [])
        self.assertNotIn("secret", repr(events))


class OwnAnswerTests(EngineCase):
    """
    Tests for what L{DNSEngine} answers without an upstream.
    """

    def assertOwn(self, asked: Query, rcode: int, reason: str, **settings: Any) -> None:
        """
        A query is answered so, for a reason that is counted, and nobody is asked.
        """
        engine = self.makeEngine(**settings)
        answer = self.successResultOf(engine.query(asked))
        self.assertEqual((answer.rcode, answer.source, answer.ttl), (rcode, "policy", None))
        message = dns.message.from_wire(answer.message)
        self.assertEqual((message.rcode(), message.id), (rcode, 0x4321))
        self.assertEqual(self.first.asked, [])
        self.assertEqual(self.counted("aero_dns_refused_total", reason=reason), 1)

    def test_policy(self) -> None:
        """
        What policy refuses is REFUSED with id and question (A173), before the cache.
        """
        self.assertOwn(query(qtype=255), 5, "any")
        self.assertOwn(query("1.0.0.10.in-addr.arpa", qtype=12), 5, "ptr")
        self.assertOwn(query(qtype=252), 5, "type")
        self.assertEqual(self.counted("dns_cache_misses_total", qtype="other"), 0)
        self.assertEqual(
            self.counted("dns_queries_total", qtype="other", rcode="REFUSED", source="policy"), 1
        )

    def test_class(self) -> None:
        """
        Only the internet's class is answered.
        """
        self.assertOwn(query(qclass=3), 5, "class")
        self.assertOwn(query(qclass=255), 5, "class")

    def test_opcode(self) -> None:
        """
        UPDATE and all but QUERY are not implemented (H11).
        """
        self.assertOwn(Query(0x4321, 0x2800, b"", 0, 0), 4, "opcode")

    def test_version(self) -> None:
        """
        A later EDNS version is told that there is none.
        """
        self.assertOwn(query(edns=EDNS(1232, 1, False, False)), 16, "version")

    def test_allowed(self) -> None:
        """
        ANY is asked for where the operator allows it.
        """
        self.assertNoResult(self.makeEngine(allowAny=True).query(query(qtype=255)))

    def test_localhost(self) -> None:
        """
        C{localhost} is here, whatever upstreams say (RFC 6761).
        """
        engine = self.makeEngine()
        found = []
        for name, qtype in (("LocalHost", 1), ("a.localhost", 28), ("localhost", 15)):
            waiting = engine.query(query(name, qtype))
            answer = self.successResultOf(waiting)
            self.assertEqual(answer.source, "local")
            message = dns.message.from_wire(answer.message)
            self.assertEqual(message.question[0].name.to_text(omit_final_dot=True), name)
            found.append([str(record) for rrset in message.answer for record in rrset])
        self.assertEqual(found, [["127.0.0.1"], ["::1"], []])
        self.assertEqual(self.first.asked, [])


class HostileUpstreamTests(SynchronousTestCase):
    """
    Tests for L{DNSEngine} over UDP, with somebody else on the network.
    """

    def setUp(self) -> None:
        self.network = FakeNetwork()
        self.engine = DNSEngine(
            DNSSettings(upstreams=(Upstream.parse("192.0.2.53"), Upstream.parse("192.0.2.54"))),
            reactor=self.network.reactor,
            metrics=Metrics(ROWS),
            randomness=counting(),
            open=self.network.open,
        )

    def test_forged(self) -> None:
        """
        A forged answer is neither given nor kept; the true one after it is (C5).
        """
        waiting = self.engine.query(query(ident=0x4321))
        sent = self.network.last.sent[0]
        self.assertNotEqual(sent[:2], b"\x43\x21")
        forged = answerTo(sent, "www.example. 9999 IN A 203.0.113.66")
        self.network.last.deliver(b"\x43\x21" + forged[2:])
        self.network.last.deliver(forged, source=("192.0.2.53", 5353))
        self.network.last.deliver(forged[:16] + b"\7another" + forged[24:])
        self.assertNoResult(waiting)
        self.network.last.deliver(answerTo(sent, RECORD))
        for answer in (
            self.successResultOf(waiting),
            self.successResultOf(self.engine.query(query())),
        ):
            self.assertEqual(str(dns.message.from_wire(answer.message).answer[0][0]), "192.0.2.1")
        self.assertEqual(len(self.network.sockets), 1)

    def test_garbage(self) -> None:
        """
        An upstream that sends garbage and one that is silent end in SERVFAIL, in time.
        """
        waiting = self.engine.query(query())
        self.network.last.deliver(b"garbage", bytes(12), b"\xff" * 600)
        self.network.reactor.advance(2)
        self.assertEqual(self.network.last.peer, ("192.0.2.54", 53))
        self.network.reactor.advance(2)
        self.assertEqual(self.successResultOf(waiting).rcode, 2)
        self.assertTrue(all(one.closed for one in self.network.sockets))

    def test_nothingOfTheClient(self) -> None:
        """
        What goes upstream does not depend on the client's id and spelling.
        """
        self.engine.query(query("SECRET.example", ident=0xBEEF))
        sent = self.network.last.sent[0]
        self.assertNotEqual(sent[:2], b"\xbe\xef")
        self.assertNotIn(b"SECRET", sent)
