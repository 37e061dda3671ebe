# -*- test-case-name: aero.lan.test.test_factory -*-
"""
Makes the LAN of each guest out of the settings. There is one factory in a process; extend it to
put services of your own into every LAN::

    class LabLANs(LANFactory):
        def lanStarted(self, lan):
            lan.listenTCP(80, Site(LabPage(lan)))
"""

from __future__ import annotations

import os
from typing import Any, Callable, ClassVar, Collection

from twisted.logger import Logger

from aero.dns.engine import DNSEngine
from aero.errors import ConfigurationError
from aero.metrics import Metrics
from aero.metrics import lan as rows
from aero.net.commons import Commons
from aero.net.deliveries import Deliveries
from aero.net.resolver import Resolver
from aero.policy.forwards import ForwardMap
from aero.policy.guestegress import DomainRules, GuestEgress, GuestRules
from aero.policy.hosts import HostPatterns
from aero.policy.profiles import PROFILES, Profile
from aero.policy.quota import MakeBuckets, addressKey, localBuckets
from aero.policy.reach import OwnAddresses
from aero.settings.lan import LANSettings
from aero.settings.lanegress import LANEgressSettings
from aero.settings.tcp import EgressSettings
from aero.stack.config import StackConfig
from aero.stack.stack import Stack
from aero.stack.tcp.config import TCPConfig
from aero.wire.ethernet import HEADER
from aero.wire.ipv4 import addressText

from .dnsrates import QuestionRates
from .driver import StackDriver
from .flowlog import FlowLog
from .lan import LAN
from .names import LANNames
from .nat.outside import Outside
from .nat.tcp import NATFactory
from .nat.udp import UDPNat
from .nat.udpsocket import OpenSocket, ephemeralPorts, openSocket
from .peer import FramePort, GuestPeer
from .services.dhcp import SERVER_PORT, DHCPServer, NetworkPlan
from .services.dns import GuestDNS
from .services.dnsserver import PORT as DNS_PORT
from .services.dnsserver import DNSDatagrams, DNSFactory
from .services.ping import Pings

#: The least MTU that the LAN works with whatever the frame limit is (RFC 791 section 3.1).
LEAST_MTU = 576
#: The MTU of Ethernet.
USUAL_MTU = 1_500


