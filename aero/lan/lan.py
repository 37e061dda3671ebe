# -*- test-case-name: aero.net.lan.test -*-
"""
One guest's LAN: a stack at work, what listens in it, and the ways out of it.

    lan.listenTCP(80, factory)            a Twisted factory on the gateway's address
    lan.listenUDP(69, protocol)           a datagram protocol there
    lan.connectTCP(8000, factory)         a connection to the guest

What the guest sends goes to whatever listens at its destination. What nothing takes and is for
an address of the LAN is refused; the rest goes through L{LAN.nat} for TCP, L{UDPNat} for UDP and
L{Pings} for ICMP, each of which asks L{LAN.egress} first.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from aero.metrics import Metrics
from aero.metrics import lan as rows
from aero.net.commons import Commons
from aero.net.resolver import Resolver
from aero.policy.guestegress import GuestEgress
from aero.policy.quota import addressKey
from aero.settings.lan import LANSettings
from aero.stack.commands import ConnectTCP, RefuseUDP, RejectTCP, SendUDP
from aero.stack.events import (
    EchoRequested,
    Event,
    ICMPErrorReceived,
    TCPClosed,
    TCPConnectRequested,
    TCPDataReceived,
    TCPEstablished,
    TCPReadClosed,
    TCPWriteReady,
    UDPReceived,
)
from aero.wire.icmpv4 import HOST_UNREACHABLE, PORT_UNREACHABLE
from aero.wire.ipv4 import LIMITED_BROADCAST, addressNumber, addressText

from .buffers import Buffers
from .connecting import CONNECT_TIMEOUT, Connecting
from .driver import StackDriver
from .nat.outside import Outside
from .nat.tcp import NATFactory
from .nat.udp import UDPNat
from .peer import GuestPeer
from .ports import LANPort, LANUDPPort, PortTable
from .services import dnsserver
from .services.dhcp import CLIENT_PORT, SERVER_PORT, DHCPServer, Lease, NetworkPlan
from .services.dns import GuestDNS
from .services.ping import Pings
from .transport import GuestConnection


class LAN:
    """
    One guest's LAN. L{aero.lan.factory.LANFactory} makes it.

    @ivar peer: Whose it is.
    @ivar plan: Its addresses.
    @ivar settings: The settings.
    @ivar clock: The clock, as C{IReactorTime}.
    @ivar reactor: The reactor, for sockets.
    @ivar metrics: The metrics of the process.
    @ivar driver: What runs the stack.
    @ivar egress: The policy for this guest.
    @ivar outside: The way out for TCP.
    @ivar resolver: Looks up the hosts of forwards.
    @ivar nat: Makes the protocols of connections to the outside. It may be replaced.
    @ivar dhcp: The DHCP server.
    @ivar dns: The DNS.
    @ivar commons: What all clients share, where the guest's is known as C{key}.
    @ivar stopped: Whether it is over.
    """

    _logger = Logger()

    nat: NATFactory
    dhcp: DHCPServer
    dns: GuestDNS
    udp: UDPNat
    pings: Pings

    def __init__(
        self,
        *,
        peer: GuestPeer,
        plan: NetworkPlan,
        settings: LANSettings,
        reactor: Any,
        metrics: Metrics,
        egress: GuestEgress,
        outside: Outside,
        resolver: Resolver,
        log: Any,
        makeDriver: Callable[[Callable[[Event], None]], StackDriver],
        stopped: Callable[[LAN], None],
        commons: Commons | None = None,
    ) -> None:
        """
        @param log: The L{aero.lan.flowlog.FlowLog}.
        @param makeDriver: Gets what events go to.
        @param stopped: Called once when it is over.
        """
        self.peer = peer
        self.plan = plan
        self.settings = settings
        self.reactor = self.clock = reactor
        self.metrics = metrics
        self.egress = egress
        self.outside = outside
        self.resolver = resolver
        self.commons = Commons(reactor, metrics) if commons is None else commons
        self.key = addressKey(peer.address)
        self.stopped = False
        self._published: dict[str, int] = {}
        self.pauseBytes = settings.sendBuffer * 2_048
        self.activeTCP = metrics.gauge(rows.L2_TCP_ACTIVE)
        self.connectFailed = metrics.counter(rows.L2_TCP_CONNECT_FAILED)
        self.dialSeconds = metrics.histogram(rows.DIAL_SECONDS)
        self.dnsFailed = metrics.counter(rows.L2_DNS_FAILED)
        self._denied = metrics.counter(rows.L2_POLICY_DENIED)
        self._tcpUp = metrics.counter(rows.BYTES, "tcp", "up")
        self._tcpDown = metrics.counter(rows.BYTES, "tcp", "down")
        self._log = log
        self._stopped = stopped
        self._tcpPorts = PortTable()
        self._udpPorts = PortTable()
        self._connections: dict[int, GuestConnection] = {}
        #: Protocols whose connection is not established yet, by number.
        self._opening: dict[int, Any] = {}
        self._connecting: dict[int, Connecting] = {}
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            TCPConnectRequested: self._connectRequested,
            TCPEstablished: self._established,
            TCPDataReceived: self._dataReceived,
            TCPReadClosed: self._readClosed,
            TCPWriteReady: self._writeReady,
            TCPClosed: self._closed,
            UDPReceived: self._datagramReceived,
            EchoRequested: self._echoRequested,
            ICMPErrorReceived: self._errorReceived,
        }
        self.driver = makeDriver(lambda event: self._handlers[type(event)](event))

    # -- the tunnel

    def framesReceived(self, frames: Any) -> None:
        """
        The guest sent frames; see L{StackDriver.framesReceived}.
        """
        self.driver.framesReceived(frames)

    def pauseProducing(self) -> None:
        """
        The tunnel is full.
        """
        self.driver.pauseProducing()

    def resumeProducing(self) -> None:
        """
        The tunnel has room.
        """
        self.driver.resumeProducing()

    def stop(self, reason: str = "tunnel-ended", deliver: bool = True) -> None:
        """
        The guest is gone: close every socket and end every protocol.

        @param reason: A word for the log.
        @param deliver: Whether targets get the bytes that the guest was told have arrived.
        """
        if self.stopped:
            return
        self.stopped = True
        for event in iter(self.driver.stack.nextEvent, None):
            if deliver and isinstance(event, (TCPDataReceived, TCPReadClosed)):
                self._handlers[type(event)](event)
        for connection in list(self._connections.values()):
            connection.tunnelEnded(deliver)
        for connecting in list(self._connecting.values()):
            connecting.fail(error.ConnectionLost("the guest is gone"))
        self.udp.stop(reason)
        self.pings.stop()
        self._tcpPorts.stopAll()
        self._udpPorts.stopAll()
        self.dns.stop()
        self.driver.stop()
        for connection in self._connections.values():
            connection.forgotten()
        self._connections.clear()
        self._opening.clear()
        self.publish()
        self._stopped(self)

    # -- what runs in the LAN

    @property
    def lease(self) -> Lease | None:
        """
        What DHCP gave the guest, while it lasts.
        """
        lease = self.dhcp.lease
        return lease if lease is not None and self.clock.seconds() < lease.expires else None

    @property
    def guestAddress(self) -> str:
        """
        The address of the guest.
        """
        return addressText(self.dhcp.address)

    def listenTCP(self, port: int, factory: Any, address: str | None = None) -> LANPort:
        """
        Take the guest's connections to a port.

        @param port: The port; 0 for one that is free.
        @param factory: A Twisted factory.
        @param address: The gateway by default. Any other address will do, in the LAN or not:
            the guest's connections to it come here.
        @raise CannotListenError: Something listens there already.
        """
        made = LANPort(self._tcpPorts, self._address(address), port, factory)
        made.startListening()
        return made

    def listenUDP(self, port: int, protocol: Any, address: str | None = None) -> LANUDPPort:
        """
        Take the guest's datagrams to a port, and broadcasts too where the address is the
        gateway's.

        @param protocol: A Twisted C{DatagramProtocol}.
        @raise CannotListenError: Something listens there already.
        """
        made = LANUDPPort(self._udpPorts, self.driver, self._address(address), port, protocol)
        made.startListening()
        return made

    def connectTCP(
        self, port: int, factory: Any, *, timeout: float = CONNECT_TIMEOUT, address: str = ""
    ) -> Deferred[Any]:
        """
        Connect to the guest.

        @param factory: A Twisted factory, as for a client endpoint.
        @param timeout: Seconds that the guest has to answer.
        @param address: An address in the LAN, if it is not the guest's.
        @return: Fires with the protocol after its C{connectionMade}; fails with a
            C{ConnectError}, C{ConnectionRefusedError} if the guest refuses; may be cancelled.
        """
        destination = addressNumber(address) if address else self.dhcp.address
        number = self.driver.stack.newConnection()
        connection = GuestConnection(
            self.driver,
            number,
            IPv4Address("TCP", addressText(self.plan.gateway), 0),
            IPv4Address("TCP", addressText(destination), port),
            self._forget,
            self.settings.tcpBufferBytes,
        )
        connecting = Connecting(connection, factory, clock=self.clock, abandon=self._abandon)
        if self.stopped:
            connecting.fail(error.ConnectError(string="the guest is gone"))
            return connecting.done
        self._connections[number] = connection
        self._connecting[number] = connecting
        connecting.start(timeout)
        self.driver.apply(ConnectTCP(number, self.plan.gateway, 0, destination, port))
        return connecting.done

    def _abandon(self, number: int) -> None:
        """
        Nobody waits for a connection to the guest any more.
        """
        self._connecting.pop(number, None)
        self._connections.pop(number, None)

    def _address(self, address: str | None) -> int:
        """
        The number of an address to listen at; one of the LAN is answered for from now on.
        """
        if address is None:
            return self.plan.gateway
        number = addressNumber(address)
        addresses = getattr(self.driver.stack, "addresses", None)
        if addresses is not None and addresses.onLink(number):
            addresses.owned.add(number)
        return number

    # -- accounts

    def publish(self) -> None:
        """
        Add what the stack has dropped since the last call to the metrics.
        """
        dropped = {**self.driver.stack.drops, "backlog": self.driver.lostFrames}
        for reason, count in dropped.items():
            if new := count - self._published.get(reason, 0):
                self.metrics.counter(rows.STACK_DROPS, reason).inc(new)
        self._published = dropped

    def refused(self, wanted: str, reason: str, address: int, port: int) -> None:
        """
        The policy refused something.
        """
        self._denied.inc()
        self.metrics.counter(rows.REFUSALS, wanted, reason).inc()
        self._log.refused(self.peer, wanted, address, port, reason=reason)

    def nameRefused(self, reason: str) -> None:
        """
        The policy refused a name, or what is behind it. Names are not logged.
        """
        self._denied.inc()
        self.metrics.counter(rows.REFUSALS, "dns", reason).inc()

    def flowEnded(
        self,
        protocol: str,
        address: int,
        port: int,
        *,
        sent: int,
        received: int,
        began: float,
        reason: str,
    ) -> None:
        """
        A connection or flow with the outside is over.
        """
        if protocol == "tcp":
            self._tcpUp.inc(sent)
            self._tcpDown.inc(received)
            self.metrics.counter(rows.TCP_ENDED, reason).inc()
        self._log.flowEnded(
            self.peer,
            protocol,
            address,
            port,
            sent=sent,
            received=received,
            began=began,
            reason=reason,
        )

    # -- TCP events

    def _connectRequested(self, event: TCPConnectRequested) -> None:
        number, destination, port, source, sourcePort = event
        factory, isNAT = self._factoryFor(destination, port)
        if isinstance(factory, str):
            self.driver.apply(RejectTCP(number, factory))
            return
        buffers = Buffers(self.commons.waiting, self.key, self.settings.tcpBufferBytes)
        if not buffers.reserve():
            self.refused("tcp", "memory", destination, port)
            return self.driver.apply(RejectTCP(number, "refused"))
        peer = IPv4Address("TCP", addressText(source), sourcePort)
        try:
            protocol = factory.buildProtocol(peer)
        except Exception:  # noqa: BLE001 - a user's factory may raise anything
            self._logger.failure("A factory in a guest's LAN failed")
            protocol = None
        if protocol is None:
            buffers.close()
            self.driver.apply(RejectTCP(number, "prohibited" if isNAT else "refused"))
            return
        connection = self._connections[number] = GuestConnection(
            self.driver,
            number,
            IPv4Address("TCP", addressText(destination), port),
            peer,
            self._forget,
            self.settings.tcpBufferBytes,
        )
        connection.useBuffers(buffers)
        if isNAT:
            connection.connect(protocol)
        else:
            self._opening[number] = protocol
            connection.accept()

    def _factoryFor(self, destination: int, port: int) -> tuple[Any, bool]:
        """
        What takes a connection, and whether it is NAT; a word if it is refused.
        """
        listening = self._tcpPorts.find(destination, port)
        if listening is not None:
            return listening.factory, False
        if self.outside.forwards.find(destination, port) is None:
            if destination in self.plan.owned:
                return "refused", False
            if self.isOnLink(destination):
                return "unreachable", False
            if port == dnsserver.PORT and self.egress.rules.bindsNames:
                # Whoever answers elsewhere does not know the rules about names.
                listening = self._tcpPorts.find(self.plan.gateway, port)
                return ("prohibited" if listening is None else listening.factory), False
        return self.nat, True

    def _established(self, event: TCPEstablished) -> None:
        number = event.connection
        connecting = self._connecting.pop(number, None)
        if connecting is not None:
            connecting.established()
        elif number in self._opening:
            self._connections[number].connect(self._opening.pop(number))

    def _dataReceived(self, event: TCPDataReceived) -> None:
        connection = self._connections.get(event.connection)
        if connection is not None:
            if event.connection in self._opening:
                connection.connect(self._opening.pop(event.connection))
            connection.dataReceived(event.data)

    def _readClosed(self, event: TCPReadClosed) -> None:
        connection = self._connections.get(event.connection)
        if connection is not None:
            if event.connection in self._opening:
                connection.connect(self._opening.pop(event.connection))
            connection.readClosed()

    def _writeReady(self, event: TCPWriteReady) -> None:
        connection = self._connections.get(event.connection)
        if connection is not None:
            connection.writeReady()

    def _closed(self, event: TCPClosed) -> None:
        number = event.connection
        connecting = self._connecting.pop(number, None)
        if connecting is not None:
            connecting.closed(event.reason)
            self._connections.pop(number, None)
            return
        if self._opening.pop(number, None) is not None:
            self._forget(number)
            return
        connection = self._connections.get(number)
        if connection is not None:
            connection.closed(event.reason)

    def _forget(self, number: int) -> None:
        connection = self._connections.pop(number, None)
        if connection is not None:
            connection.forgotten()

    # -- UDP and ICMP events

    def _datagramReceived(self, event: UDPReceived) -> None:
        source, sourcePort, destination, port, data, hardwareAddress, everybody = event[:7]
        plan = self.plan
        if sourcePort == CLIENT_PORT and port == SERVER_PORT:
            destination = plan.gateway  # whatever address such a client could think of
        elif source and not self.isOnLink(source):
            return  # all that such a guest can do is to get an address of here
        broadcast = destination in (LIMITED_BROADCAST, plan.broadcast)
        local = plan.gateway if broadcast else destination
        listening = self._udpPorts.find(local, port)
        if listening is not None:
            listening.datagramReceived(data, source, sourcePort, hardwareAddress)
            return
        if everybody or destination >> 28 == 0xE:
            return  # nobody else is there to hear it
        if self.udp.forwards.find(destination, port) is None:
            if self.isOnLink(destination):
                code = PORT_UNREACHABLE if destination in plan.owned else HOST_UNREACHABLE
                self.driver.apply(RefuseUDP(*event[:4], len(data), code))
                return
            if port == dnsserver.PORT and self.egress.rules.bindsNames:
                self._answerFor(event)
                return
        self.udp.datagramReceived(event)

    def _answerFor(self, event: UDPReceived) -> None:
        """
        Answer a question to a DNS server elsewhere, which does not know the rules about names.
        """
        source, sourcePort, destination, port, data = event[:5]
        answer = self.dns.ask(data, viaTCP=False)
        if answer is not None:
            answer.addCallback(
                lambda message: self.driver.apply(
                    SendUDP(destination, port, source, sourcePort, message)
                )
            )

    def _echoRequested(self, event: EchoRequested) -> None:
        if not self.isOnLink(event.destination):
            self.pings.echoRequested(event)

    def _errorReceived(self, event: ICMPErrorReceived) -> None:
        listening = self._udpPorts.find(event.source, event.sourcePort)
        if listening is not None and event.code == PORT_UNREACHABLE:
            listening.errorReceived()

    def isOnLink(self, address: int) -> bool:
        """
        Whether an address is one of the guest's network.
        """
        return address & self.plan.mask == int(self.plan.network.network_address)
