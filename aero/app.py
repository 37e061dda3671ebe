# -*- test-case-name: aero.test.test_app -*-
"""
The composition root: what aero is made of, in the order it is made.

L{Aero} builds every part once and passes it on; nothing in aero is global. To change the server,
subclass it, override one C{make...} method, and name the class with C{--app}
(C{docs/extending.md}).
"""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Callable, ClassVar, Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from twisted.application.service import IService
from twisted.internet.defer import DeferredList
from twisted.internet.interfaces import IProtocolFactory
from twisted.web.resource import IResource

import aero
from aero._page import packagedPage
from aero._process import ServerProcess
from aero.auth.sessions import Revocations, Sessions
from aero.errors import ConfigurationError
from aero.interfaces import IUpgradable
from aero.log import observerFor
from aero.metrics import ROWS, Metrics
from aero.net.certificates import CertificateSource
from aero.net.dialer import Dialer
from aero.net.dns.engine import DNSEngine
from aero.net.listeners import Listener
from aero.net.resolver import Resolver, SystemResolver
from aero.net.state import StateDirectory, defaultStatePath
from aero.net.tls import ServerTLS
from aero.net.tlsprotocol import TLSServerFactory
from aero.net.tlssource import certificateSource
from aero.policy.clientaddress import ClientAddresses
from aero.policy.egress import EgressPolicy
from aero.policy.headers import ResponseHeaders
from aero.policy.origin import Origins
from aero.settings import Settings, isInternalName
from aero.web.accesslog import AccessLog
from aero.web.dns import dnsEndpoints
from aero.web.frontendproxy import FrontendProxy
from aero.web.gates import Gate, OriginGate, RateGate
from aero.web.health import HealthEndpoint, Readiness, ReadyEndpoint, VersionEndpoint
from aero.web.limits import ConnectionLimits
from aero.web.metricspage import MetricsEndpoint
from aero.web.redirect import RedirectFactory
from aero.web.relaytoken import RelayCredentials, RelayTokenEndpoint
from aero.web.router import Router
from aero.web.session import SessionEndpoint
from aero.web.site import AeroSite
from aero.web.static import StaticTree
from aero.ws.endpoint import WebSocketEndpoint
from aero.ws.handshake import UpgradeGate
from aero.ws.mux import MuxEndpoint, MuxProtocol
from aero.ws.slots import TunnelSlots
from aero.ws.tcp import TCPEndpoint, TCPTunnelProtocol