class LANFactory:
    """
    Makes LANs.

    @cvar stack: The class of stacks.
    @cvar lan: The class of LANs.
    @cvar natFactory: The class of what takes connections to the outside.
    @ivar lans: The LANs that are open.
    @ivar rules: What the operator says about where guests may go.
    @ivar plan: The addresses of every LAN.
    """

    _logger = Logger()

    stack: ClassVar[type[Stack]] = Stack
    lan: ClassVar[type[LAN]] = LAN
    natFactory: ClassVar[type[NATFactory]] = NATFactory

    def __init__(
        self,
        settings: LANSettings,
        *,
        reactor: Any,
        metrics: Metrics,
        dns: DNSEngine,
        resolver: Resolver,
        egress: EgressSettings,
        lanEgress: LANEgressSettings,
        maxFrame: int,
        deliveries: Deliveries,
        randomness: Callable[[int], bytes] = os.urandom,
        fullAddresses: bool = False,
        openSocket: OpenSocket = openSocket,
        makeBuckets: MakeBuckets = localBuckets,
        commons: Commons | None = None,
        own: OwnAddresses | None = None,
        sitePorts: Collection[int] = (),
    ) -> None:
        """
        @param dns: Answers the questions of guests.
        @param resolver: Looks up the hosts of forwards.
        @param egress: The rules for every client of this server.
        @param lanEgress: Those for guests.
        @param maxFrame: Bytes of one Ethernet frame that a tunnel carries.
        @param deliveries: Takes the connections whose guest has gone.
        @param fullAddresses: Whether the log has whole addresses.
        @param openSocket: Makes UDP sockets; a replacement for tests.
        @param makeBuckets: Makes token buckets, which several processes may share.
        @param commons: What all clients share.
        @param own: The addresses of this machine.
        @param sitePorts: TCP ports that guests may reach at public addresses of this machine.
        @raise ConfigurationError: The settings contradict each other.
        """
        self._commons = Commons(reactor, metrics) if commons is None else commons
        self.settings = settings
        self.plan = networkPlan(settings, maxFrame)
        self.rules = guestRules(lanEgress, egress, self.plan, own, sitePorts)
        self.lans: set[LAN] = set()
        metrics.beforeExposition(self._publish)
        self._reactor = reactor
        self._metrics = metrics
        self._dns = dns
        self._resolver = resolver
        self._randomness = randomness
        self._openSocket = openSocket
        self._questions = QuestionRates(settings, metrics, makeBuckets)
        self._log = FlowLog(
            reactor, metrics, rate=lanEgress.flowLogRate, fullAddresses=fullAddresses
        )
        self._config = stackConfig(settings, self.plan)
        self._outside = Outside(
            reactor,
            resolver,
            metrics,
            forwards=settings.tcpForwards,
            allowPrivate=lanEgress.allowPrivateAddresses,
            connectTimeout=settings.connectTimeout,
            deliveries=deliveries,
            own=own,
            sitePorts=sitePorts,
        )
        self._udpForwards = ForwardMap(settings.udpForwards)
        self._preserved = {
            "off": range(0),
            "ephemeral": ephemeralPorts(),
            "all": range(1_024, 65_536),
        }[settings.preservePorts]

    # -- what users extend

    def lanStarted(self, lan: LAN) -> None:
        """
        A guest's LAN is there; nothing has been received yet. Put services into it here.
        """

    def lanStopped(self, lan: LAN) -> None:
        """
        A guest's LAN is over.
        """

    # -- what tunnels call

    def buildLAN(self, peer: GuestPeer, port: FramePort) -> LAN:
        """
        Make the LAN of one guest.

        @param port: Where its frames go.
        """
        reactor = self._reactor
        stack = self.stack(
            self._config,
            secret=self._randomness(32),
            now=reactor.seconds(),
            randomness=self._randomness,
        )
        share = self._commons.turns.turn(addressKey(peer.address))
        lan = self.lan(
            peer=peer,
            plan=self.plan,
            settings=self.settings,
            reactor=reactor,
            metrics=self._metrics,
            egress=GuestEgress(self.rules),
            outside=self._outside,
            resolver=self._resolver,
            log=self._log,
            makeDriver=lambda dispatch: StackDriver(stack, reactor, port, dispatch, share),
            stopped=self._stopped,
            commons=self._commons,
        )
        lan.nat = self.natFactory(lan)
        lan.udp = UDPNat(
            lan,
            forwards=self._udpForwards,
            preserved=self._preserved,
            openSocket=self._openSocket,
        )
        lan.pings = Pings(lan)
        lan.dhcp = DHCPServer(
            self.plan,
            self.settings,
            self._metrics,
            reactor.seconds,
            stack.addresses.owned,
        )
        names = LANNames(lan, forwardReverse=self._dns.answersPrivateReverse)
        lan.dns = GuestDNS(lan, self._dns, self._questions, names)
        lan.listenUDP(SERVER_PORT, lan.dhcp)
        for address in sorted(self.plan.owned):
            lan.listenUDP(DNS_PORT, DNSDatagrams(lan.dns), addressText(address))
            lan.listenTCP(DNS_PORT, DNSFactory(lan.dns, reactor), addressText(address))
        self.lans.add(lan)
        self._metrics.gauge(rows.LANS).inc()
        self._tell(self.lanStarted, lan)
        return lan

    def stop(self) -> None:
        """
        End every LAN.
        """
        for lan in list(self.lans):
            lan.stop("shutdown")

    def _publish(self) -> None:
        for lan in self.lans:
            lan.publish()

    def _stopped(self, lan: LAN) -> None:
        if lan in self.lans:
            self.lans.discard(lan)
            self._metrics.gauge(rows.LANS).dec()
            self._tell(self.lanStopped, lan)

    def _tell(self, hook: Callable[[LAN], object], lan: LAN) -> None:
        """
        Call a hook. A guest has its network even if it fails.
        """
        try:
            hook(lan)
        except Exception:  # noqa: BLE001 - a user's hook may raise anything
            self._logger.failure("A hook of a guest's LAN failed")


