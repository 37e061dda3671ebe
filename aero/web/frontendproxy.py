# -*- test-case-name: aero.web.test.test_frontendproxy -*-
"""
The front end from a development server, such as Vite, instead of from files.

Every path that no service owns goes there, so that a page under development has the same
origin, the same TLS and the same isolation headers as one that is deployed. C{Host} becomes
the development server's own, because such servers answer only names they know; C{Origin}
stays, because it is by that they refuse foreign pages.
"""

from __future__ import annotations

from typing import Any, Final, cast
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Cooperator
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    FileBodyProducer,
    HTTPConnectionPool,
    ResponseDone,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import UNKNOWN_LENGTH, IAgentEndpointFactory, IResponse
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from aero.http.forwarding import requestHeaders, responseHeaders
from aero.http.replies import abort, isOver, replyError
from aero.http.request import AeroRequest
from aero.interfaces import IUpgradable
from aero.metrics import Metrics
from aero.metrics import static as rows

from .frontendsocket import FrontendSocket

#: Seconds to wait for the development server to accept a connection (edge.md section 9).
CONNECT_TIMEOUT: Final = 3.0

#: Connections to it that wait for the next request.
_IDLE_CONNECTIONS: Final = 16

_BODY_BLOCK: Final = 65_536


@implementer(IAgentEndpointFactory)
class _OneEndpoint:
    """
    Leads every request to the same place.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        return self._endpoint


@implementer(IResource, IUpgradable)
class FrontendProxy:
    """
    Passes requests on to one development server.
    """

    _log = Logger()

    isLeaf = True
    readsBody = True
    path = "/"

    def __init__(
        self,
        url: str,
        reactor: Any,
        metrics: Metrics,
        *,
        endpoint: IStreamClientEndpoint | None = None,
    ) -> None:
        """
        @param url: Where it listens, such as C{http://localhost:5173}. A path in it comes
            before the path of every request.
        @param reactor: Provides C{IReactorTime} and, where no endpoint is given, what
            L{HostnameEndpoint} needs.
        @param endpoint: Connects to it; made from the URL by default.
        """
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
        if endpoint is None:
            endpoint = HostnameEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT)
        self._authority = parts.netloc.rpartition("@")[2].encode("ascii")
        self._prefix = parts.path.rstrip("/").encode("ascii")
        self._origin = b"http://" + self._authority + self._prefix
        self._endpoint = endpoint
        self._reactor = reactor
        pool = HTTPConnectionPool(reactor)
        pool.maxPersistentPerHost = _IDLE_CONNECTIONS
        self._pool = pool
        self._agent = Agent.usingEndpointFactory(reactor, _OneEndpoint(endpoint), pool)
        self._cooperator = Cooperator(scheduler=lambda turn: reactor.callLater(0, turn))
        self._count = {
            result: metrics.counter(rows.PROXY_REQUESTS, result)
            for result in ("answered", "unreachable", "aborted")
        }
        self._open = metrics.gauge(rows.PROXY_WEBSOCKETS)
        self._sockets: set[FrontendSocket] = set()

    def close(self) -> Deferred[Any]:
        """
        End all WebSockets and idle connections.

        @return: Fires when the idle connections are gone.
        """
        for socket in tuple(self._sockets):
            socket.close()
        return cast("Deferred[Any]", self._pool.closeCachedConnections())

    def getChildWithDefault(self, name: bytes, request: AeroRequest) -> FrontendProxy:
        """
        Itself: it is a leaf.
        """
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """
        A leaf has no children.
        """
        raise TypeError("the front-end proxy takes no children")

    def upgradeReceived(self, request: AeroRequest) -> None:
        """
        Pass a WebSocket handshake on, and everything after it.
        """
        socket = FrontendSocket(
            request,
            clock=self._reactor,
            authority=self._authority,
            prefix=self._prefix,
            closed=self._socketClosed,
        )
        self._sockets.add(socket)
        self._open.set(len(self._sockets))
        socket.connect(self._endpoint)

    def _socketClosed(self, socket: FrontendSocket) -> None:
        self._sockets.discard(socket)
        self._open.set(len(self._sockets))

    def render(self, request: AeroRequest) -> int:
        """
        Pass a request on.
        """
        client = request.client
        headers = requestHeaders(request.requestHeaders, address=client.ip, secure=client.secure)
        content: Any = request.content
        length = content.seek(0, 2)
        content.seek(0)
        body = None
        if length:
            body = FileBodyProducer(content, cooperator=self._cooperator, readSize=_BODY_BLOCK)
        try:
            answer = self._agent.request(request.method, self._origin + request.uri, headers, body)
        except ValueError:
            return replyError(request, 400, "Invalid URL")
        gone = request.notifyFinish()
        gone.addErrback(lambda _: answer.cancel())
        answer.addCallbacks(self._answered, self._unreachable, (request,), None, (request,), None)
        answer.addErrback(self._broke, request)
        return NOT_DONE_YET

    def _answered(self, response: IResponse, request: AeroRequest) -> None:
        if isOver(request):
            response.deliverBody(_Dropped())
            return
        self._count["answered"].inc()
        request.setResponseCode(response.code, response.phrase)
        for name, values in responseHeaders(response.headers).getAllRawHeaders():
            request.responseHeaders.setRawHeaders(name, values)
        if response.length is not UNKNOWN_LENGTH and request.method != b"HEAD":
            length = [b"%d" % response.length]
            request.responseHeaders.setRawHeaders(b"Content-Length", length)
        response.deliverBody(_ResponseBody(request, self._count["aborted"].inc))

    def _unreachable(self, failure: Failure, request: AeroRequest) -> None:
        if isOver(request) or failure.check(CancelledError):
            return
        self._count["unreachable"].inc()
        self._log.debug("The development server gave no answer: {why}", why=failure.value)
        replyError(
            request,
            502,
            "The development server cannot be reached",
            headers=[(b"Cache-Control", b"no-store")],
        )

    def _broke(self, failure: Failure, request: AeroRequest) -> None:
        request.processingFailed(failure)


class _ResponseBody(Protocol):
    """
    The body of a response on its way to the client, read no faster than the client takes it.
    """

    def __init__(self, request: AeroRequest, aborted: Any) -> None:
        self._request = request
        self._aborted = aborted

    def connectionMade(self) -> None:
        """
        The body begins.
        """
        self._request.notifyFinish().addErrback(self._clientLeft)
        self._request.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        """
        A part of the body arrived.
        """
        self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The body is complete, or will never be.
        """
        request = self._request
        if isOver(request):
            return
        request.unregisterProducer()
        if reason.check(ResponseDone, PotentialDataLoss):
            request.finish()
        else:
            self._aborted()
            abort(request)

    def _clientLeft(self, reason: Failure) -> None:
        cast(Any, self.transport).loseConnection()


class _Dropped(Protocol):
    """
    The body of a response whose client has left.
    """

    def connectionMade(self) -> None:
        """
        Hang up.
        """
        cast(Any, self.transport).loseConnection()
