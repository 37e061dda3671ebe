# -*- test-case-name: aero.test.test_app -*-
"""
What the services share: each part is made once, when it is first asked for.
"""

from __future__ import annotations

import dataclasses
import time
from functools import cached_property, partial
from typing import Any, Callable, ClassVar, Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from twisted.internet.threads import deferToThreadPool
from twisted.web.resource import IResource

from aero.auth.relaymodes import KeyAuth, RelayAuth, TokenAuth
from aero.auth.revocations import RevocationStore
from aero.auth.sessions import Sessions
from aero.dns.engine import DNSEngine
from aero.fleet.workers.member import Member
from aero.lan.factory import LANFactory
from aero.net.deliveries import Deliveries
from aero.net.dialer import Dialer
from aero.net.resolver import Resolver, SystemResolver
from aero.net.udp.ports import DatagramPorts
from aero.policy.clientaddress import ClientAddresses
from aero.policy.headers import ResponseHeaders
from aero.policy.hostname import normalizeHost
from aero.policy.origin import Origins
from aero.settings import Settings, isInternalName
from aero.settings.relay import RelaySettings
from aero.tls.acme.source import ACMESource
from aero.tls.certificates import CertificateSource
from aero.tls.source import certificateSource
from aero.tls.state import StateDirectory, defaultStatePath
from aero.tunnel.datagrams.sessions import RelaySessions
from aero.tunnel.ethernet.capture import Captures
from aero.tunnel.ethernet.permits import TunnelPermits
from aero.tunnel.ethernet.tunnels import L2Tunnels, LANs
from aero.tunnel.slots import TunnelSlots
from aero.web.dns import dnsEndpoints, dnsEngine
from aero.web.health import Readiness
from aero.web.metricspage import MetricsEndpoint
from aero.ws.handshake import UpgradeGate
from aero.ws.relaygate import RelayGate

from .fleet import Fleet, sharedStore
from .policies import PolicyParts