#: The other names of this machine that an internal site answers to.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class Aero:
    """
    One aero server.

    Parts are made when they are first asked for, so a subclass may use any of them in the
    methods it overrides.

    @cvar tcpProtocol: The protocol of the tunnels at C{/tcp}.
    @cvar muxProtocol: The protocol of the WebSockets at C{/tcp-mux}.
    @ivar settings: All settings.
    @ivar reactor: The reactor.
    @ivar now: Gives the seconds since 1970.
    """

    tcpProtocol: ClassVar[type[TCPTunnelProtocol]] = TCPTunnelProtocol
    muxProtocol: ClassVar[type[MuxProtocol]] = MuxProtocol

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        *,
        environ: Mapping[str, str] = {},
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param environ: For the place of the state directory when no setting names it.
        """
        self.settings = settings
        self.reactor = reactor
        self.environ = environ
        self.now = now

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
        if "gateway" in settings.server.services:
            resources |= self._gatewayResources()
        return resources

    def makeEndpoints(self) -> Sequence[WebSocketEndpoint]:
        """
        The WebSocket endpoints. Add yours to those of the superclass.
        """
        if "gateway" not in self.settings.server.services:
            return []
        shared: dict[str, Any] = {
            "gate": self.upgradeGate,
            "clock": self.reactor,
            "metrics": self.metrics,
            "settings": self.settings.tcp,
            "dialer": self.dialer,
            "slots": self.slots,
        }
        return [
            TCPEndpoint(protocol=self.tcpProtocol, **shared),
            MuxEndpoint(protocol=self.muxProtocol, **shared),
        ]

    def makeEgressPolicy(self) -> EgressPolicy:
        """
        The policy about targets. It decides before and after a name is resolved, and no
        endpoint connects to anything that it did not approve.
        """
        egress = self.settings.egress
        return EgressPolicy(
            profile=egress.profile,
            allowPrivate=egress.allowPrivate,
            allowedHosts=egress.allowedHosts,
            blockedHosts=egress.blockedHosts,
            requireName=egress.requireName,
            allowedPorts=egress.allowedPorts,
        )

    def makeResolver(self) -> Resolver:
        """
        What looks up the names of targets: the system's resolver.
        """
        return SystemResolver(self.reactor, self.settings.egress, self.metrics)

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
        return StaticTree(root, static, metrics=self.metrics, reactor=self.reactor)

    def makeGates(self) -> Sequence[Gate]:
        """
        What every request passes before its resource, in this order.
        """
        own = set(self.ownOrigins())
        shared = bool(set(self.allowedOrigins()) - own)
        return [
            OriginGate(self.origins, self.metrics, shared=shared),
            RateGate(self.settings.http.maxRequestsPerMinute, self.metrics, self.reactor.seconds),
        ]

    # -- facts that follow from the settings

    @property
    def isEdge(self) -> bool:
        """
        Whether this process serves pages.
        """
        return "edge" in self.settings.server.services

    @property
    def isInternal(self) -> bool:
        """
        Whether the site has a name that only this network knows.
        """
        return isInternalName(self.settings.server.domain)

    @property
    def hosts(self) -> frozenset[str] | None:
        """
        The names that requests may be for; C{None} for any, behind a proxy.
        """
        if not self.isEdge or self.certificates is None:
            return None
        domain = self.settings.server.domain
        own = f"[{domain}]" if ":" in domain else domain
        return frozenset({own, *(LOCAL_HOSTS if self.isInternal else ())})

    @property
    def base(self) -> str:
        """
        The path of the public base URL.
        """
        return urlsplit(self.settings.session.publicBaseURL).path.rstrip("/") or "/"

    def ownOrigins(self) -> Iterable[str]:
        """
        The origins of the site itself.
        """
        parts = urlsplit(self.settings.session.publicBaseURL)
        yield f"{parts.scheme}://{parts.netloc}"
        if self.hosts is not None and self.isInternal:
            # The same page, by the other names that it is served under.
            for host in sorted(self.hosts):
                yield f"https://{host}:{self.settings.server.httpsPort}"

    def allowedOrigins(self) -> Sequence[str]:
        """
        The origins that may use the services.
        """
        return self.settings.session.allowedOrigins or tuple(self.ownOrigins())

    # -- the parts

    @cached_property
    def metrics(self) -> Metrics:
        """
        The live metrics.
        """
        return Metrics(ROWS, process=True)

    @cached_property
    def state(self) -> StateDirectory:
        """
        The state directory, opened when something first has to be kept.
        """
        named = self.settings.server.stateDir
        state = StateDirectory(named or defaultStatePath(self.environ))
        state.open()
        return state

    @cached_property
    def certificates(self) -> CertificateSource | None:
        """
        Where certificates come from; C{None} without TLS.
        """
        return certificateSource(
            self.settings.server,
            self.settings.tls,
            openState=lambda: self.state,
            clock=self.reactor,
            now=self.now,
            metrics=self.metrics,
        )

    @cached_property
    def responseHeaders(self) -> ResponseHeaders:
        """
        The headers of every response.
        """
        http = self.settings.http
        if self.isEdge:
            return ResponseHeaders.edge(http.hstsMaxAge, http.connectSources)
        return ResponseHeaders.gateway(http.isolate)

    @cached_property
    def clientAddresses(self) -> ClientAddresses:
        """
        Tells clients from proxies.
        """
        server = self.settings.server
        return ClientAddresses(
            trust=server.trustProxy or bool(server.trustedProxies),
            networks=server.trustedProxies,
            terminatesTLS=self.certificates is not None,
        )

    @cached_property
    def origins(self) -> Origins:
        """
        Decides about origins.
        """
        return Origins(self.allowedOrigins())

    @cached_property
    def revocations(self) -> Revocations:
        """
        Sessions that ended before their time.
        """
        return Revocations()

    @cached_property
    def sessions(self) -> Sessions:
        """
        Makes and checks sessions; the key is given, or kept in the state directory.
        """
        session = self.settings.session
        secret = session.secret or self.state.secret("session-secret")
        return Sessions(
            (secret, *session.previousSecrets), session.ttl, session.sameSite, self.revocations
        )

    @cached_property
    def readiness(self) -> Readiness:
        """
        What C{/readyz} tells.
        """
        return Readiness()

    @cached_property
    def upgradeGate(self) -> UpgradeGate:
        """
        The checks that all WebSocket endpoints share.
        """
        return UpgradeGate(
            clock=self.reactor,
            sessions=self.sessions,
            origins=self.origins,
            blockedClients=self.settings.egress.blockedClients,
            upgradesPerMinutePerIP=self.settings.session.upgradesPerMinutePerIP,
            maxTargetLength=self.settings.http.maxTargetLength,
            wallClock=self.now,
        )

    @cached_property
    def slots(self) -> TunnelSlots:
        """
        How many tunnels a session and an address have.
        """
        return TunnelSlots(self.settings.tcp, self.metrics)

    @cached_property
    def egressPolicy(self) -> EgressPolicy:
        """
        See L{makeEgressPolicy}.
        """
        return self.makeEgressPolicy()

    @cached_property
    def dialer(self) -> Dialer:
        """
        Connects to targets: resolve, decide, connect to the address that was decided about.
        """
        return Dialer(
            self.reactor,
            self.makeResolver(),
            self.egressPolicy,
            self.metrics,
            connectTimeout=self.settings.tcp.connectTimeout,
        )

    @cached_property
    def dns(self) -> tuple[DNSEngine, Mapping[str, IResource]]:
        """
        The DNS engine, and the resources that answer from it.
        """
        return dnsEndpoints(
            self.settings.dns,
            reactor=self.reactor,
            metrics=self.metrics,
            sessions=self.sessions,
            now=self.now,
        )

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
        router = Router(base=self.base, gates=self.makeGates(), fallback=self.frontEnd)
        for path, resource in self.makeResources().items():
            router.addResource(path, resource)
        for endpoint in self.endpoints:
            if not IUpgradable.providedBy(endpoint):
                raise TypeError(f"{endpoint!r} does not provide IUpgradable")
            router.addUpgrade(endpoint)
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
            accessLog=AccessLog(fullAddresses=self.settings.server.logFullAddresses),
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
            url=self.settings.session.publicBaseURL.rstrip("/") + "/",
            log=observerFor(server.logFormat, server.logLevel, log) if log else None,
            listeners=listeners,
            drainables=[_Draining(self.endpoints, self.frontEnd), self.site],
            drainStarted=self._drainStarted,
            reload=lambda: source.reload() if source is not None else None,
            stopped=self._stopped,
            notices=tuple(self._notices()),
            drainDelay=server.drainDelay,
            grace=server.shutdownGrace,
        )

    def _listeners(self, source: CertificateSource | None) -> Iterable[IService]:
        server = self.settings.server
        limits = ConnectionLimits(self.settings.http, self.metrics)

        def listener(factory: IProtocolFactory, name: str, port: int, option: str) -> Listener:
            return Listener(
                self.reactor,
                limits.wrap(factory, name),
                addresses=server.bind,
                port=port,
                option=option,
            )

        if source is None:
            yield listener(self.site, "http", server.port, "port")
            return
        secure = TLSServerFactory(
            ServerTLS(source, seconds=self.reactor.seconds, metrics=self.metrics),
            self.site,
            settings=self.settings.tls,
            metrics=self.metrics,
            clock=self.reactor,
        )
        if not self.isEdge:
            yield listener(secure, "https", server.port, "port")
            return
        yield listener(secure, "https", server.httpsPort, "https-port")
        if server.httpPort:
            redirect = RedirectFactory(
                hosts=self.hosts or frozenset(),
                httpsPort=server.httpsPort,
                settings=self.settings.http,
                metrics=self.metrics,
                clock=self.reactor,
            )
            yield listener(redirect, "redirect", server.httpPort, "http-port")

    def _gatewayResources(self) -> dict[str, IResource]:
        settings = self.settings
        credentials = RelayCredentials(settings.relay)
        if settings.relay.baseURL:
            if settings.relay.authMode == "api_key" and not settings.relay.apiKey:
                raise _relayNeeds("UDP_RELAY_API_KEY", "api_key")
            if settings.relay.authMode == "jwt" and not settings.relay.jwtSecret:
                raise _relayNeeds("UDP_RELAY_JWT_SECRET", "jwt")
        _, dns = self.dns
        return {
            **dns,
            "/session": SessionEndpoint(
                self.sessions,
                self.metrics,
                self.now,
                settings=settings.session,
                tcp=settings.tcp,
                dns=settings.dns,
                relay=settings.relay,
                credentials=credentials,
                services=settings.server.services,
                base=self.base,
            ),
            "/udp-relay/token": RelayTokenEndpoint(
                credentials, self.sessions, self.metrics, self.now
            ),
        }

    def _notices(self) -> Iterable[str]:
        """
        What the operator should know, beyond that the server is ready.
        """
        server = self.settings.server
        yield from self.settings.notices
        if self.certificates is not None and (self.state.path / "ca" / "root.crt").exists():
            yield (
                f"the internal CA's root certificate is {self.state.path}/ca/root.crt; browsers"
                " that trust it trust this server"
            )
        if server.trustProxy and not server.trustedProxies and self.certificates is not None:
            yield (
                "TRUST_PROXY=1 is ignored, because this process terminates TLS itself: name the"
                " proxies in AERO_TRUSTED_PROXIES if there are any in front"
            )
        if self.settings.egress.allowPrivate:
            yield "TCP_ALLOW_PRIVATE_IPS=1: browsers reach this machine and its private networks"

    def _drainStarted(self) -> None:
        self.readiness.drain()

    def _stopped(self) -> None:
        if self.certificates is not None:
            self.certificates.stop()
        if "gateway" in self.settings.server.services:
            self.dns[0].stop()
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


def _relayNeeds(variable: str, mode: str) -> ConfigurationError:
    return ConfigurationError(
        variable, None, f"{variable} is required when UDP_RELAY_AUTH_MODE={mode}"
    )
