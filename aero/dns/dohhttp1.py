# -*- test-case-name: aero.dns.test.test_dohupstream -*-
"""
Posting DNS messages by HTTP/1.1, with Twisted's client: for upstreams that speak nothing newer.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from .dohpost import TYPE, problemWith
from .exchange import ExchangeFailed

#: Connections to one upstream that are kept open.
CONNECTIONS: Final = 8
#: Seconds that a connection is kept without a question.
IDLE: Final = 30


class HTTP1Poster:
    """
    Posts to one URL, each message on a connection that nobody else uses meanwhile.
    """

    def __init__(
        self, url: bytes, agent: IAgent, maxSize: int, pool: HTTPConnectionPool | None = None
    ) -> None:
        """
        @param maxSize: Bytes of an answer; no more is read.
        @param pool: The connections of the agent, to be closed in the end.
        """
        self._url = url
        self._agent = agent
        self._maxSize = maxSize
        self._pool = pool

    def post(self, message: bytes) -> Deferred[bytes]:
        """
        See L{Poster.post<aero.dns.dohpost.Poster.post>}.
        """
        return Deferred.fromCoroutine(self._post(message))

    def stop(self) -> None:
        """
        See L{Poster.stop<aero.dns.dohpost.Poster.stop>}.
        """
        if self._pool is not None:
            self._pool.closeCachedConnections()

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
        length = response.length
        problem = problemWith(response.code, response.headers.getRawHeaders(b"Content-Type", []))
        if problem is None and isinstance(length, int) and length > self._maxSize:
            return "size"
        return problem


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
