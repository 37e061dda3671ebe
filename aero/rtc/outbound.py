# -*- test-case-name: aero.rtc.test.test_outbound -*-
"""
The sending half of an SCTP association: queues, packets, congestion, giving up.

Messages wait whole in the queue of their stream and become fragments only when a packet has room
for them. So a full queue can still drop its oldest message, nothing is numbered that is never
sent, and packets are full: small messages share one, and on a reliable stream a message may begin
in what another one left. Streams take turns, message by message.

Congestion control is that of RFC 9260 section 7, with the slow start of RFC 3465 and the growth
of CUBIC (RFC 9438) after a loss: the way to a browser has buffers that are short and often full,
and a window that grows by one packet each round trip would stay small for minutes. Streams without
retransmission (C{maxRetransmits: 0}) give a lost message up and tell the peer with FORWARD-TSN
(RFC 3758); what was given up leaves the flight at once, so a burst that was lost stalls nothing
longer than one retransmission timeout. The peer's advertised window holds.

Times are seconds of any clock; sequence numbers are unwrapped.
"""

from __future__ import annotations

import struct
from collections import deque

from .inbound import encodeData, encodeForward

#: Bytes of one SCTP packet: with DTLS, UDP and IPv6 headers 1,280, which every path carries.
MAX_PACKET = 1_184
#: Bytes of it that chunks may fill.
MAX_CHUNK_BYTES = MAX_PACKET - 12
#: Payload of the largest fragment.
MAX_FRAGMENT = MAX_CHUNK_BYTES - 16
#: No fragment smaller than this is cut off a message only to fill a packet.
MIN_FRAGMENT = 128

INITIAL_WINDOW = 10 * MAX_FRAGMENT
MIN_WINDOW = 4 * MAX_FRAGMENT
#: What is left of the window after a loss, and how fast it grows back (RFC 9438 section 5).
BETA, CUBIC = 0.7, 0.4
_RENO = 3 * (1 - BETA) / (1 + BETA)
MAX_WINDOW = 2_097_152
#: Chunks in flight, which bounds what one SACK may have to look at.
MAX_IN_FLIGHT = 4_096

#: The peer may delay its SACKs by 200 ms (RFC 9260 section 6.2).
MIN_RTO = 0.4
INITIAL_RTO = 1.0
MAX_RTO = 30.0
#: Timeouts in a row after which the peer is gone (RFC 9260 section 16).
MAX_TIMEOUTS = 10

_MODULO = 2**32
_SACK = struct.Struct("!LLHH")
_GAP = struct.Struct("!HH")
_UNORDERED, _BEGINS, _ENDS = 0x04, 0x02, 0x01


class SendStream:
    """
    One stream's queue.

    @ivar number: The stream identifier.
    @ivar ordered: Whether messages keep their order.
    @ivar reliable: Whether they are sent again when they are lost.
    @ivar queuedBytes: Bytes of the messages that wait.
    """

    __slots__ = ("messages", "number", "offset", "ordered", "queuedBytes", "reliable", "sequence")

    def __init__(self, number: int, *, ordered: bool, reliable: bool) -> None:
        self.number = number
        self.ordered = ordered
        self.reliable = reliable
        self.queuedBytes = 0
        self.messages: deque[tuple[int, bytes]] = deque()
        self.offset = 0
        self.sequence = 0

    def dropOldest(self) -> int:
        """
        Drop the oldest message that has not begun to be sent.

        @return: Its bytes; 0 where there is none.
        """
        if not self.offset:
            if not self.messages:
                return 0
            _, payload = self.messages.popleft()
        else:
            if len(self.messages) < 2:
                return 0
            begun = self.messages.popleft()
            _, payload = self.messages.popleft()
            self.messages.appendleft(begun)
        self.queuedBytes -= len(payload)
        return len(payload)


