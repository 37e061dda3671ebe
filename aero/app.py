# -*- test-case-name: aero.test.test_app -*-
"""
The composition root: what aero is made of, in the order it is made.

L{Aero} builds every part once and passes it on; nothing in aero is global. To change the server,
subclass it, override one C{make...} method, and name the class with C{--app}
(C{docs/extending.md}).
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Callable, ClassVar, Iterable, Iterator, Mapping, Sequence

from twisted.application.service import IService
from twisted.internet.defer import DeferredList
from twisted.internet.interfaces import IProtocolFactory
from twisted.web.resource import IResource

import aero
from aero._page import packagedPage
from aero._process import ServerProcess
from aero.errors import ConfigurationError
from aero.interfaces import IUpgradable
from aero.log import leastLevel, observerFor
from aero.net.certificates import CertificateSource
from aero.net.inherited import InheritedSockets, initialEnvironment
from aero.net.listeners import Listener
from aero.net.tls import ServerTLS
from aero.net.tlsprotocol import TLSServerFactory
from aero.services.gateway import GatewayService
from aero.services.l2 import L2Service
from aero.services.parts import Parts
from aero.services.relay import RelayService
from aero.services.role import Role
from aero.services.service import Service
from aero.web.accesslog import AccessLog
from aero.web.frontendproxy import FrontendProxy
from aero.web.gates import Gate, OriginGate, RateGate
from aero.web.health import HealthEndpoint, ReadyEndpoint, VersionEndpoint
from aero.web.limits import ConnectionLimits
from aero.web.metricspage import MetricsEndpoint
from aero.web.opensessions import OpenSessionsEndpoint, Tunnel
from aero.web.redirect import RedirectFactory
from aero.web.router import Router
from aero.web.site import AeroSite
from aero.web.static import StaticTree
from aero.ws.endpoint import WebSocketEndpoint
from aero.ws.l2 import L2Protocol
from aero.ws.mux import MuxProtocol
from aero.ws.tcp import TCPTunnelProtocol
from aero.ws.udp import UDPProtocol


class Aero(Parts):
    """
    One aero server.

    Parts are made when they are first asked for, so a subclass may use any of them in the
    methods it overrides.

    @cvar tcpProtocol: The protocol of the tunnels at C{/tcp}.
    @cvar muxProtocol: The protocol of the WebSockets at C{/tcp-mux}.
    @cvar l2Protocol: The protocol of the tunnels at C{/l2}.
    @cvar udpProtocol: The protocol of the WebSockets at C{/udp}.
    @ivar settings: All settings.
    @ivar reactor: The reactor.
    @ivar now: Gives the seconds since 1970.
    """

    tcpProtocol: ClassVar[type[TCPTunnelProtocol]] = TCPTunnelProtocol
    muxProtocol: ClassVar[type[MuxProtocol]] = MuxProtocol
    l2Protocol: ClassVar[type[L2Protocol]] = L2Protocol
    udpProtocol: ClassVar[type[UDPProtocol]] = UDPProtocol

    # -- what users override

    def makeResources(self) -> Mapping[str, IResource]:
        """
        The resources by path. Add yours to those of the superclass.
        """
        settings = self.settings
        resources: dict[str, IResource] = {
            "/healthz": HealthEndpoint(),
            "/readyz": ReadyEndpoint(self.readiness),
            "/version": VersionEndpoint(
                settings.server.version or aero.__version__,
                settings.server.gitSha,
                settings.server.builtAt,
            ),
            "/metrics": MetricsEndpoint(
                self.metrics,
                token=settings.http.metricsToken,
                public=self.isEdge and not self.isInternal,
            ),
        }
        if settings.session.adminToken:
            resources["/session/open"] = OpenSessionsEndpoint(
                self.sessions,
                self.metrics,
                self.now,
                tunnels=self._tunnels,
                token=settings.session.adminToken,
            )
        for service in self.services:
            resources |= service.resources()
        return resources | dict(self.role.resources if self.role is not None else {})

    def makeEndpoints(self) -> Sequence[WebSocketEndpoint]:
        """
        The WebSocket endpoints. Add yours to those of the superclass.
        """
        return [endpoint for service in self.services for endpoint in service.endpoints()]

    def makeServices(self) -> Sequence[Service]:
        """
        The services, by what C{--services} names.
        """
        made: dict[str, Callable[[], Service]] = {
            "gateway": lambda: GatewayService(
                self, tcpProtocol=self.tcpProtocol, muxProtocol=self.muxProtocol
            ),
            "l2": lambda: L2Service(self, protocol=self.l2Protocol),
            "relay": lambda: RelayService(self, udpProtocol=self.udpProtocol),
        }
        return [make() for name, make in made.items() if name in self.settings.server.services]

    def makeFrontEnd(self) -> IResource | None:
        """
        What gets every path that no service owns; C{None} without the edge.
        """
        static = self.settings.static
        if not self.isEdge:
            return None
        if static.proxy:
            return FrontendProxy(static.proxy, self.reactor, self.metrics)
        root = Path(static.root) if static.root else packagedPage()
        return StaticTree(root, static, metrics=self.metrics, reactor=self.reactor, base=self.base)

    def makeGates(self) -> Sequence[Gate]:
        """
        What every request passes before its resource, in this order.
        """
        if self.role is not None and self.role.gates is not None:
            return self.role.gates
        own = set(self.ownOrigins())
        shared = bool(set(self.allowedOrigins()) - own)
        return [
            OriginGate(self.origins, self.metrics, shared=shared),
            RateGate(self.settings.http.maxRequestsPerMinute, self.metrics, self.reactor.seconds),
        ]

    # -- the parts that nobody else uses

    @cached_property
    def services(self) -> Sequence[Service]:
        """
        See L{makeServices}.
        """
        return tuple(self.makeServices())

    @cached_property
    def role(self) -> Role | None:
        """
        What this process is besides a server of several services, when it runs only one.
        """
        alone = len(self.settings.server.services) == 1 and len(self.services) == 1
        return self.services[0].role() if alone else None

    @cached_property
    def endpoints(self) -> Sequence[WebSocketEndpoint]:
        """
        See L{makeEndpoints}.
        """
        return tuple(self.makeEndpoints())

    @cached_property
    def frontEnd(self) -> IResource | None:
        """
        See L{makeFrontEnd}.
        """
        return self.makeFrontEnd()

    @cached_property
    def router(self) -> Router:
        """
        Finds what answers a request.
        """
        router = Router(
            base=self.base,
            gates=self.makeGates(),
            fallback=self.frontEnd,
            isBare=self.role is not None and self.role.isBare,
        )
        for path, resource in self.makeResources().items():
            router.addResource(path, resource)
        for endpoint in self.endpoints:
            if not IUpgradable.providedBy(endpoint):
                raise TypeError(f"{endpoint!r} does not provide IUpgradable")
            for path in (endpoint.path, *endpoint.aliases):
                router.addUpgrade(endpoint, path)
            self.revocations.onRevoked(endpoint.endSession)
        return router

    @cached_property
    def site(self) -> AeroSite:
        """
        Serves HTTP.
        """
        return AeroSite(
            self.router,
            settings=self.settings.http,
            responseHeaders=self.responseHeaders,
            metrics=self.metrics,
            clock=self.reactor,
            clientAddresses=self.clientAddresses,
            hosts=self.hosts,
            anyHost=self.role is not None and self.role.anyHost,
            accessLog=AccessLog(
                least=leastLevel(self.settings.server.logLevel),
                fullAddresses=self.settings.server.logFullAddresses,
            ),
        )

    # -- the service

    def makeService(self, log: IO[str] | None = None) -> IService:
        """
        Build the whole server.

        @param log: Where log lines go; C{None} leaves the log to twistd.
        @raise StartError: The server cannot start here.
        @raise ConfigurationError: A setting that makes no sense with the others.
        """
        server = self.settings.server
        source = self.certificates
        if source is not None and self.isEdge and not server.httpsPort:
            raise ConfigurationError("--https-port", "0", "expected a port: nothing would listen")
        listeners = list(self._listeners(source))
        if source is not None:
            source.start()
        return ServerProcess(
            self.reactor,
            ready=lambda: self._readyLines(listeners[0]),
            log=observerFor(server.logFormat, server.logLevel, log) if log else None,
            listeners=listeners,
            drainables=[_Draining(self.endpoints, self.frontEnd), *self.services, self.site],
            drainStarted=self._drainStarted,
            reload=lambda: source.reload() if source is not None else None,
            stopped=self._stopped,
            notices=tuple(self._notices()),
            drainDelay=server.drainDelay,
            grace=server.shutdownGrace if self.role is None else self.role.grace,
        )

    def _readyLines(self, listener: Listener) -> Iterable[str]:
        """
        What standard output says once everything listens.
        """
        url = self.settings.session.publicBaseURL
        if self.role is None:
            yield f"aero ready {url.rstrip('/')}/"
            return
        where: Any = listener.ports[0].getHost()
        host = f"[{where.host}]" if ":" in where.host else where.host
        yield f"aero ready http{'s' if self.certificates else ''}://{host}:{where.port}/"
        yield from self.role.listening(where.host, where.port)

    def _tunnels(self) -> Iterator[Tunnel]:
        """
        The tunnels that are open now.
        """
        for endpoint in self.endpoints:
            for sid, address in endpoint.clients():
                yield Tunnel(sid, address, endpoint.name)

    def _listeners(self, source: CertificateSource | None) -> Iterable[Listener]:
        server = self.settings.server
        limits = ConnectionLimits(self.settings.http, self.metrics)
        inherited = InheritedSockets.fromEnvironment(initialEnvironment(), os.getpid())
        names: set[str] = set()
        for factory, name, port, option in self._factories(source):
            # The one that redirects is what speaks plain HTTP.
            given = "http" if name == "redirect" else name
            names.add(given)
            yield Listener(
                self.reactor,
                self.behindProxies(limits.wrap(factory, name)),
                addresses=server.bind if self.role is None else self.role.addresses,
                port=port,
                option=option,
                bound=inherited.take(given),
            )
        inherited.finish(names)

    def _factories(
        self, source: CertificateSource | None
    ) -> Iterable[tuple[IProtocolFactory, str, int, str]]:
        """
        What listens: factory, name, port, and the option that chooses the port.
        """
        server, role = self.settings.server, self.role
        port, option = (server.port, "port") if role is None else (role.port, role.option)
        if source is None:
            yield self.site, "http", port, option
            return
        secure = TLSServerFactory(
            ServerTLS(source, seconds=self.reactor.seconds, metrics=self.metrics),
            self.site,
            settings=self.settings.tls,
            metrics=self.metrics,
            clock=self.reactor,
        )
        if not self.isEdge:
            yield secure, "https", port, option
            return
        yield secure, "https", server.httpsPort, "https-port"
        if server.httpPort:
            redirect = RedirectFactory(
                hosts=self.hosts or frozenset(),
                httpsPort=server.httpsPort,
                settings=self.settings.http,
                metrics=self.metrics,
                clock=self.reactor,
                challenges=self.acme,
            )
            yield redirect, "redirect", server.httpPort, "http-port"

    def _notices(self) -> Iterable[str]:
        """
        What the operator should know, beyond that the server is ready.
        """
        server = self.settings.server
        yield from self.settings.notices
        if self.acme is not None:
            yield from self.acme.notices()
        elif self.certificates is not None and (self.state.path / "ca" / "root.crt").exists():
            yield (
                f"the internal CA's root certificate is {self.state.path}/ca/root.crt; browsers"
                " that trust it trust this server"
            )
        if self.trustsProxy and not server.trustedProxies and self.certificates is not None:
            yield (
                "TRUST_PROXY=1 is ignored, because this process terminates TLS itself: name the"
                " proxies in AERO_TRUSTED_PROXIES if there are any in front"
            )
        for service in self.services:
            yield from service.notices()

    def _drainStarted(self) -> None:
        self.readiness.drain()

    def _stopped(self) -> None:
        if self.certificates is not None:
            self.certificates.stop()
        for service in self.services:
            service.stop()
        close = getattr(self.frontEnd, "close", None)
        if close is not None:
            close()


class _Draining:
    """
    Closes the WebSockets of all endpoints, and refuses new ones.
    """

    def __init__(self, endpoints: Sequence[WebSocketEndpoint], frontEnd: object) -> None:
        self._endpoints = endpoints
        self._frontEnd = frontEnd

    def drain(self) -> Any:
        """
        See L{aero._process.Drainable}.
        """
        for endpoint in self._endpoints:
            endpoint.gate.draining = True
        waiting = [endpoint.drain() for endpoint in self._endpoints]
        if isinstance(self._frontEnd, FrontendProxy):
            waiting.append(self._frontEnd.close())
        return DeferredList(waiting, consumeErrors=True)

    def abort(self) -> None:
        """
        See L{aero._process.Drainable}.
        """
        for endpoint in self._endpoints:
            endpoint.abort()
