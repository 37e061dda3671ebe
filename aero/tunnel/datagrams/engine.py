# -*- test-case-name: aero.tunnel.datagrams.test.test_engine -*-
"""
Datagrams of one client: from its messages to the network and back (relay.md section 11).

L{UDPSession} does not know what carries the messages: a WebSocket, a data channel, a test.
What it needs of the carrier is L{DatagramSink}.

Theory of operation
===================

A guest sends thousands of datagrams to few destinations, and the header of a message names
guest port and destination with always the same bytes. The session therefore remembers what it
found out about a header (L{Flow}): that it can be decoded, that the policy permits the
destination, which binding it leaves from. For all further datagrams of that flow one
dictionary look-up stands for all of it; limits and allow-lists are applied to every datagram.
On the way back the header for a remote is remembered by its binding.

Towards a client that is slow, messages wait in a queue that is bounded in bytes. When it is
full the oldest makes room: what carries datagrams is about now, and a resolver asks again.

Whatever is not passed on is dropped without a word to the client, which the protocol has no
message for, and is counted.
"""

from __future__ import annotations

import socket
from collections import OrderedDict, deque
from typing import Any, Final, Protocol, Sequence

from twisted.internet.interfaces import IDelayedCall

from aero.metrics import Metrics
from aero.metrics import relay as rows
from aero.net.udp.binding import EVICTED, FILTERED, Address, BindingProtocol, UDPBinding
from aero.net.udp.flow import Flow
from aero.net.udp.ports import DatagramPorts, Received
from aero.policy.destinations import DestinationPolicy
from aero.settings.udp import UDPSettings
from aero.wire import udprelay

from .sessions import RelaySession

#: Headers that are remembered, in either direction; beyond that all are forgotten.
_MAX_FLOWS: Final = 4_096
_MAX_HEADERS: Final = 1_024

#: Bytes that go to a carrier that has room again before it is asked whether it still has.
_PORTION: Final = 65_536

_V2: Final = b"\xa2\x02"
_IPV6: Final = b"\x06"


class DatagramSink(Protocol):
    """
    What carries messages to the client.

    It calls C{pauseProducing} and C{resumeProducing} of the session when it is full and when
    it has room again.
    """

    def sendDatagrams(self, messages: Sequence[bytes]) -> None:
        """
        Send messages, one for each datagram. More may come than it has room for: what one
        read of the network gave is sent at once.
        """