class _Sent:
    """
    One fragment that was sent.
    """

    __slots__ = (
        "abandoned", "acked", "begins", "chunk", "ends", "inFlight", "misses", "resend",
        "sentAt", "sequence", "size", "stream", "times", "tsn",
    )  # fmt: skip

    def __init__(
        self, tsn: int, stream: SendStream, sequence: int, flags: int, chunk: bytes, size: int
    ) -> None:
        self.tsn = tsn
        self.stream = stream
        self.sequence = sequence
        self.begins = bool(flags & _BEGINS)
        self.ends = bool(flags & _ENDS)
        self.chunk = chunk
        self.size = size
        self.sentAt = 0.0
        self.times = self.misses = 0
        self.acked = self.abandoned = self.resend = self.inFlight = False


class Outbound:
    """
    Queues messages, makes the chunks of packets, and listens to SACKs.

    @ivar peerWindow: Bytes that the peer said it takes.
    @ivar flight: Bytes sent and neither acknowledged nor given up.
    @ivar window: The congestion window in bytes.
    @ivar abandoned: Messages given up so far.
    @ivar retransmitted: Fragments sent again so far.
    @ivar dead: Whether the peer has not answered for too long.
    """

    def __init__(self, initialTSN: int) -> None:
        self.peerWindow = 0
        self.flight = 0
        self.window = INITIAL_WINDOW
        self.abandoned = 0
        self.retransmitted = 0
        self.dead = False
        self._threshold = MAX_WINDOW
        self._next = initialTSN + _MODULO
        self._acked = self._next - 1
        self._forward = self._acked
        self._forwarded: dict[int, tuple[int, int]] = {}
        self._forwardDue = False
        self._sent: deque[_Sent] = deque()
        self._resend: deque[_Sent] = deque()
        self._active: deque[SendStream] = deque()
        self._partial: SendStream | None = None
        self._recovery = -1
        self._limited = False
        self._largest = 0.0
        self._epoch = 0.0
        self._smoothed = self._variance = 0.0
        self._timeout = INITIAL_RTO
        self._timeouts = 0
        self._expires: float | None = None

    @property
    def nextTSN(self) -> int:
        """
        The number of the next fragment, wrapped.
        """
        return self._next % _MODULO

    @property
    def roundTrip(self) -> float:
        """
        The smoothed round trip in seconds; 0 before the first measurement.
        """
        return self._smoothed

    @property
    def isReady(self) -> bool:
        """
        Whether there is something to send, and the congestion window lets it.
        """
        waits = self._resend or self._partial or self._active
        return self._forwardDue or bool(waits and self.flight < self.window)

    def queue(self, stream: SendStream, protocol: int, payload: bytes) -> None:
        """
        Append a message to a stream.

        @param payload: At least one byte; empty messages have a protocol of their own.
        """
        if not stream.messages and stream not in self._active:
            self._active.append(stream)
        stream.messages.append((protocol, payload))
        stream.queuedBytes += len(payload)

    def isIdle(self, stream: SendStream) -> bool:
        """
        Whether nothing of a stream waits to be sent.
        """
        return not stream.messages

    def resetStream(self, stream: SendStream) -> None:
        """
        A stream has ended: forget what waits, and its sequence numbers.
        """
        self._forwarded.pop(stream.number, None)
        if stream is self._partial:
            self._partial = None
            self._giveUpBegun(stream)
        if stream in self._active:
            self._active.remove(stream)
        stream.messages.clear()
        stream.queuedBytes = stream.offset = stream.sequence = 0

    # -- sending

    def chunksToSend(self, now: float, limit: int, first: bytes = b"") -> list[bytes]:
        """
        The chunks of the packets that may be sent now.

        @param limit: The most packets.
        @param first: A chunk to go into the first packet, such as a SACK; it is sent even if
            nothing else is.
        @return: For each packet its chunks, joined.
        """
        packets: list[bytes] = []
        chunks = [first] if first else []
        room = MAX_CHUNK_BYTES - len(first)
        if self._forwardDue:
            self._forwardDue = False
            forward = encodeForward(
                self._forward, ((s, sequence) for s, (sequence, _) in self._forwarded.items())
            )
            if len(forward) > room:
                packets.append(first)
                chunks, room = [], MAX_CHUNK_BYTES
            chunks.append(forward)
            room -= len(forward)
            self._arm(now)
        while len(packets) < limit:
            sent = self._nextChunk(now, room, fresh=not chunks)
            if sent is None:
                if not chunks or not (self._active or self._partial or self._resend):
                    break
                # Nothing more fits, or nothing more may be sent.
                packets.append(b"".join(chunks))
                chunks, room = [], MAX_CHUNK_BYTES
                continue
            chunks.append(sent)
            room -= len(sent)
        if chunks:
            packets.append(b"".join(chunks))
        return packets

    def _nextChunk(self, now: float, room: int, *, fresh: bool) -> bytes | None:
        """
        The next fragment that fits, if any may be sent.
        """
        if self._resend:
            again = self._again(now, room)
            if self._resend or again is not None:
                return again
        stream = self._partial
        if stream is None:
            while self._active and not self._active[0].messages:
                self._active.popleft()  # its last message was dropped
            if not self._active:
                return None
            stream = self._active[0]
        if self.flight >= self.window or len(self._sent) >= MAX_IN_FLIGHT:
            self._limited = True
            return None
        protocol, payload = stream.messages[0]
        left = len(payload) - stream.offset
        size = min(left, room - 16)
        # What a packet of its own could hold stays whole where a lost half costs the other.
        whole = not stream.reliable and len(payload) <= MAX_FRAGMENT
        if size < left and not fresh and (size < MIN_FRAGMENT or whole):
            return None
        if self.flight and self.flight + size > self.peerWindow:
            return None
        flags = 0 if stream.ordered else _UNORDERED
        if not stream.offset:
            flags |= _BEGINS
        if size == left:
            flags |= _ENDS
        fragment = payload[stream.offset : stream.offset + size] if size < len(payload) else payload
        chunk = encodeData(self._next, stream.number, stream.sequence, protocol, flags, fragment)
        sent = _Sent(self._next, stream, stream.sequence, flags, chunk, size)
        self._next += 1
        self._sent.append(sent)
        self._transmitted(sent, now)
        stream.offset += size
        if size == left:
            self._messageSent(stream, len(payload))
        else:
            self._partial = stream
        return chunk

    def _messageSent(self, stream: SendStream, size: int) -> None:
        """
        The last fragment of a stream's first message is out: the next stream takes its turn.
        """
        stream.messages.popleft()
        stream.queuedBytes -= size
        stream.offset = 0
        if stream.ordered:
            stream.sequence = (stream.sequence + 1) % 65_536
        if self._active and self._active[0] is stream:
            self._active.popleft()
        else:
            self._active.remove(stream)
        if stream.messages:
            self._active.append(stream)
        self._partial = None

    def _again(self, now: float, room: int) -> bytes | None:
        """
        The first fragment that is to be sent again.
        """
        if self.flight and self.flight >= self.window:
            return None
        while self._resend:
            sent = self._resend[0]
            if sent.resend:
                if len(sent.chunk) > room:
                    return None
                sent.resend = False
                sent.misses = 0
                self._resend.popleft()
                self.retransmitted += 1
                self._transmitted(sent, now)
                return sent.chunk
            self._resend.popleft()  # it arrived meanwhile, or was given up
        return None

    def _transmitted(self, sent: _Sent, now: float) -> None:
        sent.times += 1
        sent.sentAt = now
        sent.inFlight = True
        self.flight += sent.size
        if self._expires is None:
            self._arm(now)

    # -- what the peer tells

    def sackReceived(self, packet: bytes, start: int, now: float) -> None:
        """
        Take one SACK chunk, which L{aero.rtc.guard.splitPacket} has checked.

        @param start: Where the chunk's header begins.
        """
        cumulative, window, gaps, _ = _SACK.unpack_from(packet, start + 4)
        ahead = (cumulative - self._acked) % _MODULO
        if ahead >= _MODULO // 2 or self._acked + ahead >= self._next:
            return  # an old one, or one for what was never sent
        self._acked += ahead
        ackedBytes = self._acknowledge(now)
        lost = False
        if gaps and self._sent:
            more, lost = self._gapsReceived(packet, start + 16, gaps, now)
            ackedBytes += more
        self.peerWindow = window
        if ackedBytes or ahead or not window:
            self._timeouts = 0  # a peer that takes nothing for now is there
        self._adjust(ackedBytes if ahead else 0, lost, now)
        self._moveForward()
        if not self._sent and self._forward <= self._acked:
            self._expires = None
        elif ahead:
            self._arm(now)

    def _acknowledge(self, now: float) -> int:
        """
        Drop what was acknowledged cumulatively.

        @return: Its bytes, as far as they are new.
        """
        sent, acked = self._sent, self._acked
        done = 0
        measured: _Sent | None = None
        while sent and sent[0].tsn <= acked:
            chunk = sent.popleft()
            if not chunk.acked and not chunk.abandoned:
                done += chunk.size
                if chunk.times == 1:
                    measured = chunk
            chunk.resend = False
            self._leaves(chunk)
        if measured is not None:
            self._measured(now - measured.sentAt)
        return done

    def _gapsReceived(self, packet: bytes, at: int, count: int, now: float) -> tuple[int, bool]:
        """
        Note what arrived beyond a hole, and what is missing three times over.

        @return: Bytes acknowledged anew, and whether something was lost.
        """
        bounds = [_GAP.unpack_from(packet, at + 4 * number) for number in range(count)]
        done, newest = 0, self._acked
        index, base = 0, self._acked
        missing: list[_Sent] = []
        for chunk in self._sent:
            offset = chunk.tsn - base
            while index < count and bounds[index][1] < offset:
                index += 1
            if index == count:
                break
            if bounds[index][0] <= offset:
                if not chunk.acked:
                    chunk.acked = True
                    newest = chunk.tsn
                    if not chunk.abandoned:
                        done += chunk.size
                    chunk.resend = False
                    self._leaves(chunk)
            elif not chunk.acked and not chunk.abandoned and not chunk.resend:
                missing.append(chunk)
        lost = False
        for chunk in missing:
            if chunk.tsn > newest:
                break
            chunk.misses += 1
            if chunk.misses == 3:
                chunk.misses = 0
                lost = True
                self._lost(chunk)
        return done, lost

    def _lost(self, chunk: _Sent) -> None:
        if chunk.stream.reliable:
            if not chunk.resend:
                chunk.resend = True
                self._resend.append(chunk)
            self._leaves(chunk)
        else:
            self._giveUp(chunk)

    def _leaves(self, chunk: _Sent) -> None:
        if chunk.inFlight:
            chunk.inFlight = False
            self.flight -= chunk.size

    def _giveUp(self, lost: _Sent) -> None:
        """
        Give up a whole message (RFC 3758 section 3.5 A3).
        """
        if lost.abandoned:
            return
        self.abandoned += 1
        first = last = lost.tsn
        base = self._sent[0].tsn
        while first > base and not self._sent[first - base].begins:
            first -= 1
        end = self._sent[-1].tsn
        while last < end and not self._sent[last - base].ends:
            last += 1
        for tsn in range(first, last + 1):
            chunk = self._sent[tsn - base]
            chunk.abandoned = True
            chunk.resend = False
            self._leaves(chunk)
        if self._partial is lost.stream and not self._sent[last - base].ends:
            self._partial = None
            _, payload = lost.stream.messages[0]
            self._messageSent(lost.stream, len(payload))

    def _giveUpBegun(self, stream: SendStream) -> None:
        """
        The rest of a message that has begun will not follow.
        """
        for chunk in reversed(self._sent):
            if chunk.stream is stream and not chunk.ends:
                self._giveUp(chunk)
                break

    def _moveForward(self) -> None:
        """
        Tell the peer not to wait for what was given up (RFC 3758 section 3.5 C1 to C4).
        """
        self._forward = max(self._forward, self._acked)
        sent = self._sent
        while sent and (sent[0].abandoned or (sent[0].acked and self._forward > self._acked)):
            chunk = sent.popleft()
            self._forward = chunk.tsn
            if chunk.abandoned and chunk.stream.ordered:
                self._forwarded[chunk.stream.number] = (chunk.sequence, chunk.tsn)
        if self._forwarded:
            self._forwarded = {
                stream: (sequence, tsn)
                for stream, (sequence, tsn) in self._forwarded.items()
                if tsn > self._acked
            }
        if self._forward > self._acked:
            self._forwardDue = True

    # -- congestion

    def _adjust(self, acked: int, lost: bool, now: float) -> None:
        """
        Open or close the window after a SACK.
        """
        limited, self._limited = self._limited, False
        if self._recovery >= 0 and self._acked >= self._recovery:
            self._recovery = -1
        if lost:
            if self._recovery < 0:
                self._reduce(now)
                self.window = self._threshold
                self._recovery = self._next - 1
            return
        if self._recovery >= 0 or not acked or not limited:
            return  # a window that was not used up says nothing about the way
        if self.window <= self._threshold:
            self.window = min(self.window + min(acked, 2 * MAX_FRAGMENT), MAX_WINDOW)
            return
        share = acked / self.window
        target = self._cubic(now + self._smoothed)
        growth = max((target - self.window) * share, _RENO * MAX_FRAGMENT * share)
        self.window = min(self.window + int(min(growth, acked / 2)), MAX_WINDOW)

    def _reduce(self, now: float) -> None:
        """
        Something was lost: remember how large the window was, and allow less.
        """
        self._largest = float(self.window)
        self._epoch = now
        self._threshold = max(int(self.window * BETA), MIN_WINDOW)

    def _cubic(self, now: float) -> float:
        """
        How large the window should be by now (RFC 9438 section 4.2).
        """
        rise = CUBIC * MAX_FRAGMENT
        until = (self._largest * (1 - BETA) / rise) ** (1 / 3)
        return float(rise * (now - self._epoch - until) ** 3 + self._largest)

    def _measured(self, seconds: float) -> None:
        """
        RFC 9260 section 6.3.1.
        """
        if not self._smoothed:
            self._smoothed, self._variance = seconds, seconds / 2
        else:
            self._variance += (abs(self._smoothed - seconds) - self._variance) / 4
            self._smoothed += (seconds - self._smoothed) / 8
        self._timeout = min(max(self._smoothed + 4 * self._variance, MIN_RTO), MAX_RTO)

    # -- time

    def nextTimeout(self) -> float | None:
        """
        When L{handleTimeout} wants to be called.
        """
        return self._expires

    def handleTimeout(self, now: float) -> None:
        """
        Nothing was acknowledged in time (RFC 9260 section 6.3.3).
        """
        if self._expires is None or now < self._expires:
            return
        self._expires = None
        self._timeouts += 1
        if self._timeouts > MAX_TIMEOUTS:
            self.dead = True
            return
        self._timeout = min(self._timeout * 2, MAX_RTO)
        self._reduce(now)
        self.window = MAX_FRAGMENT
        self._recovery = -1
        for chunk in list(self._sent):
            if not chunk.acked and not chunk.abandoned:
                chunk.misses = 0
                self._lost(chunk)
        self._moveForward()
        if self._sent or self._forward > self._acked:
            self._arm(now)

    def _arm(self, now: float) -> None:
        self._expires = now + self._timeout
