# -*- test-case-name: aero.stack.test.test_ethernet -*-
"""
Frames in: who handles which type.
"""

from __future__ import annotations

from typing import Callable, Protocol

from aero.wire.ethernet import HEADER


class FrameReceiver(Protocol):
    """
    What is registered for a type of frames.
    """

    def frameReceived(self, frame: bytes, now: float) -> None:
        """
        @param frame: At least a header; its source is one station, and not the gateway.
        """


class Ethernet:
    """
    Takes frames of the guest (IEEE 802.3 section 3.1.1) and hands them on by their type.

    Frames for other stations are handed on as well: a guest that was restored from a snapshot
    may know another gateway by its MAC address. What is done with them is decided above.

    @ivar types: The receivers by the two bytes of the type; for everybody to change.
    """

    def __init__(self, hardwareAddress: bytes, drop: Callable[[str], None]) -> None:
        self.types: dict[bytes, FrameReceiver] = {}
        self._hardwareAddress = hardwareAddress
        self._drop = drop

    def frameReceived(self, frame: bytes, now: float) -> None:
        """
        A frame of the guest, without its check sequence.
        """
        if len(frame) < HEADER:
            self._drop("frameShort")
            return
        # No station sends from a group address, and what comes from ours is an echo of it.
        if frame[6] & 1 or frame[6:12] == self._hardwareAddress:
            self._drop("frameSource")
            return
        receiver = self.types.get(frame[12:14])
        if receiver is None:
            self._drop("frameType")
            return
        receiver.frameReceived(frame, now)