class UDPSession:
    """
    The datagrams of one client.

    To see or change them where they meet the network, give it another L{bindingProtocol}.

    @cvar bindingProtocol: What runs on the sockets, a C{DatagramProtocol}.
    @ivar session: The relay session that it is part of.
    @ivar isOpen: Whether it still passes anything on.
    @ivar queuedBytes: Bytes that wait for the client.
    """

    bindingProtocol: type[BindingProtocol] = BindingProtocol

    def __init__(
        self,
        sink: DatagramSink,
        session: RelaySession,
        *,
        settings: UDPSettings,
        policy: DestinationPolicy | None,
        ports: DatagramPorts,
        clock: Any,
        metrics: Metrics,
        prefix: str,
        eagerV2: bool = False,
    ) -> None:
        """
        @param policy: C{None} permits nothing.
        @param ports: Opens the sockets.
        @param clock: The reactor.
        @param prefix: What the events are counted under: C{udp_ws} or C{webrtc_udp}.
        @param eagerV2: Whether a message in version 2 shows that the client speaks it even
            when it is dropped.
        """
        self.session = session
        self.isOpen = True
        self.queuedBytes = 0
        self._sink = sink
        self._settings = settings
        self._policy = policy
        self._ports = ports
        self._clock = clock
        self._seconds = clock.seconds
        self._eagerV2 = eagerV2
        self._speaksV2 = False
        self._maxPayload = settings.maxPayload
        self._outbound = session.outbound
        self._evictions = 0
        self._flows: dict[bytes, Flow] = {}
        self._bindings: OrderedDict[int, UDPBinding] = OrderedDict()
        self._latest: UDPBinding | None = None
        self._sweeping: IDelayedCall | None = None
        self._queue: deque[bytes] = deque()
        self._maxQueue = settings.sendQueue
        self._waiting = ports.memoryOf(session.address)
        self._sockets = ports.socketsOf(session.address)
        self._paused = False
        events = metrics.events(rows.EVENTS)
        self._events = events
        self._counts = events.counts
        self._in = f"{prefix}_datagrams_in"
        self._out = f"{prefix}_datagrams_out"
        self._drops = f"{prefix}_dropped"
        self._sendErrors = metrics.counter(rows.SEND_ERRORS)
        self._bytesUp = metrics.counter(rows.BYTES, "up")
        self._bytesDown = metrics.counter(rows.BYTES, "down")
        self._bindingsGauge = metrics.gauge(rows.BINDINGS)
        self._queueGauge = metrics.gauge(rows.QUEUE_BYTES)
        self._bindingsClosed = {
            reason: metrics.counter(rows.BINDINGS_CLOSED, reason)
            for reason in ("idle", "evicted", "session")
        }

    # -- from the client

    def messageReceived(self, message: bytes) -> None:
        """
        The client sent a binary message.
        """
        self.messagesReceived((message,))

    def messagesReceived(self, messages: Sequence[bytes]) -> None:
        """
        The client sent binary messages; the carrier has them all from one read.
        """
        if not self.isOpen:
            return
        self._counts[self._in] += len(messages)
        now = self._seconds()
        flows, maxPayload, outbound = self._flows, self._maxPayload, self._outbound
        size = 0
        for message in messages:
            if message[:2] == _V2:
                header = message[: 24 if message[2:3] == _IPV6 else 12]
            else:
                header = message[:8]
            payload = message[len(header) :]
            flow = flows.get(header)
            if flow is None:
                flow = self._newFlow(header, payload)
                if flow is None:
                    continue
            elif len(payload) > maxPayload:
                self._dropped("oversized")
                continue
            if outbound is not None and not self._permitted(flow, len(payload), now):
                if not self.isOpen:
                    break  # that was one too many
                continue
            if flow.isV2 and not self._speaksV2:
                self._heardV2()
            binding = flow.binding
            if binding is None or not binding.isOpen:
                binding = self._bind(flow, now)
                if binding is None:
                    continue
            elif binding is not self._latest:
                self._used(binding)
            if binding.send(payload, flow.address, flow.isIPv6, now):
                size += len(payload)
            else:
                self._sendErrors.inc()
        if size:
            self._bytesUp.inc(size)

    def _newFlow(self, header: bytes, payload: bytes) -> Flow | None:
        """
        Look at a header that was not seen before.

        @return: C{None} where the message is dropped.
        """
        fields = udprelay.parseHeader(header)
        if fields is None:
            self._dropped("malformed")
            return None
        if len(payload) > self._maxPayload:
            self._dropped("oversized")
            return None
        version, guestPort, remote, port = fields
        remote = udprelay.canonical(remote)
        if version == 2 and self._eagerV2 and not self._speaksV2:
            self._heardV2()
        if self._policy is None or self._policy.refusal(remote, port):
            self._dropped("denied_by_policy")
            return None
        if len(self._flows) >= _MAX_FLOWS:
            self._flows.clear()
        flow = self._flows[header] = Flow(version, guestPort, remote, port)
        return flow

    def _permitted(self, flow: Flow, size: int, now: float) -> bool:
        """
        Ask the limits of the session.
        """
        limits = self._outbound
        assert limits is not None
        refusal = limits.refusal(flow.remote, flow.port, size, now)
        if limits.evictions != self._evictions:
            self._events.inc("udp_per_dest_bucket_evictions", limits.evictions - self._evictions)
            self._evictions = limits.evictions
        if not refusal:
            return True
        if refusal == "quota":
            self._events.inc("quota_exceeded")
            self._events.inc("too_many_destinations")
            self._dropped("quota_exceeded")
        else:
            self._events.inc("rate_limited")
            self._dropped("rate_limited")
        self.session.violated(now)
        return False

    def _heardV2(self) -> None:
        """
        The client has shown that it speaks version 2.
        """
        self._speaksV2 = True
        if self._settings.preferV2:
            for binding in self._bindings.values():
                binding.headers.clear()

    # -- bindings

    @property
    def bindings(self) -> Sequence[int]:
        """
        The guest ports that have a binding, the longest unused first.
        """
        return tuple(self._bindings)

    def _bind(self, flow: Flow, now: float) -> UDPBinding | None:
        """
        The binding of a flow's guest port, made where there is none.
        """
        binding = self._bindings.get(flow.guestPort)
        if binding is None:
            if len(self._bindings) >= self._settings.maxBindings:
                self._close(next(iter(self._bindings)), "evicted")
            binding = self._newBinding(flow.guestPort)
            if not binding.open(flow.isIPv6):
                self._dropped("too_many_bindings")
                return None
            self._bindings[flow.guestPort] = binding
            self._bindingsGauge.inc()
            if self._sweeping is None:
                self._sweepLater()
        self._used(binding)
        flow.binding = binding
        return binding

    def _newBinding(self, guestPort: int) -> UDPBinding:
        settings = self._settings
        return UDPBinding(
            self,
            guestPort,
            ports=self._ports,
            seconds=self._seconds,
            inboundFilter=settings.inboundFilter,
            remoteIdle=settings.remoteIdle,
            maxRemotes=settings.maxRemotes,
            maxPayload=settings.maxPayload,
            maxPacket=settings.readBuffer,
            protocol=self.bindingProtocol,
            share=self._sockets,
            evicted=lambda: self._close(guestPort, "evicted"),
        )

    def _used(self, binding: UDPBinding) -> None:
        """
        Keep the bindings in the order of their use.
        """
        self._latest = binding
        self._bindings.move_to_end(binding.guestPort)

    def _close(self, guestPort: int, reason: str) -> None:
        binding = self._bindings.pop(guestPort)
        if binding is self._latest:
            self._latest = None
        binding.close()
        self._bindingsGauge.dec()
        self._bindingsClosed[reason].inc()

    def _sweepLater(self) -> None:
        wait = max(self._settings.bindingIdle / 2, 0.1)
        self._sweeping = self._clock.callLater(wait, self._sweep)

    def _sweep(self) -> None:
        """
        Close bindings that nothing used for too long.
        """
        self._sweeping = None
        oldest = self._seconds() - self._settings.bindingIdle
        for guestPort, binding in list(self._bindings.items()):
            if binding.lastUsed >= oldest:
                break
            self._close(guestPort, "idle")
        if self._bindings:
            self._sweepLater()

    # -- from the network

    def datagramsReceived(self, binding: UDPBinding, datagrams: Sequence[Received]) -> None:
        """
        See L{aero.net.udp.binding.DatagramReceiver}.
        """
        if not self.isOpen:
            return
        if binding is not self._latest and binding.guestPort in self._bindings:
            self._used(binding)
        headers = binding.headers
        messages: list[bytes] = []
        for payload, address in datagrams:
            header = headers.get(address)
            if header is None:
                header = self._newHeader(binding, address)
            messages.append(header + payload)
        if self.session.towardsClient is not None:
            messages = self._withinRate(messages)
            if not self.isOpen:
                return
        if messages:
            self._send(messages)

    def datagramsCounted(self, reason: str, count: int) -> None:
        """
        See L{aero.net.udp.binding.DatagramReceiver}.
        """
        if reason == FILTERED:
            self._events.inc("udp_remote_allowlist_overflow_drops_total", count)
        elif reason == EVICTED:
            self._events.inc("udp_remote_allowlist_evictions_total", count)
        else:
            self._dropped("oversized", count)

    def _newHeader(self, binding: UDPBinding, address: Address) -> bytes:
        """
        What a message from a remote to the guest port of a binding begins with.
        """
        host, port = address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        version = 2 if self._speaksV2 and self._settings.preferV2 else 1
        remote = socket.inet_pton(family, host)
        header = udprelay.encode(version, binding.guestPort, remote, port, b"")
        if len(binding.headers) >= _MAX_HEADERS:
            binding.headers.clear()
        binding.headers[address] = header
        return header

    def _withinRate(self, messages: list[bytes]) -> list[bytes]:
        """
        Leave out what is over the rate towards the client.
        """
        bucket = self.session.towardsClient
        assert bucket is not None
        now = self._seconds()
        kept = []
        for message in messages:
            if bucket.take(len(message), now):
                kept.append(message)
                continue
            self._events.inc("rate_limited")
            self._dropped("rate_limited")
            self.session.violated(now)
            if not self.isOpen:
                break
        return kept

    # -- to the client

    def pauseProducing(self) -> None:
        """
        The carrier is full: messages wait here.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        The carrier has room: send what waits.
        """
        self._paused = False
        queue = self._queue
        while queue and not self._paused and self.isOpen:
            messages: list[bytes] = []
            size = 0
            while queue and size < _PORTION:
                messages.append(queue.popleft())
                size += len(messages[-1])
            self.queuedBytes -= size
            self._waiting.resize(self.queuedBytes)
            self._queueGauge.dec(size)
            self._deliver(messages)

    def _send(self, messages: list[bytes]) -> None:
        """
        Send messages to the client, or let them wait.
        """
        longest = self._maxQueue
        for message in messages:
            if len(message) > longest:
                messages = self._fitting(messages)
                break
        if not self._paused:
            if messages:
                self._deliver(messages)
            return
        queue, before = self._queue, self.queuedBytes
        size, dropped = before, 0
        for message in messages:
            queue.append(message)
            size += len(message)
        while queue and (size > longest or not self._waiting.resize(size)):
            size -= len(queue.popleft())
            dropped += 1
        self.queuedBytes = size
        self._queueGauge.inc(size - before)
        if dropped:
            self._dropped("backpressure", dropped)

    def _fitting(self, messages: list[bytes]) -> list[bytes]:
        """
        Without those that no queue of this length could ever hold.
        """
        kept = [message for message in messages if len(message) <= self._maxQueue]
        self._dropped("backpressure", len(messages) - len(kept))
        return kept

    def _deliver(self, messages: list[bytes]) -> None:
        self._counts[self._out] += len(messages)
        self._bytesDown.inc(sum(map(len, messages)))
        self._sink.sendDatagrams(messages)

    # -- the end

    def close(self) -> None:
        """
        Close all sockets and forget what waits. The relay session is its owner's to release.
        """
        if not self.isOpen:
            return
        self.isOpen = False
        for guestPort in list(self._bindings):
            self._close(guestPort, "session")
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        self._queue.clear()
        self._waiting.close()
        self._queueGauge.dec(self.queuedBytes)
        self.queuedBytes = 0
        self._flows.clear()

    def _dropped(self, reason: str, count: int = 1) -> None:
        """
        Count what was not passed on.
        """
        self._events.inc(self._drops, count)
        self._events.inc(f"{self._drops}_{reason}", count)
