# -*- test-case-name: aero.lan.nat.test.test_udp -*-
"""
UDP out of a guest's LAN.

A I{flow} is a guest's address and port and a remote address and port that exchange datagrams. A
I{binding} is a socket of this machine; by default all flows of one guest port share one
(endpoint-independent mapping, RFC 4787 section 4.1), so that peers who are told of each other
by a third can talk. Who may send to it is a setting (section 5): by default those that the
guest has written to.

Flows end when they are silent for a while, when the remote refuses, or when the longest silent
one has to make room; a binding ends with its last flow. Whatever goes wrong with a datagram
concerns that datagram and its flow, never the tunnel.

This is not the relay's C{UDPBinding}: that one needs neither refusals, which a guest with a
real IP stack is told as ICMP errors, nor an account for each flow.
"""

from __future__ import annotations

import errno
import socket
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from aero.metrics import lan as rows
from aero.net.errorqueue import SocketError, shownOffender
from aero.policy.forwards import ForwardMap
from aero.stack.commands import RefuseUDP, SendUDP
from aero.stack.events import UDPReceived
from aero.wire.icmpv4 import FRAGMENTATION_NEEDED, MAX_QUOTE, PROHIBITED
from aero.wire.ipv4 import addressNumber, addressText

from .outside import resolveForward
from .udpsocket import Address, OpenSocket, OutsideSocket

if TYPE_CHECKING:
    from ..lan import LAN

#: Datagrams that wait while the name in a forward is looked up.
_WAITING: Final = 16
#: Bytes of all that waits so, of one guest.
_WAITING_BYTES: Final = 262_144

#: Bytes of the headers of a datagram.
_HEADERS: Final = 28
#: No path has a smaller MTU (RFC 791 section 3.2).
_LEAST_MTU: Final = 68

#: The port of DNS, whose questions leave from a new port each.
_DNS_PORT: Final = 53
#: Seconds that a flow to that port lives: ports below 1024 may have less than others (RFC 4787
#: section 4.3, REQ-5 a).
_DNS_IDLE: Final = 30.0

#: Bytes of a datagram that an ICMP error about it quotes.
_QUOTED: Final = MAX_QUOTE - _HEADERS

#: Guest's address and port, destination and port, as the guest sees them.
Key = tuple[int, int, int, int]


class _Flow:
    """
    One flow.

    @ivar remote: Where its datagrams go; C{None} while that is being found out.
    @ivar size: Bytes of the last datagram of the guest.
    @ivar start: The start of that datagram, which errors quote.
    """

    __slots__ = (
        "began",
        "binding",
        "key",
        "last",
        "lookup",
        "received",
        "remote",
        "sent",
        "size",
        "start",
        "waiting",
    )

    def __init__(self, key: Key, now: float) -> None:
        self.key = key
        self.began = self.last = now
        self.sent = self.received = self.size = 0
        self.remote: Address | None = None
        self.binding: _Binding | None = None
        self.start = b""
        self.waiting: list[tuple[bytes, bool]] = []
        self.lookup: Deferred[None] | None = None


class _Binding:
    """
    One socket and the flows that share it.
    """

    def __init__(self, nat: UDPNat, guest: tuple[int, int], name: object) -> None:
        self.guest = guest
        self.name = name
        self.flows: dict[Address, _Flow] = {}
        self.socket: OutsideSocket | None = None
        self._nat = nat

    def datagramReceived(self, data: bytes, address: Address) -> None:
        """
        See L{DatagramOwner}.
        """
        self._nat.remoteDatagramReceived(self, data, address)

    def datagramRefused(self, address: Address, error: SocketError) -> None:
        """
        See L{DatagramOwner}.
        """
        flow = self.flows.get(address)
        if flow is not None:
            self._nat.datagramRefused(flow, error)

    def hides(self, flow: _Flow) -> bool:
        """
        Whether a flow goes to a forward's target, about which the guest must not learn.
        """
        return flow.remote != (addressText(flow.key[2]), flow.key[3])


