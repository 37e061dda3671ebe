# -*- test-case-name: aero.dns.test.test_engine -*-
"""
One resolver for everybody who asks: C{/dns-query}, C{/dns-json}, guests.

A question passes, in this order: what this resolver answers at all (opcode, EDNS version,
class, policy), the names it answers itself, the cache, an equal question that is under way,
and the upstreams one after the other. Nothing of the asker's bytes goes upstream; the
question is asked anew, and its answer is made anew for each asker.

Bounds: the cache in entries and bytes, questions under way by C{maxPending}, those who wait
for them by ten times that, and each attempt by C{upstreamTimeout}. Names are never logged.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Final, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.ssl import optionsForClientTLS
from twisted.logger import Logger
from twisted.python.failure import Failure

from aero.metrics import Metrics
from aero.metrics import dns as rows
from aero.policy.dnspolicy import DNSPolicy
from aero.settings.dns import DNSSettings
from aero.wire.dns import BADVERS, CD, IN, NOTIMP, NXDOMAIN, RD, REFUSED, SERVFAIL, shortAnswer
from aero.wire.dnsanswer import ScannedAnswer, answerFor, unknownVersion
from aero.wire.dnsquery import Query, Question

from .cache import AnswerCache, Cached
from .datagrams import OpenSocket, openSocket
from .exchange import PAYLOAD_SIZE, Exchange, ExchangeFailed
from .health import UpstreamHealth
from .localnames import TTL as LOCAL_TTL
from .localnames import isLocal, localAnswer
from .upstreams import HTTPSFactory, TLSOptions, makeExchanges

#: The TTL that an answer after its time is given (RFC 8767 section 4).
STALE_TTL: Final = 30
#: Askers for each question under way, on average.
WAITERS: Final = 10

#: Results for which the next upstream is asked: this one could not, or would not.
_FAILOVER: Final = {SERVFAIL: "servfail", NOTIMP: "notimp", REFUSED: "refused"}

_TYPES: Final = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    255: "ANY",
}
_RCODES: Final = {0: "NOERROR", SERVFAIL: "SERVFAIL", NXDOMAIN: "NXDOMAIN", REFUSED: "REFUSED"}


class Answer(NamedTuple):
    """
    What one asker gets.

    @ivar message: The DNS message.
    @ivar rcode: Its result.
    @ivar source: C{cache}, C{upstream}, C{policy} (not answered here), C{local} (a name that
        needs no upstream), or C{error} (every upstream failed).
    @ivar ttl: Seconds for which the answer may be kept; C{None} is not at all.
    """

    message: bytes
    rcode: int
    source: str
    ttl: int | None


class _Waiter(NamedTuple):
    query: Query
    answer: Deferred[Answer]


class DNSEngine:
    """
    The resolver.

    @ivar answersPrivateReverse: Whether it looks up reverse names of private addresses.
    """

    _log = Logger()

    def __init__(
        self,
        settings: DNSSettings,
        *,
        reactor: Any,
        metrics: Metrics,
        https: HTTPSFactory | None = None,
        randomness: Callable[[int], bytes] = os.urandom,
        tlsOptions: TLSOptions = optionsForClientTLS,
        open: OpenSocket = openSocket,
        exchanges: list[Exchange] | None = None,
    ) -> None:
        """
        @param https: Makes the way to a DNS over HTTPS upstream; needed if there is one.
        @param exchanges: The ways to the upstreams, instead of those of the settings.
        """
        self._reactor = reactor
        self._metrics = metrics
        self._timeout = settings.upstreamTimeout
        self._maxPending = settings.maxPending
        self._serveStale = settings.serveStale > 0
        self.answersPrivateReverse = settings.allowPrivatePTR
        self._policy = DNSPolicy(
            allowAny=settings.allowAny, allowPrivatePTR=settings.allowPrivatePTR
        )
        self._cache = AnswerCache(
            maxEntries=settings.cacheMaxEntries,
            maxBytes=settings.cacheMaxBytes,
            maxTTL=settings.cacheMaxTTL,
            negativeTTL=settings.cacheNegativeTTL,
            keepStale=settings.serveStale,
            metrics=metrics,
        )
        self._exchanges = (
            makeExchanges(
                settings,
                reactor=reactor,
                metrics=metrics,
                randomness=randomness,
                https=https,
                tlsOptions=tlsOptions,
                open=open,
            )
            if exchanges is None
            else exchanges
        )
        self._health = UpstreamHealth(self._exchanges)
        self._pending: dict[bytes, list[_Waiter]] = {}
        self._tasks: dict[bytes, Deferred[None]] = {}
        self._waiters = 0
        self._stopped = False
        self._pendingGauge = metrics.gauge(rows.PENDING)
        self._hits = {name: metrics.counter(rows.CACHE_HITS, name) for name in _typeNames()}
        self._misses = {name: metrics.counter(rows.CACHE_MISSES, name) for name in _typeNames()}
        self._merged = metrics.counter(rows.MERGED)
        self._counters: dict[tuple[str, int, str], Any] = {}

    def query(self, query: Query) -> Deferred[Answer]:
        """
        Answer a query.

        @return: Always an answer, never a failure, unless it is cancelled: an asker that is
            gone need not wait, while its question goes on for the cache and for others.
        """
        if query.flags & 0x7800:
            return succeed(self._ownAnswer(query, NOTIMP, "opcode"))
        if query.edns is not None and query.edns.version:
            self._refused("version")
            self._count(query, BADVERS, "policy")
            message = unknownVersion(query, PAYLOAD_SIZE)
            return succeed(Answer(message, BADVERS, "policy", None))
        refusal = "class" if query.qclass != IN else self._policy.refusal(query.name, query.qtype)
        if refusal is not None:
            return succeed(self._ownAnswer(query, REFUSED, refusal))
        name = query.name.lower()
        if isLocal(name):
            self._count(query, 0, "local")
            local = localAnswer(name, query.qtype, query.flags & (RD | CD))
            return succeed(Answer(answerFor(query, local, 0, PAYLOAD_SIZE), 0, "local", LOCAL_TTL))
        key = query.key
        cached = self._cache.get(key, self._reactor.seconds())
        if cached is not None:
            self._hits[_typeName(query.qtype)].inc()
            return succeed(self._fromCache(query, cached))
        self._misses[_typeName(query.qtype)].inc()
        return self._wait(key, query)

    def stop(self) -> None:
        """
        Answer everybody who waits with SERVFAIL and close the connections to the upstreams.
        """
        self._stopped = True
        for task in list(self._tasks.values()):
            task.cancel()
        for exchange in self._exchanges:
            exchange.stop()

    def _wait(self, key: bytes, query: Query) -> Deferred[Answer]:
        waiters = self._pending.get(key)
        full = len(self._pending) >= self._maxPending and waiters is None
        if full or self._waiters >= self._maxPending * WAITERS:
            self._refused("pending")
            return succeed(self._failed(query))
        waiter = _Waiter(query, Deferred(lambda _: self._leave(key, waiter)))
        self._waiters += 1
        if waiters is not None:
            self._merged.inc()
            waiters.append(waiter)
            return waiter.answer
        self._pending[key] = [waiter]
        self._pendingGauge.set(len(self._pending))
        task = Deferred.fromCoroutine(self._resolve(key, Question.fromQuery(query)))
        if key in self._pending:
            self._tasks[key] = task
        return waiter.answer

    def _leave(self, key: bytes, waiter: _Waiter) -> None:
        """
        Somebody does not want to wait any more.
        """
        waiters = self._pending.get(key, [])
        if waiter in waiters:
            waiters.remove(waiter)
            self._waiters -= 1

    async def _resolve(self, key: bytes, question: Question) -> None:
        """
        Find an answer and give it to all who wait for it.
        """
        answer: ScannedAnswer | None = None
        try:
            answer = await self._askUpstreams(question)
        except CancelledError:
            pass
        except Exception:  # noqa: BLE001
            self._log.failure("A DNS question could not be asked")
        now = self._reactor.seconds()
        stale = self._cache.getStale(key, now) if self._serveStale else None
        failed = answer is None or answer.rcode in _FAILOVER
        if answer is not None:
            self._cache.put(key, answer, now)
        waiters = self._pending.pop(key)
        self._tasks.pop(key, None)
        self._waiters -= len(waiters)
        self._pendingGauge.set(len(self._pending))
        for query, waiting in waiters:
            if failed and stale is not None:
                waiting.callback(self._stale(query, stale))
            elif answer is None:
                waiting.callback(self._failed(query))
            else:
                waiting.callback(self._fromUpstream(query, answer))

    async def _askUpstreams(self, question: Question) -> ScannedAnswer | None:
        """
        Ask one upstream after the other.

        @return: The first answer that says something; where there is none, the first that
            says that its server could not tell, or C{None}.
        """
        fallback: ScannedAnswer | None = None
        order = self._health.inOrder(self._reactor.seconds())
        for place, exchange in enumerate(order, 1):
            if self._stopped:
                break
            try:
                answer = await self._attempt(exchange, question)
            except ExchangeFailed as error:
                self._health.failed(exchange, error.reason, self._reactor.seconds())
                self._metrics.counter(rows.UPSTREAM_ERRORS, exchange.label, exchange.kind).inc()
                self._log.debug(
                    "The upstream {upstream} failed: {reason}",
                    upstream=exchange.label,
                    reason=error.reason,
                )
                reason = error.reason
            else:
                self._health.answered(exchange)
                if answer.rcode not in _FAILOVER:
                    return answer
                fallback = fallback or answer
                reason = _FAILOVER[answer.rcode]
            if place < len(order):
                self._metrics.counter(rows.FAILOVERS, reason).inc()
        return fallback

    async def _attempt(self, exchange: Exchange, question: Question) -> ScannedAnswer:
        """
        Ask one upstream, for as long as an attempt may take.
        """
        started = self._reactor.seconds()
        try:
            attempt = exchange.exchange(question)
            return await attempt.addTimeout(self._timeout, self._reactor)
        except TimeoutError:
            raise ExchangeFailed("timeout") from None
        except ExchangeFailed:
            # An HTTP client has its own words for having been cancelled.
            if self._reactor.seconds() - started >= self._timeout:
                raise ExchangeFailed("timeout") from None
            raise
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001
            self._log.failure("The upstream {upstream} failed oddly", upstream=exchange.label)
            raise ExchangeFailed("internal", Failure(error).getErrorMessage()) from None
        finally:
            latency = self._metrics.histogram(rows.UPSTREAM_LATENCY, exchange.label, exchange.kind)
            latency.observe(max(0.0, self._reactor.seconds() - started))

    def _fromCache(self, query: Query, cached: Cached) -> Answer:
        age = max(0, int(self._reactor.seconds() - cached.stored))
        message = answerFor(query, cached.answer, age, PAYLOAD_SIZE)
        self._count(query, cached.answer.rcode, "cache")
        left = int(cached.expires - cached.stored) - age
        return Answer(message, cached.answer.rcode, "cache", left)

    def _stale(self, query: Query, cached: Cached) -> Answer:
        self._metrics.counter(rows.STALE).inc()
        self._count(query, cached.answer.rcode, "cache")
        message = answerFor(query, cached.answer, 0, PAYLOAD_SIZE, STALE_TTL)
        return Answer(message, cached.answer.rcode, "cache", None)

    def _fromUpstream(self, query: Query, answer: ScannedAnswer) -> Answer:
        self._count(query, answer.rcode, "upstream")
        message = answerFor(query, answer, 0, PAYLOAD_SIZE)
        return Answer(message, answer.rcode, "upstream", self._cache.lifetimeOf(answer) or None)

    def _failed(self, query: Query) -> Answer:
        self._count(query, SERVFAIL, "error")
        message = shortAnswer(query.ident, query.flags, SERVFAIL, query.question)
        return Answer(message, SERVFAIL, "error", None)

    def _ownAnswer(self, query: Query, rcode: int, reason: str) -> Answer:
        self._refused(reason)
        self._count(query, rcode, "policy")
        message = shortAnswer(query.ident, query.flags, rcode, query.question)
        return Answer(message, rcode, "policy", None)

    def _refused(self, reason: str) -> None:
        self._metrics.counter(rows.REFUSED, reason).inc()

    def _count(self, query: Query, rcode: int, source: str) -> None:
        labels = _typeName(query.qtype), rcode, source
        counter = self._counters.get(labels)
        if counter is None:
            counter = self._counters[labels] = self._metrics.counter(
                rows.QUERIES, labels[0], _RCODES.get(rcode, str(rcode)), source
            )
        counter.inc()


def _typeName(qtype: int) -> str:
    """
    A type as a label. The client chooses the type, so only those with a name have their own.
    """
    return _TYPES.get(qtype, "other")


def _typeNames() -> list[str]:
    return [*_TYPES.values(), "other"]
