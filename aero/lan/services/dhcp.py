# -*- test-case-name: aero.lan.services.test.test_dhcp -*-
"""
The DHCP server of a guest's LAN (RFC 2131, l2.md section 16.4).

There is one address to give, and whoever asks gets it: the guest may come back with another
MAC address, out of a snapshot or because somebody changed it, and is still the guest. Only
when a client says that the address is in use already (DECLINE) the next one is offered that the
LAN does not answer for itself, as it does for what listens in it and for forwards.

Every OFFER and ACK for a client without an address leaves twice, by broadcast and to the
client's MAC address: there are clients that take only one of them, and none that minds both.

A client of BOOTP (RFC 951, RFC 1534, RFC 1542) gets the same address, in the same way. It never
renews, so its lease lasts as long as the LAN.
"""

from __future__ import annotations

import ipaddress
import math
from typing import Any, Callable, Collection, NamedTuple

from twisted.internet.protocol import DatagramProtocol

from aero.errors import DecodeError
from aero.metrics import Metrics
from aero.metrics import lan as rows
from aero.settings.lan import LANSettings
from aero.wire import dhcpv4 as dhcp
from aero.wire.ethernet import BROADCAST as BROADCAST_MAC
from aero.wire.ipv4 import LIMITED_BROADCAST

#: The port of clients.
CLIENT_PORT = 68
#: The port of the server.
SERVER_PORT = 67

#: What is sent whether it was asked for or not, in this order (l2.md section 16.4).
_ALWAYS = (dhcp.SUBNET_MASK, dhcp.ROUTER, dhcp.DNS_SERVERS)
#: Further options that are sent to clients that do not say what they want.
_UNASKED = (dhcp.DOMAIN_NAME, dhcp.BROADCAST_ADDRESS, dhcp.INTERFACE_MTU)

#: The options that a client of BOOTP gets, as far as they have room.
_BOOTP = (
    *_ALWAYS,
    dhcp.HOST_NAME,
    dhcp.DOMAIN_NAME,
    dhcp.BROADCAST_ADDRESS,
    dhcp.NTP_SERVERS,
    dhcp.INTERFACE_MTU,
)


class Lease(NamedTuple):
    """
    What the guest was given.

    @ivar address: As a number.
    @ivar hardwareAddress: The MAC address that asked for it.
    @ivar hostName: What the guest calls itself; empty where it does not say.
    @ivar expires: By the clock of the LAN; infinite for a client of BOOTP.
    """

    address: int
    hardwareAddress: bytes
    hostName: str
    expires: float


class NetworkPlan(NamedTuple):
    """
    The addresses of a LAN, and its MTU.

    @ivar dns: A further address of the DNS; 0 for none.
    """

    network: ipaddress.IPv4Network
    gateway: int
    guest: int
    mtu: int
    dns: int = 0

    @property
    def owned(self) -> frozenset[int]:
        """
        The addresses of the gateway.
        """
        return frozenset((self.gateway, self.dns)) - {0}

    @property
    def broadcast(self) -> int:
        """
        The broadcast address of the network.
        """
        return int(self.network.broadcast_address)

    @property
    def mask(self) -> int:
        """
        The network mask.
        """
        return int(self.network.netmask)


