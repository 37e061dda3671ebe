# -*- test-case-name: aero.dns.test.test_dohupstream -*-
"""
An upstream that is asked over HTTPS (RFC 8484), for the resolver of L{aero.dns}, which
itself knows no HTTP.
"""

from __future__ import annotations

from typing import Any, Callable, Final
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import optionsForClientTLS
from twisted.web.client import Agent, HTTPConnectionPool

from aero.metrics import Metrics
from aero.metrics import dns as rows
from aero.policy.upstreams import Upstream
from aero.wire.dnsanswer import ScannedAnswer, mismatch
from aero.wire.dnsquery import Question

from .addresses import CONNECT_TIMEOUT, streamEndpoint
from .dohhttp1 import CONNECTIONS, IDLE, HTTP1Poster
from .dohhttp2 import PROTOCOLS, HTTP2Poster
from .dohpost import Poster
from .exchange import PAYLOAD_SIZE, QUERY_BLOCK, ExchangeFailed, dislikesEDNS, usable
from .upstreams import HTTPSFactory

#: Questions to one upstream at once; more wait their turn.
CONCURRENT: Final = 64


class HTTPSExchange:
    """
    One upstream.
    """

    kind = "doh"

    def __init__(
        self,
        label: str,
        poster: Poster,
        *,
        randomness: Callable[[int], bytes],
        metrics: Metrics,
    ) -> None:
        """
        @param label: The upstream in metrics and logs.
        @param poster: The way to it.
        """
        self.label = label
        self._poster = poster
        self._random = randomness
        self._metrics = metrics
        self._slots = DeferredSemaphore(CONCURRENT)

    def exchange(self, question: Question) -> Deferred[ScannedAnswer]:
        """
        See L{aero.dns.exchange.Exchange.exchange}.
        """
        return Deferred.fromCoroutine(self._exchange(question))

    def stop(self) -> None:
        """
        See L{aero.dns.exchange.Exchange.stop}.
        """
        self._poster.stop()

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
        body = await self._poster.post(message)
        wrong = mismatch(body, ident, asked)
        if wrong not in (None, "case"):
            self._metrics.counter(rows.MISMATCHES, str(wrong)).inc()
            raise ExchangeFailed("mismatch", "the body answers something else")
        return usable(body)


def httpsFactory(
    reactor: Any,
    *,
    randomness: Callable[[int], bytes],
    maxSize: int,
    metrics: Metrics,
    tlsOptions: Callable[..., IOpenSSLClientConnectionCreator] = optionsForClientTLS,
) -> HTTPSFactory:
    """
    What the resolver makes its DNS over HTTPS upstreams with. Each has connections of its
    own; certificates are checked against those that the system trusts. Over TLS an upstream
    is asked by HTTP/2 if it speaks that.

    @param maxSize: Bytes of an answer; no more is read.
    @param tlsOptions: Makes the TLS options for a host and C{acceptableProtocols}.
    """

    def make(upstream: Upstream) -> HTTPSExchange:
        pool = HTTPConnectionPool(reactor)
        pool.maxPersistentPerHost = CONNECTIONS
        pool.cachedConnectionTimeout = IDLE
        agent = Agent(reactor, connectTimeout=CONNECT_TIMEOUT, pool=pool)
        poster: Poster = HTTP1Poster(upstream.url.encode("ascii"), agent, maxSize, pool)
        url = urlsplit(upstream.url)
        if url.scheme == "https":
            options = tlsOptions(upstream.host, acceptableProtocols=PROTOCOLS)
            endpoint = streamEndpoint(reactor, upstream.host, upstream.port)
            poster = HTTP2Poster(
                upstream.url,
                wrapClientTLS(options, endpoint),
                clock=reactor,
                maxSize=maxSize,
                older=poster,
            )
        return HTTPSExchange(upstream.label, poster, randomness=randomness, metrics=metrics)

    return make
