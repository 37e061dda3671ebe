# -*- test-case-name: aero.rtc.test.test_inbound -*-
"""
The receiving half of an SCTP association: sequence numbers, reassembly, and its bounds.

Transmission sequence numbers are kept unwrapped, as integers that only grow. What has arrived
beyond the first hole is a sorted list of ranges, which is also what a SACK reports. Fragments are
joined to runs as they come, so that no arrival costs a walk over those before it.

Bounds (relay.md section 8.4): a message is given up at its first byte over C{maxMessage}, all
that is held together stays within C{maxBuffer}, and what does not fit is not acknowledged. What
is held is counted with an overhead for each fragment, so that a flood of tiny ones is no way
around it.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from typing import Iterable, NamedTuple

from .guard import DATA, FORWARD_TSN, SACK

#: Ranges beyond the first hole that are remembered; a SACK of one packet has room for 280.
MAX_RANGES = 256
#: How far beyond the first hole data is taken, in sequence numbers.
MAX_AHEAD = 4_096
#: Streams in use at a time; a data channel is one, and a closed one leaves.
MAX_STREAMS = 1_024
#: What a fragment costs besides its bytes.
OVERHEAD = 128

_UNORDERED, _BEGINS, _ENDS = 0x04, 0x02, 0x01
_HEADER = struct.Struct("!LHHL")
_SACK = struct.Struct("!BBHLLHH")
_GAP = struct.Struct("!HH")
_TSN = struct.Struct("!L")
_SKIPPED = struct.Struct("!HH")

_MODULO = 2**32


class Message(NamedTuple):
    """
    A message that is complete and in order.

    @ivar stream: Its stream.
    @ivar protocol: Its payload protocol identifier (RFC 8831 section 8).
    @ivar payload: Its bytes.
    """

    stream: int
    protocol: int
    payload: bytes


class MessageTooLarge(Exception):
    """
    A message is longer than may be.

    @ivar stream: Its stream.
    @ivar size: Its bytes so far.
    """

    def __init__(self, stream: int, size: int) -> None:
        super().__init__(f"a message of {size} bytes and more")
        self.stream = stream
        self.size = size


class BufferExhausted(Exception):
    """
    What is held fills the buffer, and nothing that could arrive would empty it.
    """


class _Run:
    """
    Consecutive fragments of one message.
    """

    __slots__ = ("begins", "ends", "first", "last", "parts", "protocol", "sequence", "size")

    def __init__(self, tsn: int, flags: int, sequence: int, protocol: int, data: bytes) -> None:
        self.first = self.last = tsn
        self.parts = [data]
        self.size = len(data)
        self.begins = bool(flags & _BEGINS)
        self.ends = bool(flags & _ENDS)
        self.sequence = sequence
        self.protocol = protocol


class _Stream:
    """
    One stream: runs by where they begin and by what would continue them, for ordered and
    unordered messages apart, and whole ordered messages whose turn has not come.
    """

    __slots__ = ("ends", "next", "starts", "waiting")

    def __init__(self) -> None:
        self.next = 0
        self.starts: dict[tuple[int, int], _Run] = {}
        self.ends: dict[tuple[int, int], _Run] = {}
        self.waiting: dict[int, tuple[int, bytes, int]] = {}


class Inbound:
    """
    Takes DATA and FORWARD-TSN, gives messages and SACKs.

    @ivar cumulative: Up to where everything has arrived, unwrapped; -1 before the beginning.
    @ivar held: Bytes held, overhead included. Whoever keeps a message back adds to it.
    @ivar sackNeeded: Packets with data since the last SACK.
    @ivar sackNow: Whether it must not be delayed any longer.
    """

    def __init__(self, *, maxMessage: int, maxBuffer: int) -> None:
        self.maxMessage = maxMessage
        self.maxBuffer = maxBuffer
        self.held = 0
        self.sackNeeded = 0
        self.sackNow = False
        self.cumulative = -1
        self._ranges: list[list[int]] = []
        self._duplicates: list[int] = []
        self._streams: dict[int, _Stream] = {}

    @property
    def window(self) -> int:
        """
        Bytes that the peer may send.
        """
        return max(0, self.maxBuffer - self.held)

    def start(self, initialTSN: int) -> None:
        """
        The peer told its first sequence number.
        """
        self.cumulative = initialTSN + _MODULO - 1

    def hasReceived(self, tsn: int) -> bool:
        """
        Whether everything up to a sequence number has arrived.
        """
        return (self.cumulative - tsn) % _MODULO < _MODULO // 2

    def dataReceived(
        self, packet: bytes, start: int, end: int, flags: int, *, blocked: bool = False
    ) -> list[Message]:
        """
        Take one DATA chunk.

        @param packet: The packet, which L{aero.rtc.guard.splitPacket} has checked.
        @param start: Where the chunk's header begins.
        @param end: Where its user data ends.
        @param blocked: Whether messages are held back, so that a full buffer will empty.
        @return: The messages that are complete now.
        @raise MessageTooLarge: The association is to end.
        @raise BufferExhausted: The association is to end.
        """
        tsn, streamId, sequence, protocol = _HEADER.unpack_from(packet, start + 4)
        cumulative = self.cumulative
        ahead = (tsn - cumulative) % _MODULO
        if ahead == 0 or ahead >= _MODULO // 2:
            self._duplicate(tsn)
            return []
        whole = flags & (_BEGINS | _ENDS) == _BEGINS | _ENDS
        size = end - start - 16
        if size > self.maxMessage:
            raise MessageTooLarge(streamId, size)
        if self.held + size + OVERHEAD > self.maxBuffer and not (whole and ahead == 1):
            self.sackNow = True
            if ahead == 1 and not blocked:
                raise BufferExhausted("the receive buffer is full of unfinished messages")
            return []
        if blocked and self.held + size > self.maxBuffer:
            self.sackNow = True
            return []
        if ahead == 1 and not self._ranges:
            self.cumulative = cumulative + 1
        elif not self._insert(cumulative + ahead):
            return []
        stream = self._streams.get(streamId)
        if stream is None:
            if len(self._streams) >= MAX_STREAMS:
                raise BufferExhausted("too many streams are in use")
            stream = self._streams[streamId] = _Stream()
        data = packet[start + 16 : end]
        if whole:
            if flags & _UNORDERED:
                return [Message(streamId, protocol, data)]
            if sequence == stream.next:
                stream.next = (sequence + 1) % 65_536
                found = [Message(streamId, protocol, data)]
                if stream.waiting:
                    self._release(streamId, stream, found)
                return found
        run = _Run(cumulative + ahead, flags, sequence, protocol, data)
        self.held += size + OVERHEAD
        return self._join(streamId, stream, run, int(bool(flags & _UNORDERED)))

    def forwardReceived(self, packet: bytes, start: int, end: int) -> list[Message]:
        """
        Take one FORWARD-TSN chunk (RFC 3758 section 3.6): the peer has given up on something.

        @return: The messages that no longer wait for it.
        """
        (tsn,) = _TSN.unpack_from(packet, start + 4)
        self.sackNeeded += 1
        ahead = (tsn - self.cumulative) % _MODULO
        if ahead == 0 or ahead >= _MODULO // 2:
            self.sackNow = True
            return []
        self.cumulative += ahead
        self._advance()
        found: list[Message] = []
        for at in range(start + 8, end, 4):
            streamId, sequence = _SKIPPED.unpack_from(packet, at)
            stream = self._streams.get(streamId)
            following = (sequence + 1) % 65_536
            if stream is None:
                if len(self._streams) < MAX_STREAMS:
                    stream = self._streams[streamId] = _Stream()
                    stream.next = following
                continue
            if 0 < (following - stream.next) % 65_536 < 32_768:
                ahead = (following - stream.next) % 65_536
                behind = sorted((number - stream.next) % 65_536 for number in stream.waiting)
                for offset in behind:
                    if offset < ahead:
                        number = (stream.next + offset) % 65_536
                        self._deliver(streamId, stream, number, found)
                stream.next = following
                self._release(streamId, stream, found)
        for stream in self._streams.values():
            if stream.starts:
                self._prune(stream)
        return found

    def resetStream(self, streamId: int) -> None:
        """
        The peer begins a stream anew (RFC 6525).
        """
        stream = self._streams.pop(streamId, None)
        if stream is not None:
            for run in stream.starts.values():
                self.held -= run.size + OVERHEAD * len(run.parts)
            for _, _, cost in stream.waiting.values():
                self.held -= cost

    def encodeSACK(self) -> bytes:
        """
        The SACK chunk that tells where we are.
        """
        self.sackNeeded = 0
        self.sackNow = False
        cumulative = self.cumulative
        duplicates, self._duplicates = self._duplicates, []
        gaps = b"".join(
            _GAP.pack(first - cumulative, last - cumulative) for first, last in self._ranges
        )
        return (
            _SACK.pack(
                SACK,
                0,
                16 + len(gaps) + 4 * len(duplicates),
                cumulative % _MODULO,
                self.window,
                len(self._ranges),
                len(duplicates),
            )
            + gaps
            + b"".join(map(_TSN.pack, duplicates))
        )

    # -- sequence numbers

    def _duplicate(self, tsn: int) -> None:
        self.sackNow = True
        if len(self._duplicates) < 16:
            self._duplicates.append(tsn)

    def _insert(self, tsn: int) -> bool:
        """
        Note a number that arrived.

        @return: Whether it is new, and close enough to be taken.
        """
        self.sackNow = True
        if tsn == self.cumulative + 1:
            self.cumulative = tsn
            self._advance()
            return True
        if tsn > self.cumulative + MAX_AHEAD:
            return False
        ranges = self._ranges
        at = bisect_left(ranges, [tsn + 1])
        before = ranges[at - 1] if at else None
        if before is not None and before[1] >= tsn:
            self._duplicate(tsn % _MODULO)
            return False
        joinsBefore = before is not None and before[1] == tsn - 1
        joinsAfter = at < len(ranges) and ranges[at][0] == tsn + 1
        if joinsBefore and joinsAfter:
            ranges[at - 1][1] = ranges[at][1]
            del ranges[at]
        elif joinsBefore:
            ranges[at - 1][1] = tsn
        elif joinsAfter:
            ranges[at][0] = tsn
        elif len(ranges) >= MAX_RANGES:
            return False
        else:
            ranges.insert(at, [tsn, tsn])
        return True

    def _advance(self) -> None:
        """
        Go on over the ranges that no longer lie behind a hole.
        """
        ranges = self._ranges
        passed = 0
        for first, last in ranges:
            if first > self.cumulative + 1:
                break
            self.cumulative = max(self.cumulative, last)
            passed += 1
        del ranges[:passed]

    # -- reassembly

    def _join(self, streamId: int, stream: _Stream, run: _Run, unordered: int) -> list[Message]:
        if not run.begins:
            left = stream.ends.get((unordered, run.first))
            if left is not None and not left.ends:
                del stream.ends[unordered, run.first]
                left.parts += run.parts
                left.size += run.size
                left.last = run.last
                left.ends = run.ends
                run = left
        if not run.ends:
            right = stream.starts.get((unordered, run.last + 1))
            if right is not None and not right.begins:
                del stream.starts[unordered, right.first]
                run.parts += right.parts
                run.size += right.size
                run.last = right.last
                run.ends = right.ends
        if run.size > self.maxMessage:
            raise MessageTooLarge(streamId, run.size)
        stream.starts[unordered, run.first] = run
        stream.ends[unordered, run.last + 1] = run
        if not (run.begins and run.ends):
            return []
        del stream.starts[unordered, run.first]
        del stream.ends[unordered, run.last + 1]
        cost = run.size + OVERHEAD * len(run.parts)
        payload = b"".join(run.parts)
        found: list[Message] = []
        if unordered:
            self.held -= cost
            found.append(Message(streamId, run.protocol, payload))
        else:
            stream.waiting[run.sequence] = (run.protocol, payload, cost)
            self._release(streamId, stream, found)
        return found

    def _release(self, streamId: int, stream: _Stream, found: list[Message]) -> None:
        while stream.next in stream.waiting:
            self._deliver(streamId, stream, stream.next, found)
            stream.next = (stream.next + 1) % 65_536

    def _deliver(self, streamId: int, stream: _Stream, sequence: int, found: list[Message]) -> None:
        protocol, payload, cost = stream.waiting.pop(sequence)
        self.held -= cost
        found.append(Message(streamId, protocol, payload))

    def _prune(self, stream: _Stream) -> None:
        """
        Drop what lacks a fragment that will not come.
        """
        cumulative = self.cumulative
        dead = [
            (key, run)
            for key, run in stream.starts.items()
            if (run.first <= cumulative and not run.begins)
            or (run.last < cumulative and not run.ends)
        ]
        for key, run in dead:
            del stream.starts[key]
            del stream.ends[key[0], run.last + 1]
            self.held -= run.size + OVERHEAD * len(run.parts)


def encodeForward(tsn: int, streams: Iterable[tuple[int, int]]) -> bytes:
    """
    Make a FORWARD-TSN chunk.

    @param tsn: Up to where the peer is not to wait, unwrapped or not.
    @param streams: Streams and the last sequence number skipped in each, ordered ones only.
    """
    skipped = b"".join(_SKIPPED.pack(stream, sequence) for stream, sequence in streams)
    return struct.pack("!BBHL", FORWARD_TSN, 0, 8 + len(skipped), tsn % _MODULO) + skipped


def encodeData(
    tsn: int, stream: int, sequence: int, protocol: int, flags: int, payload: bytes
) -> bytes:
    """
    Make a DATA chunk, padded.

    @param tsn: Unwrapped or not.
    @param flags: 4 unordered, 2 the first fragment, 1 the last.
    """
    size = len(payload)
    header = _DATA.pack(DATA, flags, 16 + size, tsn % _MODULO, stream, sequence, protocol)
    return header + payload + _PADDING[size % 4]


_DATA = struct.Struct("!BBHLHHL")
_PADDING = (b"", bytes(3), bytes(2), bytes(1))
