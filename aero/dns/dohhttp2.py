# -*- test-case-name: aero.dns.test.test_dohhttp2 -*-
"""
Posting DNS messages by HTTP/2, all on one connection, to upstreams that speak it.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol

from .addresses import CONNECT_TIMEOUT
from .dohconnection import DoHConnection, Fields
from .dohpost import TYPE, Poster
from .exchange import ExchangeFailed
from .sharing import SharedConnection

#: What an upstream chooses from (RFC 7301).
PROTOCOLS: Final = (b"h2", b"http/1.1")
#: The reason of a failure that an older version of HTTP may mend.
_OLDER: Final = "older"


class HTTP2Poster:
    """
    Posts to one URL. An upstream that chooses HTTP/1.1 is asked that way, until that fails.
    """

    def __init__(
        self,
        url: str,
        endpoint: IStreamClientEndpoint,
        *,
        clock: IReactorTime,
        maxSize: int,
        older: Poster,
    ) -> None:
        """
        @param endpoint: Connects with TLS and offers L{PROTOCOLS}.
        @param maxSize: Bytes of an answer; no more is read.
        @param older: The way to the same URL by HTTP/1.1.
        """
        self._fields = _fields(url)
        self._endpoint = endpoint
        self._clock = clock
        self._maxSize = maxSize
        self._older = older
        self._isOld = False
        self._shared = SharedConnection(self._open)

    def post(self, message: bytes) -> Deferred[bytes]:
        """
        See L{Poster.post<aero.dns.dohpost.Poster.post>}.
        """
        return Deferred.fromCoroutine(self._post(message))

    def stop(self) -> None:
        """
        See L{Poster.stop<aero.dns.dohpost.Poster.stop>}.
        """
        self._shared.stop()
        self._older.stop()

    async def _post(self, message: bytes) -> bytes:
        if not self._isOld:
            try:
                return await self._shared.ask(lambda one: one.post(message))
            except ExchangeFailed as error:
                if error.reason != _OLDER:
                    raise
            self._isOld = True
        try:
            return await self._older.post(message)
        except ExchangeFailed as error:
            # It may have been exchanged for a newer one.
            self._isOld = error.reason != "http"
            raise

    def _open(self) -> Deferred[DoHConnection]:
        opening = Deferred.fromCoroutine(self._connect())
        return opening.addTimeout(CONNECT_TIMEOUT, self._clock)

    async def _connect(self) -> DoHConnection:
        connection: Any = await self._endpoint.connect(_Connections(self))
        if not await connection.ready:
            raise ExchangeFailed(_OLDER, "the upstream speaks HTTP/1.1")
        made: DoHConnection = connection
        return made

    def makeConnection(self) -> DoHConnection:
        """
        The protocol of a new connection.
        """
        return DoHConnection(
            self._fields, clock=self._clock, maxSize=self._maxSize, lost=self._shared.lost
        )


class _Connections(Factory):
    noisy = False

    def __init__(self, poster: HTTP2Poster) -> None:
        self._poster = poster

    def buildProtocol(self, addr: Any) -> TwistedProtocol:
        return self._poster.makeConnection()


def _fields(url: str) -> Fields:
    """
    The head of a request to a URL (RFC 9113 section 8.3.1).
    """
    parts = urlsplit(url)
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    return [
        (b":method", b"POST"),
        (b":scheme", parts.scheme.encode("ascii")),
        (b":authority", parts.netloc.encode("ascii")),
        (b":path", target.encode("ascii")),
        (b"content-type", TYPE),
        (b"accept", TYPE),
        (b"user-agent", b"aero"),
    ]
