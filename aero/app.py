# -*- test-case-name: aero.test.test_app -*-
"""
The composition root: what aero is made of, in the order it is made.

L{Aero} builds every part once and passes it on; nothing in aero is global. To change the server,
subclass it, override one C{make...} method, and name the class with C{--app}
(C{docs/extending.md}).
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any, Callable, ClassVar, Iterable, Iterator, Mapping, Sequence

from twisted.application.service import IService
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import ILogObserver
from twisted.web.resource import IResource

import aero
from aero._launch import Launch
from aero._page import packagedPage
from aero._process import ServerProcess, endStart, tellReady
from aero.errors import ConfigurationError
from aero.files.static import StaticTree
from aero.fleet.workers.supervisor import Supervisor
from aero.fleet.workers.worker import MEMBER_VARIABLES
from aero.http.accesslog import AccessLog
from aero.http.gates import Gate, OriginGate, RateGate
from aero.http.limits import ConnectionLimits
from aero.http.redirect import RedirectFactory
from aero.http.router import Router
from aero.http.site import AeroSite
from aero.http.upgradelog import UpgradeLog
from aero.interfaces import IUpgradable
from aero.log import Caution, leastLevel, observerFor
from aero.net.binding import Binding
from aero.net.deliveries import Drainable
from aero.net.inherited import InheritedSockets, initialEnvironment
from aero.net.listeners import Listener
from aero.net.memory import ReleaseAfterPeak, returnFreedMemory
from aero.services.endpointsdrain import EndpointsDrain
from aero.services.gateway import GatewayService
from aero.services.images import ImageService
from aero.services.l2 import L2Service
from aero.services.parts import Parts
from aero.services.proxies import behindProxies
from aero.services.relay import RelayService
from aero.services.role import Role
from aero.services.service import Service
from aero.settings import unknownVariables, variables
from aero.tls.certificates import CertificateSource
from aero.tls.contexts import ServerTLS
from aero.tls.protocol import TLSServerFactory
from aero.web.frontendproxy import FrontendProxy
from aero.web.health import HealthEndpoint, ReadyEndpoint, VersionEndpoint, publishReadiness
from aero.web.opensessions import OpenSessionsEndpoint, Tunnel, summaryOf
from aero.ws.endpoint import WebSocketEndpoint
from aero.ws.l2 import L2Protocol
from aero.ws.mux import MuxProtocol
from aero.ws.tcp import TCPTunnelProtocol
from aero.ws.udp import UDPProtocol

#: The question for the tunnels that a process has open.
OPEN_SESSIONS = "openSessions"

#: So many open connections less than at the last peak are a reason to return memory: TLS holds up
#: to 50 KiB for each.
RELEASE_CONNECTIONS = 128

#: Seconds after its grace period that a worker is killed.
KILL_AFTER = 5.0


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
            "/metrics": self.metricsPage(public=self.isEdge and not self.isInternal),
        }
        if settings.session.adminToken:
            resources["/session/open"] = OpenSessionsEndpoint(
                self.sessions,
                self.metrics,
                self.now,
                gather=partial(self.fleet.gather, OPEN_SESSIONS),
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
        found = [make() for name, make in made.items() if name in self.settings.server.services]
        if self.isEdge and self.settings.images.root:
            found.append(ImageService(self))
        return found

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
            RateGate(
                self.settings.http.maxRequestsPerMinute,
                self.metrics,
                self.reactor.seconds,
                self.fleet.makeBuckets,
            ),
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
        for service in self.services:
            for path, tree in service.trees().items():
                router.addTree(path, tree.resource, tree.gate)
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
            upgradeLog=UpgradeLog(
                self.reactor, fullAddresses=self.settings.server.logFullAddresses
            ),
            release=returnFreedMemory,
        )

    # -- the service

    def makeService(self, log: IO[str] | None = None, launch: Launch | None = None) -> IService:
        """
        Build the whole server.

        @param log: Where log lines go; C{None} leaves the log to twistd.
        @param launch: Is told how the start went.
        @raise StartError: The server cannot start here.
        @raise ConfigurationError: A setting that makes no sense with the others.
        """
        server = self.settings.server
        source = self.certificates
        if source is not None and self.isEdge and not server.httpsPort:
            raise ConfigurationError("--https-port", "0", "expected a port: nothing would listen")
        publishReadiness(self.readiness, self.metrics)
        self.fleet.answer(OPEN_SESSIONS, lambda: summaryOf(self._tunnels()))
        listeners = list(self._listeners(source))
        self.interfaces.look()
        if source is not None:
            source.start()
        ending: list[Drainable] = [
            EndpointsDrain(self.endpoints, self.frontEnd),
            *self.services,
            self.site,
        ]
        return ServerProcess(
            self.reactor,
            ready=lambda: self._listening(listeners[0]),
            log=self.observer(log) if log else None,
            listeners=listeners,
            drainables=[self.deliveries.after(ending)],
            drainStarted=self.readiness.drain,
            reload=lambda: source.reload() if source is not None else None,
            stopped=self._stopped,
            notices=tuple(self._notices()),
            drainDelay=server.drainDelay,
            grace=self._grace,
            launch=launch,
        )

    def makeSupervisor(
        self, command: Sequence[str], log: IO[str] | None = None, launch: Launch | None = None
    ) -> IService:
        """
        Build what looks after several processes of this server, and serves nothing itself.

        @param command: The program of one of them, and its arguments.
        @param log: As for L{makeService}.
        @param launch: As for L{makeService}.
        @raise StartError: The server cannot start here.
        """
        server = self.settings.server
        launch = Launch() if launch is None else launch
        supervisor = Supervisor(
            self.reactor,
            count=server.workers,
            command=command,
            environ=self.environ,
            bindings=self.bindings(),
            now=self.now,
            metrics=self.metrics,
            grace=server.drainDelay + self._grace + KILL_AFTER,
            ready=partial(tellReady, launch, ServerProcess.log),
            failed=partial(endStart, self.reactor, launch),
            errors=launch.errorsTo(log) if launch.inBackground else None,
        )
        return ServerProcess(
            self.reactor,
            ready=lambda: (),
            log=self.observer(log) if log else None,
            listeners=[supervisor],
            drainables=[],
            drainStarted=lambda: None,
            reload=supervisor.roll,
            stopped=lambda: None,
            notices=(),
            drainDelay=0.0,
            grace=0.0,
            launch=launch,
        )

    @property
    def _grace(self) -> float:
        """
        Seconds that open connections have when the process stops.
        """
        server = self.settings.server
        return server.shutdownGrace if self.role is None else self.role.grace

    def _supervisorGone(self) -> None:
        """
        Drain: nobody would start another worker in the place of this one.
        """
        with suppress(ReactorNotRunning):  # as it is at the end of every drain
            self.reactor.stop()

    def observer(self, stream: IO[str]) -> ILogObserver:
        """
        Writes the log to a stream, as the settings say.
        """
        server = self.settings.server
        worker = None if self.member is None else self.member.number
        return observerFor(server.logFormat, server.logLevel, stream, worker)

    def _listening(self, listener: Listener) -> Iterable[str]:
        """
        Everything listens: tell the supervisor, or standard output where there is none.
        """
        self.interfaces.start()
        lines = list(self._readyLines(listener))
        if self.member is None:
            self.fleet.start()
            return lines
        self.member.answer("exposition", lambda _: self.metrics.exposition().decode())
        self.member.join(self.reactor, self._supervisorGone)
        self.fleet.start()
        self.member.ready(lines)
        return ()

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
        The tunnels that are open now in this process.
        """
        for endpoint in self.endpoints:
            for sid, address in endpoint.clients():
                yield Tunnel(sid, address, endpoint.name)
        for service in self.services:
            yield from (Tunnel(*each) for each in service.tunnels())

    def bindings(self) -> Sequence[Binding]:
        """
        Where this server listens: C{https}, or C{http}, or both.
        """
        server, role = self.settings.server, self.role
        addresses = server.bind if role is None else role.addresses
        port, option = (server.port, "port") if role is None else (role.port, role.option)
        served = "the site" if self.isEdge else f"the service {', '.join(server.services)}"
        if self.certificates is None:
            return [Binding("http", addresses, port, option, f"{served} over plain HTTP")]
        if not self.isEdge:
            return [Binding("https", addresses, port, option, f"{served} over HTTPS")]
        https = Binding("https", addresses, server.httpsPort, "https-port", f"{served} over HTTPS")
        if not server.httpPort:
            return [https]
        purpose = "redirect from HTTP to HTTPS"
        if self.acme is not None:
            purpose += ", and the challenges of the CA"
        return [https, Binding("http", addresses, server.httpPort, "http-port", purpose)]

    def _listeners(self, source: CertificateSource | None) -> Iterable[Listener]:
        memory = ReleaseAfterPeak(self.reactor, RELEASE_CONNECTIONS, returnFreedMemory)
        limits = ConnectionLimits(self.settings.http, self.metrics, memory.changed)
        if self.member is not None:
            given = self.member.sockets
        else:
            given = InheritedSockets.fromEnvironment(initialEnvironment(), os.getpid())
        bindings = self.bindings()
        for binding, (factory, name) in zip(bindings, self._factories(source), strict=True):
            yield Listener(
                self.reactor,
                behindProxies(self, limits.wrap(factory, name)),
                binding,
                given.take(binding.name),
                announced=self.member is not None,
            )
        given.finish([binding.name for binding in bindings])

    def _factories(
        self, source: CertificateSource | None
    ) -> Iterable[tuple[IProtocolFactory, str]]:
        """
        What listens at each of L{bindings}, with its label in metrics.
        """
        server = self.settings.server
        if source is None:
            yield self.site, "http"
            return
        secure = TLSServerFactory(
            ServerTLS(source, seconds=self.reactor.seconds, metrics=self.metrics),
            self.site,
            settings=self.settings.tls,
            metrics=self.metrics,
            clock=self.reactor,
        )
        yield secure, "https"
        if self.isEdge and server.httpPort:
            redirect = RedirectFactory(
                hosts=self.hosts or frozenset(),
                httpsPort=server.httpsPort,
                settings=self.settings.http,
                metrics=self.metrics,
                clock=self.reactor,
                challenges=self.acme,
            )
            yield redirect, "redirect"

    def _notices(self) -> Iterable[str]:
        """
        What the operator should know, beyond that the server is ready.
        """
        server = self.settings.server
        if self.member is not None and self.member.number:
            return  # the first worker tells
        yield from self.settings.notices
        for name, nearest in unknownVariables(self.environ, [*variables(), *MEMBER_VARIABLES]):
            meant = f"; did you mean {nearest}?" if nearest else ""
            yield Caution(f"{name} is no setting of aero and is ignored{meant}")
        if self.acme is not None:
            yield from self.acme.notices()
        elif self.certificates is not None and (self.state.path / "ca" / "root.crt").exists():
            yield (
                f"the internal CA's root certificate is {self.state.path}/ca/root.crt; browsers"
                " that trust it trust this server"
            )
        if not server.trustedProxies and self.certificates is not None:
            ignored = ["TRUST_PROXY=1"] if self.trustsProxy else []
            if self.settings.l2.trustProxyHost:
                ignored.append("AERO_L2_TRUST_PROXY_HOST=1")
            if ignored:
                yield (
                    f"{' and '.join(ignored)} is ignored, because this process terminates TLS"
                    " itself: name the proxies in AERO_TRUSTED_PROXIES if there are any in front"
                )
        for service in self.services:
            yield from service.notices()

    def _stopped(self) -> None:
        if self.certificates is not None:
            self.certificates.stop()
        for service in self.services:
            service.stop()
        self.fleet.stop()
        self.interfaces.stop()
        close = getattr(self.frontEnd, "close", None)
        if close is not None:
            close()
