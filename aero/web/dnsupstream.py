# -*- test-case-name: aero.web.test.test_dnsupstream -*-
"""
An upstream that is asked over HTTPS (RFC 8484), for the resolver of L{aero.net.dns}, which
itself knows no HTTP.
"""

from __future__ import annotations

from typing import Any, Callable, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, succeed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from aero.metrics import Metrics
from aero.metrics import dns as rows
from aero.net.dns.exchange import PAYLOAD_SIZE, QUERY_BLOCK, ExchangeFailed, dislikesEDNS, usable
from aero.net.dns.upstreams import HTTPSFactory
from aero.policy.upstreams import Upstream
from aero.wire.dnsanswer import ScannedAnswer, mismatch
from aero.wire.dnsquery import Question

TYPE: Final = b"application/dns-message"
#: Questions to one upstream at once, each on a connection of its own; more wait their turn.
CONCURRENT: Final = 64
#: Connections to one upstream that are kept open.
CONNECTIONS: Final = 8
#: Seconds that a connection is kept without a question.
IDLE: Final = 30
#: Seconds that a connection may take to open.
CONNECT_TIMEOUT: Final = 10.0


class HTTPSExchange:
    """
    One upstream. Redirections are not followed: whom to ask is the operator's choice.
    """

    kind = "doh"

    def __init__(
        self,
        upstream: Upstream,
        *,
        agent: IAgent,
        randomness: Callable[[int], bytes],
        maxSize: int,
        metrics: Metrics,
        pool: HTTPConnectionPool | None = None,
    ) -> None:
        """
        @param maxSize: Bytes of an answer; no more is read.
        @param pool: The connections of the agent, to be closed in the end.
        """
        self.label = upstream.label
        self._url = upstream.url.encode("ascii")
        self._agent = agent
        self._random = randomness
        self._maxSize = maxSize
        self._metrics = metrics
        self._pool = pool
        self._slots = DeferredSemaphore(CONCURRENT)

    def exchange(self, question: Question) -> Deferred[ScannedAnswer]:
        """
        See L{aero.net.dns.exchange.Exchange.exchange}.
        """
        return Deferred.fromCoroutine(self._exchange(question))

    def stop(self) -> None:
        """
        See L{aero.net.dns.exchange.Exchange.stop}.
        """
        if self._pool is not None:
            self._pool.closeCachedConnections()

    async def _exchange(self, question: Question) -> ScannedAnswer:
        await self._slots.acquire()
        try:
            answer = await self._ask(question, PAYLOAD_SIZE)
            if dislikesEDNS(answer):
                answer = await self._ask(question, None)
            return answer
        finally:
            self._slots.release()

    async def _ask(self, question: Question, payloadSize: int | None) -> ScannedAnswer:
        ident = int.from_bytes(self._random(2), "big")
        asked = question.wire()
        message = question.message(ident, asked, payloadSize=payloadSize, paddingBlock=QUERY_BLOCK)
        body = await self._post(message)
        wrong = mismatch(body, ident, asked)
        if wrong not in (None, "case"):
            self._metrics.counter(rows.MISMATCHES, str(wrong)).inc()
            raise ExchangeFailed("mismatch", "the body answers something else")
        return usable(body)

    async def _post(self, message: bytes) -> bytes:
        headers = Headers({b"Content-Type": [TYPE], b"Accept": [TYPE], b"User-Agent": [b"aero"]})
        try:
            response = await self._agent.request(b"POST", self._url, headers, _Body(message))
            problem = self._problemWith(response)
            collector = _Collector(self._maxSize)
            response.deliverBody(collector)
            if problem is not None:
                collector.abort()
                raise ExchangeFailed(problem)
            return await collector.body
        except (ExchangeFailed, CancelledError):
            raise
        except Exception as error:  # noqa: BLE001
            # Twisted's client has many classes for what goes wrong, without a common parent.
            raise ExchangeFailed("http", str(error) or type(error).__name__) from None

    def _problemWith(self, response: IResponse) -> str | None:
        if not 200 <= response.code < 300:
            return "status"
        lines = response.headers.getRawHeaders(b"Content-Type", [])
        if len(lines) != 1 or lines[0].partition(b";")[0].strip().lower() != TYPE:
            return "type"
        length = response.length
        return "size" if isinstance(length, int) and length > self._maxSize else None


def httpsFactory(
    reactor: Any, *, randomness: Callable[[int], bytes], maxSize: int, metrics: Metrics
) -> HTTPSFactory:
    """
    What the resolver makes its DNS over HTTPS upstreams with. Each has connections of its
    own; certificates are checked against those that the system trusts.
    """

    def make(upstream: Upstream) -> HTTPSExchange:
        pool = HTTPConnectionPool(reactor)
        pool.maxPersistentPerHost = CONNECTIONS
        pool.cachedConnectionTimeout = IDLE
        return HTTPSExchange(
            upstream,
            agent=Agent(reactor, connectTimeout=CONNECT_TIMEOUT, pool=pool),
            randomness=randomness,
            maxSize=maxSize,
            metrics=metrics,
            pool=pool,
        )

    return make


@implementer(IBodyProducer)
class _Body:
    """
    A request body that is sent at once.
    """

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """
        Send it.
        """
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """
        Everything is sent already.
        """

    def resumeProducing(self) -> None:
        """
        Everything is sent already.
        """

    def stopProducing(self) -> None:
        """
        Everything is sent already.
        """


class _Collector(Protocol):
    """
    Keeps a response body up to a limit and closes the connection beyond it.
    """

    def __init__(self, limit: int) -> None:
        """
        @param limit: The most bytes.
        """
        self.body: Deferred[bytes] = Deferred(lambda _: self.abort())
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._over = False

    def dataReceived(self, data: bytes) -> None:
        """
        Some of it came.
        """
        if self._over:
            return
        self._size += len(data)
        self._parts.append(data)
        if self._size > self._limit:
            self.abort()
            self.body.errback(ExchangeFailed("size"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        It is complete, or never will be.
        """
        if self._over:
            return
        self._over = True
        if reason.check(ResponseDone, PotentialDataLoss):
            self.body.callback(b"".join(self._parts))
        else:
            self.body.errback(ExchangeFailed("http", reason.getErrorMessage()))

    def abort(self) -> None:
        """
        Want no more of it. What Twisted's client gives as a transport can only be closed, so
        whatever still comes until then is dropped.
        """
        self._over = True
        self._parts.clear()
        if self.transport is not None:
            self.transport.loseConnection()