#: The other names of this machine that an internal site answers to.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class Parts(PolicyParts):
    """
    The parts of one server, as far as more than one service uses them.

    @cvar lanFactory: What makes the LAN of each guest of C{/l2}.
    @ivar settings: All settings.
    @ivar reactor: The reactor.
    @ivar environ: For the place of the state directory when no setting names it.
    @ivar now: Gives the seconds since 1970.
    @ivar member: The place of this process among the workers of one server; C{None} where it is
        the only one.
    """

    lanFactory: ClassVar[type[LANFactory]] = LANFactory

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        *,
        environ: Mapping[str, str] = {},
        now: Callable[[], float] = time.time,
        member: Member | None = None,
    ) -> None:
        self.settings = settings
        self.reactor = reactor
        self.environ = environ
        self.now = now
        self.member = member

    # -- what users override

    def makeResolver(self) -> Resolver:
        """
        What looks up the names of targets: the system's resolver.
        """
        return SystemResolver(self.reactor, self.settings.egress, self.metrics)

    def makeLANs(self) -> LANs:
        """
        What makes the LAN of each guest.
        """
        settings = self.settings
        return self.lanFactory(
            settings.lan,
            reactor=self.reactor,
            metrics=self.metrics,
            dns=self.dnsEngine,
            resolver=self.makeResolver(),
            egress=settings.egress,
            lanEgress=settings.lanEgress,
            maxFrame=settings.l2.maxFramePayload,
            deliveries=self.deliveries,
            fullAddresses=settings.server.logFullAddresses,
            makeBuckets=self.fleet.makeBuckets,
            commons=self.commons,
            own=self.ownAddresses,
            sitePorts=(settings.server.httpsPort,) if settings.own.siteForGuests else (),
        )

    def makeRelayAuth(self) -> RelayAuth:
        """
        How clients of the relay prove themselves.
        """
        relay = self.relaySettings
        if relay.authMode == "api_key":
            return KeyAuth(relay.apiKey)
        if relay.authMode == "jwt":
            return TokenAuth(
                (relay.jwtSecret, *relay.previousJWTSecrets),
                audience=relay.audience,
                issuer=relay.issuer,
            )
        return RelayAuth()

    # -- facts that follow from the settings

    @property
    def isEdge(self) -> bool:
        """
        Whether this process serves pages.
        """
        return "edge" in self.settings.server.services

    @property
    def hasGateway(self) -> bool:
        """
        Whether this process begins sessions.
        """
        return "gateway" in self.settings.server.services

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
        own = normalizeHost(f"[{domain}]" if ":" in domain else domain) or domain
        more = () if self.acme is None else self.acme.names
        return frozenset({own, *more, *(LOCAL_HOSTS if self.isInternal else ())})

    @property
    def trustsProxy(self) -> bool:
        """
        Whether the operator says that whoever connects is a proxy.
        """
        return self.settings.server.trustProxy or self.settings.l2.trustForwarded

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
        elif self.hosts is not None and self.acme is not None:
            for host in self.acme.names[1:]:
                yield f"https://{host}:{self.settings.server.httpsPort}"

    def allowedOrigins(self) -> Sequence[str]:
        """
        The origins that may use the services.
        """
        return self.settings.session.allowedOrigins or tuple(self.ownOrigins())

    def metricsPage(self, *, public: bool = False) -> MetricsEndpoint:
        """
        The page of the metrics: of all workers, where this is one of several.

        @param public: Whether strangers can reach it.
        """
        return MetricsEndpoint(
            self.metrics,
            token=self.settings.http.metricsToken,
            public=public,
            gather=None if self.member is None else self.member.gatherMetrics,
        )

    # -- the parts

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
            self.settings.acme,
            openState=lambda: self.state,
            reactor=self.reactor,
            now=self.now,
            metrics=self.metrics,
        )

    @property
    def acme(self) -> ACMESource | None:
        """
        L{certificates}, if they come from a public CA.
        """
        source = self.certificates
        return source if isinstance(source, ACMESource) else None

    @cached_property
    def responseHeaders(self) -> ResponseHeaders:
        """
        The headers of every response.
        """
        http = self.settings.http
        if self.isEdge or http.edgeHeaders:
            return ResponseHeaders.edge(http.hstsMaxAge, self.settings.csp.extra)
        return ResponseHeaders.gateway(http.isolate)

    @cached_property
    def clientAddresses(self) -> ClientAddresses:
        """
        Tells clients from proxies.
        """
        server = self.settings.server
        return ClientAddresses(
            trust=self.trustsProxy or bool(server.trustedProxies),
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
    def fleet(self) -> Fleet:
        """
        What this process agrees about with others.
        """
        store = sharedStore(
            self.settings.fleet,
            self.member,
            clock=self.reactor,
            metrics=self.metrics,
        )
        return Fleet(store, clock=self.reactor, now=self.now)

    @property
    def revocations(self) -> RevocationStore:
        """
        Sessions that ended before their time.
        """
        return self.fleet.revocations

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
        readiness = Readiness()
        if self.acme is not None:
            readiness.watch("certificate", self.acme.isUsable)
            readiness.tell("certificate", self.acme.describe)
        return readiness

    @cached_property
    def upgradeGate(self) -> UpgradeGate:
        """
        The checks that all WebSocket endpoints share.
        """
        return UpgradeGate(
            clock=self.reactor,
            sessions=self.sessions if self.isEdge or self.hasGateway else None,
            origins=self.origins,
            blockedClients=self.settings.egress.blockedClients,
            upgradesPerMinutePerIP=self.settings.session.upgradesPerMinutePerIP,
            maxTargetLength=self.settings.http.maxTargetLength,
            wallClock=self.now,
            makeBuckets=self.fleet.makeBuckets,
        )

    @cached_property
    def slots(self) -> TunnelSlots:
        """
        How many tunnels a session and an address have.
        """
        return TunnelSlots(self.settings.tcp, self.metrics, self.fleet.claims, self.commons.sockets)

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
    def deliveries(self) -> Deliveries:
        """
        Connections to targets whose client has gone.
        """
        return Deliveries(self.settings.delivery, clock=self.reactor, metrics=self.metrics)

    @cached_property
    def dnsEngine(self) -> DNSEngine:
        """
        Answers the DNS questions of browsers and guests.
        """
        return dnsEngine(self.settings.dns, reactor=self.reactor, metrics=self.metrics)

    @cached_property
    def dns(self) -> tuple[DNSEngine, Mapping[str, IResource]]:
        """
        The DNS engine, and the resources that answer from it.
        """
        return dnsEndpoints(
            self.settings.dns,
            engine=self.dnsEngine,
            reactor=self.reactor,
            metrics=self.metrics,
            sessions=self.sessions,
            now=self.now,
            makeBuckets=self.fleet.makeBuckets,
        )

    @cached_property
    def lans(self) -> LANs:
        """
        See L{makeLANs}.
        """
        return self.makeLANs()

    @cached_property
    def tunnels(self) -> L2Tunnels:
        """
        The Ethernet tunnels, whatever carries them.
        """
        captures = Captures(
            self.settings.l2,
            clock=self.reactor,
            metrics=self.metrics,
            runInThread=partial(deferToThreadPool, self.reactor, self.reactor.getThreadPool()),
            now=self.now,
        )
        return L2Tunnels(
            self.settings.l2,
            self.lans,
            clock=self.reactor,
            metrics=self.metrics,
            captures=captures,
            fullAddresses=self.settings.server.logFullAddresses,
            commons=self.commons,
        )

    @cached_property
    def tunnelPermits(self) -> TunnelPermits:
        """
        How many tunnels there may be.
        """
        return TunnelPermits(self.settings.l2, self.metrics, self.fleet.claims)

    # -- the relay

    @cached_property
    def relaySettings(self) -> RelaySettings:
        """
        The settings of relay credentials. A relay beside the gateway is where everything else
        is, and they have a secret of their own where nobody gave one.
        """
        relay = self.settings.relay
        if not {"gateway", "relay"} <= set(self.settings.server.services):
            return relay
        secret = relay.jwtSecret
        if relay.authMode == "jwt" and not secret and not relay.baseURL:
            secret = self.state.secret("relay-jwt-secret")
        return dataclasses.replace(
            relay,
            baseURL=relay.baseURL or self.settings.session.publicBaseURL,
            jwtSecret=secret,
        )

    @cached_property
    def relayAuth(self) -> RelayAuth:
        """
        See L{makeRelayAuth}.
        """
        return self.makeRelayAuth()

    @cached_property
    def relaySessions(self) -> RelaySessions:
        """
        The sessions of the relay.
        """
        settings = self.settings
        return RelaySessions(
            settings.signal,
            settings.udp,
            clock=self.reactor,
            metrics=self.metrics,
            claims=self.fleet.claims,
        )

    @cached_property
    def datagramPorts(self) -> DatagramPorts:
        """
        Opens the UDP sockets of guests.
        """
        return DatagramPorts(
            self.reactor, maxSockets=self.settings.udp.maxUDPSockets, commons=self.commons
        )

    @cached_property
    def relayOrigins(self) -> Origins:
        """
        Decides about origins for the relay: on the one origin as everywhere, alone the
        request's own host where no list is given.
        """
        if self.isEdge or self.hasGateway:
            return self.origins
        return Origins(self.settings.session.allowedOrigins)

    @cached_property
    def relayGate(self) -> RelayGate:
        """
        The checks that the WebSockets of the relay share.
        """
        return RelayGate(
            clock=self.reactor,
            sessions=None,
            origins=self.relayOrigins,
            blockedClients=self.settings.egress.blockedClients,
            upgradesPerMinutePerIP=self.settings.session.upgradesPerMinutePerIP,
            maxTargetLength=self.settings.http.maxTargetLength,
            wallClock=self.now,
        )
