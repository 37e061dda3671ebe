# -*- test-case-name: aero.stack.tcp.test.test_departure -*-
"""
What one connection may use, and how long it waits.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TCPConfig:
    """
    The settings of TCP connections; sizes in bytes, times in seconds.

    @ivar mss: The most payload of a segment in either direction without options: MTU less 40.
    @ivar receiveBuffer: Data held for the outside, whether in order or not.
    @ivar sendBuffer: Data held for the guest, above which the outside should wait.
    @ivar maxEarly: Data accepted before the outside accepts the connection.
    @ivar hold: How long a SYN waits for the outside before it is answered on credit.
    @ivar burst: Segments sent at once at least; a NIC in an emulator has room for eight.
    @ivar lossTolerance: The share of what is on its way that may be lost without the congestion
        window getting smaller; 0 is what RFC 5681 asks for. The tunnel to a guest loses nothing
        and has a congestion control of its own, so that a frame lost now and then says little,
        while a ring that overruns loses more at once.
    @ivar delayedAck: How long an acknowledgment may wait for company (RFC 9293 section 3.8.6.3).
    @ivar minRTO: The shortest retransmission timeout.
    @ivar maxRTO: The longest (RFC 6298 section 2.5: not below 60 seconds).
    @ivar userTimeout: How long data may stay unacknowledged before the guest is given up.
    @ivar handshakeTimeout: How long the guest may take to complete a handshake once its SYN was
        answered, or to answer ours. RFC 9293 section 3.8.3 gives a SYN three minutes, which is for
        paths across the world; the guest is one tunnel away, and half-open connections are what a
        SYN flood leaves behind.
    @ivar keepaliveIdle: Silence after which the guest is probed; 0 is never.
    @ivar keepaliveInterval: Between probes.
    @ivar keepaliveProbes: Unanswered probes after which it is given up.
    @ivar finWait2: Silence after which a guest that has our FIN and sent none is probed, likewise.
    @ivar timeWait: How long a finished connection answers late segments.
    @ivar windowScale: Whether windows may be scaled (RFC 7323).
    @ivar timestamps: Whether timestamps may be used (RFC 7323).
    @ivar sack: Whether selective acknowledgments may be used (RFC 2018).
    """

    mss: int = 1460
    receiveBuffer: int = 262_144
    sendBuffer: int = 262_144
    maxEarly: int = 262_144
    hold: float = 0.25
    burst: int = 8
    lossTolerance: float = 1 / 8
    delayedAck: float = 0.04
    minRTO: float = 0.2
    maxRTO: float = 60.0
    userTimeout: float = 120.0
    handshakeTimeout: float = 30.0
    keepaliveIdle: float = 300.0
    keepaliveInterval: float = 30.0
    keepaliveProbes: int = 4
    finWait2: float = 60.0
    timeWait: float = 2.0
    windowScale: bool = True
    timestamps: bool = True
    sack: bool = True
