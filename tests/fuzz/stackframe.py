# -*- test-case-name: tests.test_fuzz -*-
"""
Frames of a guest, into a whole stack: each has its length in two bytes in front of it.
"""

from __future__ import annotations

from typing import Final, Iterator

from aero.stack.commands import AcceptTCP, RejectTCP, SendTCP, SendUDP
from aero.stack.config import StackConfig
from aero.stack.events import (
    EchoRequested,
    TCPConnectRequested,
    TCPDataReceived,
    TCPEstablished,
    UDPReceived,
)
from aero.stack.stack import Stack
from aero.wire.checksum import checksum, pseudoHeader

from .explore import main

_CONFIG: Final = StackConfig(
    maxConnections=8,
    maxNeighbours=4,
    maxReassemblies=4,
    maxReassemblyBytes=20_000,
    maxQueuedBytes=20_000,
)

#: Frames taken of one input, and frames that a call returns.
_MOST: Final = 60
_LIMIT: Final = 16


# Nothing raises, as the frames are and with their checksums put right. What waits stays within
# its bounds, every frame that comes out fits the MTU, and once the guest is silent the stack
# comes to rest.
def check(data: bytes) -> None:
    frames = list(_frames(data))[:_MOST]
    _feed(frames)
    _feed([_right(frame) for frame in frames])


def _feed(frames: list[bytes]) -> None:
    stack = Stack(_CONFIG, secret=b"fuzz", now=0.0, randomness=bytes)
    now = 0.0
    for frame in frames:
        now += 0.01
        stack.frameReceived(frame, now)
        _turn(stack, now)
    for _ in range(2_000):
        when = stack.nextTimeout()
        if when is None:
            break
        now = max(now, when)
        stack.handleTimeout(now)
        _turn(stack, now)
    else:
        raise AssertionError("the stack does not come to rest")
    assert not stack.connections
    assert not len(stack._reassembly) and not stack._reassembly.size
    assert not stack._neighbours.waitingBytes


def _turn(stack: Stack, now: float) -> None:
    """
    Be the outside and the tunnel.
    """
    while (event := stack.nextEvent()) is not None:
        if isinstance(event, TCPConnectRequested):
            if event.destinationPort & 1:
                stack.apply(RejectTCP(event.connection, "prohibited"), now)
            else:
                stack.apply(AcceptTCP(event.connection), now)
        elif isinstance(event, TCPEstablished):
            stack.apply(SendTCP(event.connection, b"banner" * 500), now)
        elif isinstance(event, TCPDataReceived):
            assert event.data
        elif isinstance(event, UDPReceived):
            back = SendUDP(
                event.destination, event.destinationPort, event.source, event.sourcePort, event.data
            )
            stack.apply(back, now)
        elif isinstance(event, EchoRequested):
            assert event.ttl >= 1
    assert stack.queuedBytes <= _CONFIG.maxQueuedBytes
    assert stack._reassembly.size <= _CONFIG.maxReassemblyBytes
    assert len(stack._reassembly) <= _CONFIG.maxReassemblies
    assert len(stack.stations) <= _CONFIG.maxNeighbours
    assert stack.connections <= _CONFIG.maxConnections
    for _ in range(200):
        frames = stack.framesToSend(now, _LIMIT)
        assert len(frames) <= _LIMIT
        for frame in frames:
            assert 14 < len(frame) <= 14 + _CONFIG.mtu
        if not frames:
            return
    raise AssertionError("frames do not end")


def _frames(data: bytes) -> Iterator[bytes]:
    place = 0
    while place + 2 <= len(data):
        size = data[place] << 8 | data[place + 1]
        yield data[place + 2 : place + 2 + size]
        place += 2 + size


def _right(frame: bytes) -> bytes:
    """
    The same frame with right checksums, as far as its headers can be found.
    """
    if len(frame) < 34 or frame[12:14] != b"\x08\x00":
        return frame
    changed = bytearray(frame)
    changed[14] = 0x40 | changed[14] & 15
    begin = 14 + (changed[14] & 15) * 4
    end = min(14 + (changed[16] << 8 | changed[17]), len(changed))
    if not 34 <= begin <= end:
        return bytes(changed)
    protocol, size = changed[23], end - begin
    place = {1: 2, 6: 16, 17: 6}.get(protocol)
    whole = not changed[20] & 0x3F and not changed[21]
    if whole and place is not None and size >= place + 2:
        initial = 0
        if protocol != 1:
            source = int.from_bytes(changed[26:30], "big")
            destination = int.from_bytes(changed[30:34], "big")
            initial = pseudoHeader(source, destination, protocol, size)
        if protocol == 17:
            changed[begin + 4 : begin + 6] = size.to_bytes(2, "big")
        changed[begin + place : begin + place + 2] = b"\0\0"
        total = checksum(bytes(changed[begin:end]), initial)
        changed[begin + place : begin + place + 2] = total.to_bytes(2, "big")
    changed[24:26] = b"\0\0"
    changed[24:26] = checksum(bytes(changed[14:begin])).to_bytes(2, "big")
    return bytes(changed)


if __name__ == "__main__":
    main(check)
