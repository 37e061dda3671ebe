# -*- test-case-name: aero.stack.tcp.test.test_parts -*-
"""
What the two sides of a connection agree on with the options of their SYN.
"""

from __future__ import annotations

from aero.wire import tcp

from .config import TCPConfig

#: What a side that says nothing takes (RFC 9293 section 3.7.1).
DEFAULT_MSS = 536

#: A guest that asks for less than this gets this all the same: smaller segments would cost more
#: work than they carry. Every IPv4 host takes packets of 576 bytes.
MIN_MSS = 88

#: The largest payload that fits an IPv4 packet.
MAX_MSS = 65_535 - 40

#: Bytes of the timestamp option with its padding.
TIMESTAMP_BYTES = 12


class Agreement:
    """
    The options that are in force.

    @ivar mss: The most payload of a segment we send, whose options are subtracted already
        (RFC 6691).
    @ivar offer: The MSS we announce.
    @ivar sendShift: How far the guest's windows are shifted; 0 without scaling.
    @ivar receiveShift: How far ours are.
    @ivar scale: Whether windows are scaled.
    @ivar timestamps: Whether segments carry timestamps.
    @ivar sack: Whether selective acknowledgments may be sent.
    """

    __slots__ = ("mss", "offer", "receiveShift", "sack", "scale", "sendShift", "timestamps")

    def __init__(self, config: TCPConfig, offer: int) -> None:
        """
        What we want, before the guest has said what it wants.

        @param offer: The MSS to announce.
        """
        self.offer = offer
        self.mss = min(DEFAULT_MSS, offer)
        self.scale = config.windowScale
        self.timestamps = config.timestamps
        self.sack = config.sack
        self.sendShift = 0
        self.receiveShift = shiftFor(config.receiveBuffer) if config.windowScale else 0

    def synReceived(self, options: tcp.Options) -> None:
        """
        Keep what the guest's SYN has as well (RFC 7323 sections 2.2 and 3.2, RFC 2018
        section 2).
        """
        mss = DEFAULT_MSS if options.mss is None else options.mss
        self.mss = min(max(mss, MIN_MSS), self.offer)
        if not self.scale or options.shift is None:
            self.scale = False
            self.receiveShift = 0
        else:
            self.sendShift = options.shift
        self.sack = self.sack and options.sackPermitted
        self.timestamps = self.timestamps and options.timestamp is not None
        if self.timestamps:
            self.mss -= TIMESTAMP_BYTES

    def options(self, stamp: tuple[int, int]) -> bytes:
        """
        The options of our SYN.

        @param stamp: Our timestamp and the echo of the guest's.
        """
        return tcp.buildOptions(
            tcp.Options(
                mss=self.offer,
                shift=self.receiveShift if self.scale else None,
                sackPermitted=self.sack,
                timestamp=stamp if self.timestamps else None,
            )
        )


def offeredMSS(config: TCPConfig, mtu: int) -> int:
    """
    The MSS that our SYN announces.
    """
    return max(MIN_MSS, min(config.mss, mtu - 40, MAX_MSS))


def shiftFor(size: int) -> int:
    """
    The shift with which a window of so many bytes can be told.
    """
    shift = 0
    while shift < tcp.MAX_SHIFT and 0xFFFF << shift < size:
        shift += 1
    return shift
