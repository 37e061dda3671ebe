# -*- test-case-name: aero.web.test.test_frontendsocket -*-
"""
One WebSocket to the development server, passed through byte by byte.

The handshake is sent on with its own keys, so the two ends speak to each other directly and
nothing here knows of frames or extensions. The client's connection stays HTTP until the
development server has agreed; only then is it taken over.
"""

from __future__ import annotations

from typing import Any, Callable, Final

from twisted.internet.interfaces import IPushProducer, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

from aero.http.forwarding import requestHeaders, responseHeaders
from aero.http.replies import isOver, replyUpgradeRefused
from aero.http.request import AeroRequest
from aero.net.pump import TargetConnection

#: Bytes of the answer to the handshake.
MAX_HEAD: Final = 65_536

#: Bytes that may wait for the development server before the client is not read any more.
PAUSE_BYTES: Final = 262_144

#: Seconds from the client's handshake to the answer.
HANDSHAKE_TIMEOUT: Final = 10.0

#: Seconds that the development server has to take what a client sent before it left.
DELIVERY_TIMEOUT: Final = 10.0


@implementer(IPushProducer)
class FrontendSocket(Protocol):
    """
    Both ends of one WebSocket: the protocol of the client's connection once it is taken over,
    and the client of the L{TargetConnection}.
    """

    def __init__(
        self,
        request: AeroRequest,
        *,
        clock: IReactorTime,
        authority: bytes,
        prefix: bytes,
        closed: Callable[[FrontendSocket], object],
    ) -> None:
        """
        @param authority: What the development server is called in C{Host}.
        @param prefix: What comes before the path there.
        @param closed: Called once, when both ends are done with.
        """
        self._request: AeroRequest | None = request
        self._head = bytearray()
        self._closed: Callable[[FrontendSocket], object] | None = closed
        self._target = TargetConnection(self, clock, PAUSE_BYTES)
        self._target.write(_handshake(request, authority, prefix))
        self._timeout = clock.callLater(HANDSHAKE_TIMEOUT, self._expired)
        self._through = False
        self._answer = b""
        self._connecting: Any = None

    def connect(self, endpoint: IStreamClientEndpoint) -> None:
        """
        Go to the development server.
        """
        assert self._request is not None
        self._request.notifyFinish().addErrback(self._clientLeft)
        self._connecting = endpoint.connect(Factory.forProtocol(lambda: self._target))
        self._connecting.addErrback(self._unreachable)

    def close(self) -> None:
        """
        End both connections.
        """
        if self._through:
            self._loseClient()
        else:
            self._refuse(503, "The server is stopping")

    # The development server.

    def targetDataReceived(self, data: bytes) -> None:
        """
        It sent something.
        """
        if self._through:
            self._write(data)
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            if len(self._head) > MAX_HEAD:
                self._refuse(502, "The development server gave no usable answer")
            return
        head, rest = bytes(self._head[:end]), bytes(self._head[end + 4 :])
        self._head.clear()
        self._answered(head, rest)

    def targetEnded(self) -> None:
        """
        It will send no more, which ends a WebSocket.
        """
        self._targetGone()

    def targetLost(self, clean: bool) -> None:
        """
        It is gone.
        """
        self._targetGone()

    def targetPaused(self) -> None:
        """
        It takes less than the client sends.
        """
        if self._through:
            transport: Any = self.transport
            transport.pauseProducing()

    def targetResumed(self) -> None:
        """
        It has taken everything.
        """
        if self._through:
            transport: Any = self.transport
            transport.resumeProducing()

    def targetFlushed(self) -> None:
        """
        Nothing is left to be said to it.
        """

    # The client.

    def connectionMade(self) -> None:
        """
        The client's connection is ours.
        """
        transport: Any = self.transport
        self._through = True
        transport.registerProducer(self, True)
        answer, self._answer = self._answer, b""
        transport.write(answer)

    def dataReceived(self, data: bytes) -> None:
        """
        The client sent something.
        """
        self._target.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The client is gone.
        """
        self._through = False
        self._target.detach(DELIVERY_TIMEOUT)
        self._done()

    def pauseProducing(self) -> None:
        """
        The client takes less than the development server sends.
        """
        self._target.pauseReading()

    def resumeProducing(self) -> None:
        """
        The client has taken everything.
        """
        self._target.resumeReading()

    def stopProducing(self) -> None:
        """
        The client is gone; C{connectionLost} says so too.
        """

    # The handshake.

    def _answered(self, head: bytes, rest: bytes) -> None:
        request = self._request
        if request is None or isOver(request):
            self._target.abort()
            return
        lines = head.split(b"\r\n")
        status = _status(lines[0])
        if status != 101:
            refusal = status if 400 <= status < 600 else 502
            self._refuse(refusal, "The development server refused the WebSocket")
            return
        received = Headers()
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                self._refuse(502, "The development server gave no usable answer")
                return
            received.addRawHeader(name, value.strip())
        upgrade = received.getRawHeaders(b"Upgrade", [b"websocket"])
        headers = responseHeaders(received)
        headers.setRawHeaders(b"Upgrade", upgrade[:1])
        headers.setRawHeaders(b"Connection", [b"Upgrade"])
        headers.setRawHeaders(b"X-Request-Id", [request.requestId.encode("ascii")])
        for name in request.site.ownNames:
            headers.removeHeader(name)
        for name, value in request.site.responseHeaders.pairs:
            headers.setRawHeaders(name, [value])
        answer = [b"HTTP/1.1 101 Switching Protocols\r\n"]
        for name, values in headers.getAllRawHeaders():
            answer += [b"%b: %b\r\n" % (name, value) for value in values]
        answer.append(b"\r\n")
        self._request = None
        self._timeout.cancel()
        self._answer = b"".join(answer) + rest
        request.takeOver(self)

    def _refuse(self, status: int, message: str) -> None:
        request, self._request = self._request, None
        if request is None:
            return
        if self._timeout.active():
            self._timeout.cancel()
        self._connecting.cancel()
        self._target.abort()
        if not isOver(request):
            request.site.upgradeLog.refused(request, status, "frontend", message)
        replyUpgradeRefused(request, status, message)
        self._done()

    def _unreachable(self, failure: Failure) -> None:
        self._refuse(502, "The development server cannot be reached")

    def _expired(self) -> None:
        self._refuse(504, "The development server did not answer in time")

    def _clientLeft(self, reason: Failure) -> None:
        if self._request is not None:
            self._request = None
            if self._timeout.active():
                self._timeout.cancel()
            self._connecting.cancel()
            self._target.abort()
            self._done()

    # The end.

    def _write(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)

    def _targetGone(self) -> None:
        if self._through:
            self._loseClient()
        else:
            self._refuse(502, "The development server closed the connection")

    def _loseClient(self) -> None:
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseConnection()

    def _done(self) -> None:
        closed, self._closed = self._closed, None
        if closed is not None:
            closed(self)


def _handshake(request: AeroRequest, authority: bytes, prefix: bytes) -> bytes:
    client = request.client
    headers = requestHeaders(request.requestHeaders, address=client.ip, secure=client.secure)
    headers.setRawHeaders(b"Upgrade", [b"websocket"])
    headers.setRawHeaders(b"Connection", [b"Upgrade"])
    lines = [b"GET %b%b HTTP/1.1\r\nHost: %b\r\n" % (prefix, request.uri, authority)]
    for name, values in headers.getAllRawHeaders():
        lines += [b"%b: %b\r\n" % (name, value) for value in values]
    lines.append(b"\r\n")
    return b"".join(lines)


def _status(line: bytes) -> int:
    parts = line.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
        return 0
    return int(parts[1]) if len(parts[1]) == 3 else 0
