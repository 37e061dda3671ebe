# -*- test-case-name: aero.http.test.test_site -*-
"""
The site: what all connections of all listeners have in common.

An L{AeroSite} is the innermost factory of a listener. It makes one
L{Connection<aero.http.connection.Connection>} for each client, gives requests what they need
(router, header set, limits, clock), counts and logs what was answered, looks once a second
for connections whose time is up, and ends them all when the process drains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import datetimeToString
from twisted.web.http_headers import Headers

from aero.metrics import Metrics
from aero.metrics import http as rows
from aero.policy.clientaddress import Client, ClientAddresses
from aero.policy.headers import ResponseHeaders
from aero.policy.quota import addressKey
from aero.settings.http import HTTPSettings

from .accesslog import AccessLog, RequestLog
from .buffers import Buffers
from .connection import Connection
from .door import Respondent
from .h2frames import Allowances
from .request import AeroRequest
from .requestids import RandomIds
from .turns import Turns
from .upgradelog import UpgradeLog

_log = Logger()

#: How often connections are looked at whose time may be up, in seconds; timeouts are late by
#: at most this. One look at all of them is cheaper than a timer for each.
SWEEP_INTERVAL = 1.0

#: Headers of servers that this one does not send: who it is, and HTTP/3.
_UNWANTED = frozenset((b"Server", b"Alt-Svc"))

_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))


class AeroSite(server.Site):
    """
    The factory of client connections.

    @ivar router: Answers requests.
    @ivar hosts: The names served, lower case; C{None} serves any, as a backend does.
    @ivar draining: Whether the process is about to stop: every response ends its connection.
    """

    requestFactory: type[AeroRequest] = AeroRequest
    displayTracebacks = False

    def __init__(
        self,
        router: Respondent,
        *,
        settings: HTTPSettings,
        responseHeaders: ResponseHeaders,
        metrics: Metrics,
        clock: IReactorTime,
        clientAddresses: ClientAddresses,
        hosts: frozenset[str] | None = None,
        anyHost: bool = False,
        accessLog: RequestLog | None = None,
        upgradeLog: UpgradeLog | None = None,
        newRequestId: Callable[[], str] | None = None,
        release: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param clock: Measures timeouts and durations; the reactor.
        @param anyHost: Whether requests with a malformed C{Host}, or none, are taken, which is
            only for sites that serve any.
        @param accessLog: Is told of every finished response; by default an L{AccessLog}.
        @param upgradeLog: Is told of every refused WebSocket upgrade.
        @param release: Returns freed memory to the system; see L{Buffers}.
        """
        super().__init__(None, reactor=clock, timeout=settings.idleTimeout)  # type: ignore[no-untyped-call]
        self.router = router
        self.settings = settings
        self.responseHeaders = responseHeaders
        # The set as HTTP/1 lines and as HTTP/2 fields, made once, and its names as Twisted
        # spells them, so that a resource's own can be told.
        self.headerBlock = b"".join(b"%b: %b\r\n" % pair for pair in responseHeaders.pairs)
        self.headerFields = [(name.lower(), value) for name, value in responseHeaders.pairs]
        spelled = Headers({name: [value] for name, value in responseHeaders.pairs})
        self.ownNames = frozenset(name for name, _ in spelled.getAllRawHeaders()) | _UNWANTED
        self.metrics = metrics
        self.clock = clock
        self.clientAddresses = clientAddresses
        self._directClient = lru_cache(4_096)(
            lambda peer, secure: clientAddresses.client(peer, secure, (), ())
        )
        self.buffers = Buffers(settings, metrics, clock, release)
        deferred = metrics.counter(rows.DEFERRED_TURNS)
        self.turns = Turns(clock.callLater, clock.seconds, deferred.inc)
        self.controlFrames = Allowances(settings.maxControlFrames)
        self.resets = Allowances(settings.maxResets)
        self.hosts = hosts
        self.anyHost = anyHost and hosts is None
        self.newRequestId = RandomIds() if newRequestId is None else newRequestId
        self.draining = False
        self._accessLog = AccessLog() if accessLog is None else accessLog
        self.upgradeLog = UpgradeLog(clock) if upgradeLog is None else upgradeLog
        self._connections: set[Connection] = set()
        self._sweepCall: IDelayedCall | None = None
        self._drained: list[Deferred[None]] = []
        self._date = (-1, b"")
        # The counter and the histogram of a method, route and status.
        self._series: dict[tuple[bytes, str, int], tuple[Any, Any]] = {}

    # Twisted's own log file and log clock are not used.

    def startFactory(self) -> None:
        """
        A listener started.
        """

    def stopFactory(self) -> None:
        """
        The last listener stopped; connections live on until they are drained.
        """

    # Connections.

    def buildProtocol(self, addr: IAddress | None) -> Connection:  # type: ignore[override]
        """
        Make the protocol of one client connection.
        """
        return Connection(self)

    @property
    def connections(self) -> int:
        """
        How many client connections are open, upgraded ones included.
        """
        return len(self._connections)

    def connectionOpened(self, connection: Connection) -> None:
        """
        A client connected.
        """
        self._connections.add(connection)
        if self._sweepCall is None:
            self._sweepCall = self.clock.callLater(SWEEP_INTERVAL, self._sweep)

    def connectionClosed(self, connection: Connection) -> None:
        """
        A client is gone.
        """
        self._connections.discard(connection)
        if not self._connections:
            if self._sweepCall is not None:
                self._sweepCall.cancel()
                self._sweepCall = None
            waiting, self._drained = self._drained, []
            for waiter in waiting:
                waiter.callback(None)

    def _sweep(self) -> None:
        self._sweepCall = self.clock.callLater(SWEEP_INTERVAL, self._sweep)
        now = self.clock.seconds()
        for connection in tuple(self._connections):
            connection.expire(now)

    def drain(self) -> Deferred[None]:
        """
        Let requests in progress finish and connections end.

        @return: Fires when the last connection is gone, upgraded ones included; those are to
            be closed by whoever took them over.
        """
        if not self.draining:
            self.draining = True
            for connection in tuple(self._connections):
                connection.drain()
        if not self._connections:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._drained.append(waiter)
        return waiter

    def abort(self) -> None:
        """
        Cut every connection that is left.
        """
        for connection in tuple(self._connections):
            connection.abort()

    # What requests ask for.

    def bodyLimit(self, request: AeroRequest) -> int:
        """
        The most bytes of body that this request may have.
        """
        limit = self.settings.maxBodyBytes
        smaller = getattr(self.router, "bodyLimit", None)
        return limit if smaller is None else min(limit, smaller(request))

    def allow(self, request: AeroRequest) -> bytes:
        """
        The C{Allow} of the path of a request.
        """
        allow: Callable[[AeroRequest], bytes] | None = getattr(self.router, "allow", None)
        return b"GET, HEAD" if allow is None else allow(request)

    def keepsBody(self, request: AeroRequest) -> bool:
        """
        Whether anything reads the body of this request; otherwise it is dropped as it arrives.
        """
        keeps = getattr(self.router, "keepsBody", None)
        return keeps is None or bool(keeps(request))

    def clientKey(self, transport: ITransport) -> str:
        """
        The address at the other end of a connection, as one client is counted.
        """
        return addressKey(getattr(transport.getPeer(), "host", None) or "")

    def bufferKey(self, transport: ITransport) -> str | None:
        """
        The client whose bytes wait on a connection; C{None} for one that has many clients.
        """
        host = getattr(transport.getPeer(), "host", None)
        return addressKey(host) if host and not self.clientAddresses.believes(host) else None

    def clientOf(
        self,
        peer: str,
        secure: bool,
        forwardedFor: Sequence[bytes],
        forwardedProto: Sequence[bytes],
    ) -> Client:
        """
        The effective client of a request; see L{ClientAddresses.client}.
        """
        if forwardedFor or forwardedProto:
            return self.clientAddresses.client(peer, secure, forwardedFor, forwardedProto)
        return self._directClient(peer, secure)

    def date(self) -> bytes:
        """
        The value of C{Date}, made once a second.
        """
        second = int(self.clock.seconds())
        if second != self._date[0]:
            self._date = (second, datetimeToString())
        return self._date[1]

    # What is counted and logged.

    def refused(self, reason: str) -> None:
        """
        A request was refused at the door.
        """
        self.metrics.counter(rows.REFUSED, reason).inc()

    def timedOut(self, kind: str) -> None:
        """
        A connection or stream took too long.
        """
        self.metrics.counter(rows.TIMEOUTS, kind).inc()

    def upgraded(self, request: AeroRequest) -> None:
        """
        A connection was taken over by another protocol.
        """
        self.metrics.counter(rows.UPGRADES, request.route).inc()
        self._accessLog.responded(request, 101, self.clock.seconds() - request.arrived)

    def requestFailed(self, request: AeroRequest, reason: Failure) -> None:
        """
        A request ended in an error that nobody expected.
        """
        self.metrics.counter(rows.ERRORS).inc()
        _log.failure(
            "request {requestId} for {route} failed",
            failure=reason,
            requestId=request.requestId,
            route=request.route,
        )

    def log(self, request: AeroRequest) -> None:  # type: ignore[override]
        """
        A response is complete; L{twisted.web.http.Request.finish} calls this.
        """
        self.responded(request, request.code)

    def responded(self, request: AeroRequest, status: int) -> None:
        """
        Count and log a response.

        @param status: Its status code; 101 for a connection that was taken over.
        """
        duration = self.clock.seconds() - request.arrived
        key = (request.method, request.route, status)
        series = self._series.get(key)
        if series is None:
            series = self._newSeries(request.method, request.route, status)
        series[0].inc()
        series[1].observe(duration)
        self._accessLog.responded(request, status, duration)

    def _newSeries(self, method: bytes, route: str, status: int) -> tuple[Any, Any]:
        # A client chooses the method, so only known ones are label values and cache keys.
        known = method in _METHODS
        labels = (method.decode("ascii") if known else "other", route, str(status))
        series = (
            self.metrics.counter(rows.REQUESTS, *labels),
            self.metrics.histogram(rows.DURATION, *labels),
        )
        if known:
            self._series[(method, route, status)] = series
        return series