class DHCPServer(DatagramProtocol):
    """
    The server, to be run on port 67 of the gateway.

    @ivar lease: The lease now, or C{None}.
    """

    noisy = False
    transport: Any

    def __init__(
        self,
        plan: NetworkPlan,
        settings: LANSettings,
        metrics: Metrics,
        seconds: Callable[[], float],
        owned: Collection[int],
    ) -> None:
        """
        @param owned: The addresses that the LAN answers for now; it may change at any time.
        """
        self.lease: Lease | None = None
        self._plan = plan
        self._metrics = metrics
        self._seconds = seconds
        self._owned = owned
        self._leaseTime = settings.leaseTime
        self._offered = plan.guest
        self._values = _optionValues(plan, settings)

    @property
    def address(self) -> int:
        """
        The address that the guest has, or would be given.
        """
        return self._free() or self._offered

    def frameDatagramReceived(
        self, data: bytes, address: tuple[str, int], hardwareAddress: bytes
    ) -> None:
        """
        A datagram came. What is no request of a client is dropped.
        """
        if address[1] != CLIENT_PORT:
            return
        try:
            request = dhcp.parse(data)
        except DecodeError:
            self._count("malformed")
            return
        if request.op != dhcp.BOOTREQUEST or request.giaddr:
            return
        kind = request.kind
        self._count(dhcp.NAMES[kind])
        if kind == dhcp.BOOTP:
            self._booted(request)
        elif kind == dhcp.DISCOVER:
            free = self._free()
            if free:
                self._reply(request, dhcp.OFFER, free)
        elif kind == dhcp.REQUEST:
            self._requested(request)
        elif kind == dhcp.INFORM and request.ciaddr:
            self._inform(request)
        elif self._isForUs(request):
            if kind == dhcp.RELEASE and self.lease and request.ciaddr == self.lease.address:
                self.lease = None
            elif kind == dhcp.DECLINE:
                self._declined(request)

    # -- what clients say

    def _requested(self, request: dhcp.Message) -> None:
        """
        REQUEST, whose four meanings differ in what it names (RFC 2131 section 4.3.2).
        """
        if not self._isForUs(request):
            return  # SELECTING: it took the offer of another server
        free = self._free()
        wanted = request.address(dhcp.REQUESTED_ADDRESS)
        if wanted is None:
            wanted = request.ciaddr or free  # RENEWING, REBINDING
        if not free or wanted != free:
            self._refuse(request)
            return
        self._give(request, free, self._seconds() + self._leaseTime)
        self._reply(request, dhcp.ACK, free)

    def _give(self, request: dhcp.Message, address: int, expires: float) -> None:
        """
        The guest has the address now.
        """
        name = request.options.get(dhcp.HOST_NAME, b"").rstrip(b"\0")[:255]
        self.lease = Lease(
            address, request.hardwareAddress, name.decode("utf-8", "replace"), expires
        )

    def _booted(self, request: dhcp.Message) -> None:
        """
        A client of BOOTP asks for its address. One that names another server is not answered
        (RFC 951 section 7.3).
        """
        free = self._free()
        if not free or request.serverName:
            return
        if not request.ciaddr:
            self._give(request, free, math.inf)
        made = dhcp.Message(
            dhcp.BOOTREPLY,
            request.xid,
            0,
            request.flags,
            request.ciaddr,
            0 if request.ciaddr else free,
            self._plan.gateway,
            0,
            request.hardwareAddress,
            {code: self._values[code] for code in _BOOTP if code in self._values},
            request.cookie,
        )
        self._count("bootreply")
        self._sendTo(request, dhcp.buildBOOTP(made), free)

    def _declined(self, request: dhcp.Message) -> None:
        """
        Somebody else in the guest's LAN has the address.
        """
        if request.address(dhcp.REQUESTED_ADDRESS) != self._offered:
            return
        self.lease = None
        self._offered = self._following()

    def _free(self) -> int:
        """
        The address to give; 0 if the LAN itself has them all.
        """
        if self._offered in self._owned:
            self._offered = self._following()
        return 0 if self._offered in self._owned else self._offered

    def _following(self) -> int:
        """
        The next address that is not the LAN's own, if there is one.
        """
        first, last = int(self._plan.network[1]), int(self._plan.network[-2])
        address = self._offered
        for _ in range(len(self._owned) + 1):
            address = address + 1 if address < last else first
            if address not in self._owned:
                break
        return address

    def _isForUs(self, request: dhcp.Message) -> bool:
        """
        Whether a message names this server, or none.
        """
        named = request.address(dhcp.SERVER_IDENTIFIER)
        return named is None or named == self._plan.gateway

    # -- answers

    def _reply(self, request: dhcp.Message, kind: int, address: int) -> None:
        options = {
            dhcp.MESSAGE_TYPE: bytes((kind,)),
            dhcp.SERVER_IDENTIFIER: self._plan.gateway.to_bytes(4, "big"),
            **{code: self._values[code] for code in _ALWAYS},
            dhcp.LEASE_TIME: self._leaseTime.to_bytes(4, "big"),
            dhcp.RENEWAL_TIME: (self._leaseTime // 2).to_bytes(4, "big"),
            dhcp.REBINDING_TIME: (self._leaseTime * 7 // 8).to_bytes(4, "big"),
            **_identity(request),
            **self._wanted(request),
        }
        data = self._message(request, address, options)
        self._count(dhcp.NAMES[kind])
        known = request.ciaddr if kind == dhcp.ACK else 0
        self._sendTo(request._replace(ciaddr=known), data, address)

    def _sendTo(self, request: dhcp.Message, data: bytes, address: int) -> None:
        """
        Send an answer to where the client has its address already, or else to everybody and to
        the client.
        """
        if request.ciaddr:
            self._send(data, request.ciaddr, request.hardwareAddress)
            return
        self._send(data, LIMITED_BROADCAST, BROADCAST_MAC)
        if request.hardwareAddress != BROADCAST_MAC:
            self._send(data, address, request.hardwareAddress)

    def _inform(self, request: dhcp.Message) -> None:
        """
        A client that has an address wants to know the rest (RFC 2131 section 4.3.5).
        """
        options = {
            dhcp.MESSAGE_TYPE: bytes((dhcp.ACK,)),
            dhcp.SERVER_IDENTIFIER: self._plan.gateway.to_bytes(4, "big"),
            **{code: self._values[code] for code in _ALWAYS},
            **_identity(request),
            **self._wanted(request),
        }
        self._count(dhcp.NAMES[dhcp.ACK])
        self._send(self._message(request, 0, options), request.ciaddr, request.hardwareAddress)

    def _refuse(self, request: dhcp.Message) -> None:
        """
        The client believes in an address that it does not have here.
        """
        options = {
            dhcp.MESSAGE_TYPE: bytes((dhcp.NAK,)),
            dhcp.SERVER_IDENTIFIER: self._plan.gateway.to_bytes(4, "big"),
            **_identity(request),
            dhcp.MESSAGE: b"this address is not yours here",
        }
        self._count(dhcp.NAMES[dhcp.NAK])
        message = self._message(request._replace(ciaddr=0), 0, options)
        self._send(message, LIMITED_BROADCAST, BROADCAST_MAC)

    def _wanted(self, request: dhcp.Message) -> dict[int, bytes]:
        """
        The options that a client asks for, in its order, as far as there is something to say.
        """
        asked = request.options.get(dhcp.PARAMETER_LIST)
        codes = _UNASKED if asked is None else asked
        return {code: self._values[code] for code in codes if code in self._values}

    def _message(self, request: dhcp.Message, address: int, options: dict[int, bytes]) -> bytes:
        most = request.number(dhcp.MAX_MESSAGE_SIZE) or 0
        made = dhcp.Message(
            dhcp.BOOTREPLY,
            request.xid,
            0,
            request.flags,
            request.ciaddr if options[dhcp.MESSAGE_TYPE][0] == dhcp.ACK else 0,
            address,
            0 if options[dhcp.MESSAGE_TYPE][0] == dhcp.NAK else self._plan.gateway,
            0,
            request.hardwareAddress,
            options,
        )
        return dhcp.build(made, max(dhcp.DEFAULT_SIZE, min(most, self._plan.mtu) - 28))

    def _send(self, data: bytes, address: int, hardwareAddress: bytes) -> None:
        self.transport.writeTo(data, address, CLIENT_PORT, hardwareAddress)

    def _count(self, message: str) -> None:
        self._metrics.counter(rows.DHCP, message).inc()


def _identity(request: dhcp.Message) -> dict[int, bytes]:
    """
    What a client calls itself, which every answer repeats as it came (RFC 6842 section 3).
    """
    named = request.options.get(dhcp.CLIENT_IDENTIFIER)
    return {} if named is None else {dhcp.CLIENT_IDENTIFIER: named}


def _optionValues(plan: NetworkPlan, settings: LANSettings) -> dict[int, bytes]:
    """
    Everything that the server can tell, by option.
    """
    gateway = plan.gateway.to_bytes(4, "big")
    values = {
        dhcp.SUBNET_MASK: plan.mask.to_bytes(4, "big"),
        dhcp.ROUTER: gateway,
        dhcp.DNS_SERVERS: gateway,
        dhcp.INTERFACE_MTU: plan.mtu.to_bytes(2, "big"),
        dhcp.BROADCAST_ADDRESS: plan.broadcast.to_bytes(4, "big"),
    }
    if settings.hostName:
        values[dhcp.HOST_NAME] = settings.hostName.encode("ascii")
    if settings.dhcpDomain:
        values[dhcp.DOMAIN_NAME] = settings.dhcpDomain.encode("ascii")
    if settings.ntpServers:
        values[dhcp.NTP_SERVERS] = dhcp.addresses(settings.ntpServers)
    if settings.searchDomains:
        values[dhcp.DOMAIN_SEARCH] = dhcp.searchList(settings.searchDomains)
    if settings.routes:
        # Clients that take these ignore the router option (RFC 3442).
        values[dhcp.CLASSLESS_ROUTES] = dhcp.routes((*settings.routes, (0, 0, plan.gateway)))
    return values