def networkPlan(settings: LANSettings, maxFrame: int) -> NetworkPlan:
    """
    The addresses of every LAN.

    @raise ConfigurationError: They do not fit together, or the MTU is larger than frames.
    """
    network = settings.subnet
    first, last = int(network[1]), int(network[-2])
    gateway = int(network[2]) if settings.gateway is None else settings.gateway
    guest = settings.guest
    if guest is None:
        guest = int(network[15]) if network.num_addresses > 16 else gateway + 1
        if guest == gateway or guest > last:
            guest = first if gateway != first else first + 1
    within = f"expected an address of {network} other than its first and last"
    if not first <= gateway <= last:
        raise ConfigurationError("AERO_L2_GATEWAY_ADDRESS", addressText(gateway), within)
    if not first <= guest <= last:
        raise ConfigurationError("AERO_L2_GUEST_ADDRESS", addressText(guest), within)
    if guest == gateway:
        raise ConfigurationError(
            "AERO_L2_GUEST_ADDRESS", addressText(guest), "expected another than the gateway's"
        )
    for route in settings.routes:
        if not first <= route.router <= last:
            router = addressText(route.router)
            raise ConfigurationError(
                "AERO_L2_STATIC_ROUTES", router, f"expected a router in {network}"
            )
    most = maxFrame - HEADER
    if settings.mtu is None:
        mtu = max(LEAST_MTU, min(USUAL_MTU, most))
    elif settings.mtu > most:
        raise ConfigurationError(
            "AERO_L2_MTU",
            str(settings.mtu),
            f"expected at most {most}, which is AERO_L2_MAX_FRAME_PAYLOAD less {HEADER}",
        )
    else:
        mtu = settings.mtu
    return NetworkPlan(network, gateway, guest, mtu, _dnsAddress(settings, gateway, guest))


def _dnsAddress(settings: LANSettings, gateway: int, guest: int) -> int:
    """
    The further address of the DNS; 0 for none. The usual one is not used where it is somebody
    else's.
    """
    network = settings.subnet
    wanted = settings.dnsAddress
    forwards = {each.address for each in (*settings.tcpForwards, *settings.udpForwards)}
    if wanted is None:
        usual = int(network[3])
        taken = {gateway, guest, int(network[-1]), *forwards}
        return 0 if usual in taken else usual
    within = int(network[1]) <= wanted <= int(network[-2])
    if wanted and (not within or wanted in (gateway, guest)):
        raise ConfigurationError(
            "AERO_L2_DNS_ADDRESS",
            addressText(wanted),
            f"expected an address of {network} other than the gateway's and the guest's, or off",
        )
    return wanted


def stackConfig(settings: LANSettings, plan: NetworkPlan) -> StackConfig:
    """
    The shape of every stack.
    """
    # Forwards may be at addresses of the LAN that nobody else has.
    forwarded = {each.address for each in (*settings.tcpForwards, *settings.udpForwards)}
    first, last = int(plan.network[1]), int(plan.network[-2])
    owned = sorted(address for address in forwarded if first <= address <= last)
    return StackConfig(
        gateway=plan.gateway,
        prefixLength=plan.network.prefixlen,
        owned=(*owned, plan.dns) if plan.dns else tuple(owned),
        mtu=plan.mtu,
        maxConnections=settings.maxConnections,
        tcp=TCPConfig(
            mss=plan.mtu - 40,
            receiveBuffer=settings.tcpBufferBytes,
            sendBuffer=settings.tcpBufferBytes,
            maxEarly=settings.maxEarlyBytes,
            hold=settings.connectHold,
            keepaliveIdle=settings.keepalive,
        ),
    )


def guestRules(
    guests: LANEgressSettings,
    everybody: EgressSettings,
    plan: NetworkPlan,
    own: OwnAddresses | None = None,
    sitePorts: Collection[int] = (),
) -> GuestRules:
    """
    What the operator says about guests: what is said of them counts; where nothing is, what is
    said of every client does. Blocked hosts are blocked for guests too, and what lets browsers
    into private networks does not let guests in.
    """
    ownNames = bool(guests.allowedDomains)
    profile = PROFILES[everybody.profile]
    if everybody.allowedPorts:
        profile = Profile("explicit", only=frozenset(everybody.allowedPorts))
    return GuestRules(
        profile=profile,
        tcpPorts=guests.tcpPorts,
        udpPorts=guests.udpPorts,
        allowPrivate=guests.allowPrivateAddresses,
        domains=DomainRules(allowed=guests.allowedDomains, blocked=guests.blockedDomains),
        allowedHosts=HostPatterns(() if ownNames else everybody.allowedHosts),
        blockedHosts=HostPatterns(everybody.blockedHosts),
        requireName=everybody.requireName,
        network=(int(plan.network.network_address), plan.mask),
        nameMemory=guests.nameMemory,
        maxRemembered=guests.maxRememberedAddresses,
        newPerSecond=guests.newPerSecond,
        own=own,
        sitePorts=sitePorts,
    )