class UDPNat:
    """
    The UDP of one guest with the outside.
    """

    def __init__(
        self,
        lan: LAN,
        *,
        forwards: ForwardMap,
        preserved: range,
        openSocket: OpenSocket,
    ) -> None:
        """
        @param preserved: Guest ports that keep their number where it is free.
        """
        settings = lan.settings
        self._lan = lan
        self.forwards = forwards
        self._preserved = preserved
        self._openSocket = openSocket
        self._maxFlows = settings.maxFlows
        self._idle = settings.flowIdle
        self._evictIdle = settings.evictIdle
        self._shared = settings.udpMapping == "endpoint-independent"
        self._filtering = settings.udpFiltering
        #: In the order they were last used.
        self._flows: OrderedDict[Key, _Flow] = OrderedDict()
        #: Those of them that are about DNS, in the same order.
        self._brief: OrderedDict[Key, _Flow] = OrderedDict()
        self._bindings: dict[object, _Binding] = {}
        self._timer: IDelayedCall | None = None
        self._waitingBytes = 0
        metrics = lan.metrics
        self._active = metrics.gauge(rows.L2_UDP_ACTIVE)
        self._sockets = metrics.gauge(rows.UDP_SOCKETS)
        self._share = lan.commons.sockets.share(lan.key)
        self._failed = metrics.counter(rows.L2_UDP_SEND_FAILED)
        self._limited = metrics.counter(rows.L2_UDP_FLOW_LIMIT)
        self._evicted = metrics.counter(rows.UDP_EVICTED)
        self._filtered = metrics.counter(rows.UDP_FILTERED)
        self._up = metrics.counter(rows.BYTES, "udp", "up")
        self._down = metrics.counter(rows.BYTES, "udp", "down")

    def __len__(self) -> int:
        """
        How many flows there are.
        """
        return len(self._flows)

    @property
    def sockets(self) -> int:
        """
        How many sockets there are.
        """
        return len(self._bindings)

    # -- from the guest

    def datagramReceived(self, event: UDPReceived) -> None:
        """
        The guest sent a datagram to the outside.
        """
        key = event[:4]
        flow = self._flows.get(key)
        now = self._lan.clock.seconds()
        if flow is None:
            flow = self._open(key, len(event.data), now)
            if flow is None:
                return
        self._used(flow, now)
        flow.size = len(event.data)
        flow.start = event.data if len(event.data) <= _QUOTED else event.data[:_QUOTED]
        if flow.remote is None:
            if len(flow.waiting) < _WAITING and self._waitingBytes < _WAITING_BYTES:
                flow.waiting.append((event.data, event.dontFragment))
                self._waitingBytes += len(event.data)
            else:
                self._failed.inc()
            return
        self._send(flow, event.data, event.dontFragment, event.ttl)

    # -- from the outside

    def remoteDatagramReceived(self, binding: _Binding, data: bytes, address: Address) -> None:
        """
        A datagram came to one of the sockets.
        """
        flow = binding.flows.get(address)
        lan = self._lan
        if flow is not None:
            self._used(flow, lan.clock.seconds())
            flow.received += len(data)
            source, sourcePort = flow.key[2], flow.key[3]
        else:
            if not self._letsIn(binding, address):
                self._filtered.inc()
                return
            source, sourcePort = addressNumber(address[0]), address[1]
        self._down.inc(len(data))
        lan.driver.apply(SendUDP(source, sourcePort, *binding.guest, data))

    def datagramRefused(self, flow: _Flow, error: SocketError) -> None:
        """
        An ICMP message about a datagram of a flow came: the guest gets the same message, from
        the router that sent it (RFC 5508 section 4.2, REQ-4). The flow goes on (RFC 4787 section
        9, REQ-12), unless the remote itself says that nothing listens there.
        """
        self._failed.inc()
        if error.error == errno.EMSGSIZE:
            self._tooLong(flow, error.mtu)
            return
        if error.error == errno.ECONNREFUSED:
            self._close(flow, "refused")
        self._tell(flow, error)

    def sendFailed(self, flow: _Flow, error: int, mtu: int) -> None:
        """
        The system did not take a datagram of a flow: the flow ends, the guest is told. Of one that
        is too long, the guest is told how long it may be, and the flow goes on.

        @param error: The C{errno}.
        @param mtu: Bytes of the longest packet, where that is C{EMSGSIZE} and it is known.
        """
        self._failed.inc()
        if error == errno.EMSGSIZE:
            self._tooLong(flow, mtu)
            return
        self._close(flow, "refused" if error == errno.ECONNREFUSED else "unreachable")
        self._tell(flow, SocketError(error))

    def _tooLong(self, flow: _Flow, mtu: int) -> None:
        if _LEAST_MTU <= mtu < flow.size + _HEADERS:
            told = RefuseUDP(*flow.key, flow.size, FRAGMENTATION_NEEDED, mtu, start=flow.start)
            self._lan.driver.apply(told)

    def _tell(self, flow: _Flow, error: SocketError) -> None:
        """
        Tell the guest about an error, with its own datagram quoted.
        """
        told = error.told()
        if told is None:
            return
        size, start, binding = flow.size, flow.start, flow.binding
        if error.data and not start.startswith(error.data):
            # The message is about an earlier datagram, of which it quotes this.
            size, start = len(error.data), error.data
        teller = 0
        if binding is not None and not binding.hides(flow):
            teller = shownOffender(error.offender, flow.key[2], self._lan.isOnLink)
        self._lan.driver.apply(
            RefuseUDP(*flow.key, size, told[1], kind=told[0], teller=teller, start=start)
        )

    # -- the end

    def stop(self, reason: str) -> None:
        """
        Close everything.
        """
        for flow in list(self._flows.values()):
            self._close(flow, reason)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    # -- private

    def _letsIn(self, binding: _Binding, address: Address) -> bool:
        """
        Whether a stranger may send to a guest's port.
        """
        if self._filtering == "address-and-port" or not binding.flows or ":" in address[0]:
            return False
        if binding.name != binding.guest:
            return False  # a forward's, or one that belongs to a single flow
        if self._filtering == "address":
            return any(host == address[0] for host, _ in binding.flows)
        return not self._lan.egress.rules.addressRefusal(addressNumber(address[0]), port=0)

    def _open(self, key: Key, size: int, now: float) -> _Flow | None:
        """
        Begin a flow, if it may be.
        """
        lan = self._lan
        address, port = key[2], key[3]
        forward = self.forwards.find(address, port)
        egress = lan.egress
        refusal = egress.udpRefusal(address, port, now, forward is not None)
        if refusal := refusal or egress.flowRefusal(now):
            lan.refused("udp", refusal, address, port)
            lan.driver.apply(RefuseUDP(*key, size, PROHIBITED))
            return None
        if 0 < self._maxFlows <= len(self._flows) and not self._makeRoom(now):
            self._limited.inc()
            return None
        flow = _Flow(key, now)
        if forward is None:
            if not self._bind(flow, (addressText(address), port)):
                return None
        else:
            host, hostPort = forward
            flow.lookup = resolveForward(lan.resolver, host).addCallbacks(
                lambda found: self._resolved(found, flow, hostPort),
                lambda failure: self._unresolved(flow, failure),
            )
            if not flow.lookup.called:
                self._keep(flow)
            elif flow.remote is None:
                return None
            return flow
        self._keep(flow)
        return flow

    def _keep(self, flow: _Flow) -> None:
        if flow.key not in self._flows:
            self._flows[flow.key] = flow
            if flow.key[3] == _DNS_PORT:
                self._brief[flow.key] = flow
            self._active.inc()
            self._watch()

    def _used(self, flow: _Flow, now: float) -> None:
        """
        A datagram of a flow passes.
        """
        flow.last = now
        self._flows.move_to_end(flow.key)
        if flow.key in self._brief:
            self._brief.move_to_end(flow.key)

    def _resolved(self, host: str, flow: _Flow, port: int) -> None:
        """
        The host of a forward is found.
        """
        if self._bind(flow, (host, port)):
            self._keep(flow)
            for data, dontFragment in self._unwait(flow):
                if flow.key in self._flows:
                    self._send(flow, data, dontFragment)
        elif flow.key in self._flows:
            self._close(flow, "error")

    def _unresolved(self, flow: _Flow, failure: Failure) -> None:
        """
        It is not.
        """
        if failure.check(CancelledError):
            return
        if self._flows.get(flow.key) is flow:
            self._close(flow, "lookup")
        self._lan.dnsFailed.inc()

    def _makeRoom(self, now: float) -> bool:
        """
        End the longest silent flow, if it has been silent for long enough.
        """
        oldest = next(iter(self._flows.values()))
        if now - oldest.last < self._evictIdle:
            return False
        self._evicted.inc()
        self._close(oldest, "evicted")
        return True

    def _bind(self, flow: _Flow, remote: Address) -> bool:
        """
        Give a flow its socket, a new one if it must be.
        """
        guest = flow.key[0], flow.key[1]
        forwarded = remote[1] != flow.key[3] or remote[0] != addressText(flow.key[2])
        # What a forward hides must not be seen from the same port.
        name: object = guest if self._shared and not forwarded else flow.key
        binding = self._bindings.get(name)
        if binding is None:
            binding = _Binding(self, guest, name)
            family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
            made = self._makeSocket(family, guest)
            if made is None and self._flows and self._makeRoom(self._lan.clock.seconds()):
                made = self._makeSocket(family, guest)
            if made is None:
                self._failed.inc()
                return False
            binding.socket = OutsideSocket(self._lan.reactor, made, binding)
            self._bindings[name] = binding
            self._sockets.inc()
        flow.binding = binding
        flow.remote = remote
        binding.flows[remote] = flow
        return True

    def _makeSocket(self, family: int, guest: tuple[int, int]) -> Any:
        """
        Open a socket, with the guest's own port number if that can be had.
        """
        wanted = guest[1]
        if not self._share.take(1):
            self._lan.metrics.counter(rows.REFUSALS, "udp", "sockets").inc()
            return None
        for port in (wanted, 0) if wanted in self._preserved else (0,):
            try:
                return self._openSocket(family, port)
            except OSError:
                continue
        self._share.give(1)
        return None

    def _unwait(self, flow: _Flow) -> list[tuple[bytes, bool]]:
        """
        Take what waits for the host of a forward.
        """
        waiting, flow.waiting = flow.waiting, []
        self._waitingBytes -= sum(len(data) for data, _ in waiting)
        return waiting

    def _send(self, flow: _Flow, data: bytes, dontFragment: bool, ttl: int = 0) -> None:
        assert flow.binding is not None and flow.binding.socket is not None
        assert flow.remote is not None
        outside = flow.binding.socket
        hops = 0 if flow.binding.hides(flow) else ttl
        error = outside.send(data, flow.remote, dontFragment, hops)
        if error:
            self.sendFailed(flow, error, outside.mtu)
        else:
            flow.sent += len(data)
            self._up.inc(len(data))

    def _close(self, flow: _Flow, reason: str) -> None:
        """
        End a flow, and its binding with the last one.
        """
        if self._flows.pop(flow.key, None) is None:
            return
        self._brief.pop(flow.key, None)
        self._active.dec()
        self._unwait(flow)
        if flow.lookup is not None and not flow.lookup.called:
            flow.lookup.cancel()
        binding = flow.binding
        if binding is not None and flow.remote is not None:
            if binding.flows.get(flow.remote) is flow:
                del binding.flows[flow.remote]
            if not binding.flows:
                self._bindings.pop(binding.name, None)
                self._sockets.dec()
                self._share.give(1)
                if binding.socket is not None:
                    binding.socket.close()
        self._lan.flowEnded(
            "udp",
            flow.key[2],
            flow.key[3],
            sent=flow.sent,
            received=flow.received,
            began=flow.began,
            reason=reason,
        )

    def _watch(self) -> None:
        """
        Look again when the longest silent flow may have been silent for too long.
        """
        if not self._idle or not self._flows:
            return
        now = self._lan.clock.seconds()
        due = [next(iter(flows.values())).last + idle for flows, idle in self._queues() if flows]
        wait = max(0.0, min(due) - now)
        if self._timer is not None:
            if self._timer.getTime() <= now + wait:
                return
            self._timer.cancel()
        self._timer = self._lan.clock.callLater(wait, self._expire)

    def _queues(self) -> tuple[tuple[OrderedDict[Key, _Flow], float], ...]:
        """
        Flows in the order of their use, and how long each may be silent.
        """
        return (self._brief, min(_DNS_IDLE, self._idle)), (self._flows, self._idle)

    def _expire(self) -> None:
        self._timer = None
        now = self._lan.clock.seconds()
        for flows, idle in self._queues():
            while flows:
                oldest = next(iter(flows.values()))
                if oldest.last > now - idle:
                    break
                self._close(oldest, "idle")
        self._watch()
