# -*- test-case-name: aero.stack.test.test_stack -*-
"""
The shape of one LAN, and what it may use.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .tcp.config import TCPConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class StackConfig:
    """
    The settings of one stack. Addresses are unsigned 32-bit numbers, sizes bytes, times seconds.

    @ivar gateway: The address of the gateway, which is what runs in the LAN.
    @ivar prefixLength: Bits of the network in addresses of the LAN.
    @ivar hardwareAddress: The MAC address of the gateway.
    @ivar owned: Further addresses of the LAN that are answered for (ARP, ping).
    @ivar mtu: The most bytes of an IPv4 packet to the guest.
    @ivar maxConnections: TCP connections at once; 0 refuses every one.
    @ivar maxNeighbours: Addresses of the LAN whose MAC address is remembered.
    @ivar maxReassemblies: IPv4 packets put together at once (RFC 791 section 3.2).
    @ivar maxReassemblyBytes: Bytes of fragments held in all.
    @ivar reassemblyTimeout: How long fragments wait for the rest (RFC 1122 section 3.3.2).
    @ivar maxQueuedBytes: Frames without a flow control of their own (all but TCP) that wait for
        the guest; the newest is dropped beyond it.
    @ivar icmpErrorsPerSecond: ICMP errors sent to the guest at most (RFC 1812 section 4.3.2.8).
    @ivar tcp: What each connection may use. Its C{mss} is cut to what the MTU allows.
    """

    gateway: int = 0x0A000202
    prefixLength: int = 24
    hardwareAddress: bytes = b"\x02\x00\x00\x00\x00\x01"
    owned: tuple[int, ...] = ()
    mtu: int = 1500
    maxConnections: int = 1024
    maxNeighbours: int = 64
    maxReassemblies: int = 64
    maxReassemblyBytes: int = 1_048_576
    reassemblyTimeout: float = 30.0
    maxQueuedBytes: int = 1_048_576
    icmpErrorsPerSecond: float = 100.0
    tcp: TCPConfig = field(default_factory=TCPConfig)
