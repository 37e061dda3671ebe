# -*- test-case-name: aero.http.test.test_h2frames -*-
"""
The frames of an HTTP/2 connection before the protocol machine gets them: one at a time, and with
how much of them is frames that ask for work and carry nothing.
"""

from __future__ import annotations

from typing import NamedTuple

#: The client connection preface (RFC 9113 section 3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

#: The most bytes that a frame may carry; we never allow more than the protocol begins with.
MAX_FRAME_BYTES = 16_384

_HEADER_BYTES = 9
DATA, HEADERS, RST_STREAM, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 8, 9
END_HEADERS = 0x4

#: A part of the preface, which is no frame.
PRELUDE = -1

#: Labels of the frames that are counted. Frames of requests are not: DATA and HEADERS have
#: limits of their own, and resets are counted when they happen, whoever causes them.
_KINDS = {2: "priority", 4: "settings", 6: "ping", WINDOW_UPDATE: "window"}
_UNCOUNTED = frozenset((PRELUDE, DATA, HEADERS, RST_STREAM, CONTINUATION))


#: The part of its own allowance that a connection keeps while it has spent little.
_LITTLE = 0.9


class Frame(NamedTuple):
    """
    One frame.

    @ivar kind: Its type, or L{PRELUDE}.
    @ivar raw: All of it, its header included.
    """

    kind: int
    flags: int
    streamId: int
    raw: bytes

    @property
    def label(self) -> str | None:
        """
        The name by which it is counted; C{None} where it is not.
        """
        return None if self.kind in _UNCOUNTED else _KINDS.get(self.kind, "unknown")


def isZeroIncrement(frame: Frame) -> bool:
    """
    Whether a frame opens the window of a stream by nothing, which is the error of that stream
    (RFC 9113 section 6.9).
    """
    return (
        frame.kind == WINDOW_UPDATE
        and frame.streamId != 0
        and len(frame.raw) == _HEADER_BYTES + 4
        and not int.from_bytes(frame.raw[_HEADER_BYTES:], "big") & 0x7FFF_FFFF
    )


class FrameTooLarge(Exception):
    """
    A frame says that it is larger than it may be.
    """


class FrameSplitter:
    """
    Cuts what a client sends into frames.

    @ivar midHeaders: Whether a header block has begun and not ended.
    @ivar blockBytes: Bytes of that block so far.
    """

    def __init__(self) -> None:
        self.midHeaders = False
        self.blockBytes = 0
        self._prelude = len(PREFACE)
        self._buffer = bytearray()

    @property
    def waiting(self) -> int:
        """
        Bytes that were added and not taken.
        """
        return len(self._buffer)

    @property
    def midFrame(self) -> bool:
        """
        Whether a frame, or the preface, has begun and was not taken.
        """
        return bool(self._prelude or self._buffer)

    @property
    def hasFrame(self) -> bool:
        """
        Whether there is something to take.
        """
        buffer = self._buffer
        if self._prelude or len(buffer) < _HEADER_BYTES:
            return bool(self._prelude and buffer)
        size = int.from_bytes(buffer[:3], "big")
        return size > MAX_FRAME_BYTES or len(buffer) >= _HEADER_BYTES + size

    def add(self, data: bytes) -> None:
        """
        More bytes arrived.
        """
        self._buffer += data

    def take(self) -> Frame | None:
        """
        Take the next frame.

        @return: C{None} where it is not complete.
        @raise FrameTooLarge: It will never be taken, and nothing behind it either.
        """
        buffer = self._buffer
        if self._prelude:
            raw = bytes(buffer[: self._prelude])
            del buffer[: len(raw)]
            self._prelude -= len(raw)
            return Frame(PRELUDE, 0, 0, raw) if raw else None
        if len(buffer) < _HEADER_BYTES:
            return None
        size = int.from_bytes(buffer[:3], "big")
        if size > MAX_FRAME_BYTES:
            raise FrameTooLarge
        size += _HEADER_BYTES
        if len(buffer) < size:
            return None
        raw = bytes(buffer[:size])
        del buffer[:size]
        kind, flags = raw[3], raw[4]
        if kind in (HEADERS, CONTINUATION):
            self.midHeaders = not flags & END_HEADERS
            self.blockBytes = self.blockBytes + size if self.midHeaders else 0
        return Frame(kind, flags, int.from_bytes(raw[5:9], "big") & 0x7FFF_FFFF, raw)


class Allowance:
    """
    So much at once, and it grows again with time and with what is earned.
    """

    def __init__(self, burst: float, now: float, common: Allowance | None = None) -> None:
        """
        @param burst: The most there can be; a thirtieth of it comes back each second.
        @param common: What all connections of the client have together, which pays as well.
        """
        self._burst = self._left = burst
        self._rate = burst / 30
        self._since = now
        self._common = common

    def earn(self, amount: float) -> None:
        """
        Add what useful work entitles to.
        """
        self._left = min(self._burst, self._left + amount)
        if self._common is not None:
            self._common.earn(amount)

    def spend(self, amount: float, now: float) -> bool:
        """
        Take some.

        @return: Whether there was enough. Where only the common allowance is used up, who has
            spent little of its own may go on.
        """
        # The clock of a reactor may be set back.
        self._left = min(self._burst, self._left + max(0.0, now - self._since) * self._rate)
        self._since = now
        self._left -= amount
        enough = self._common is None or self._common.spend(amount, now)
        # A client that goes on is not charged for longer than one burst.
        self._left = max(self._left, -self._burst)
        return self._left >= (0 if enough else _LITTLE * self._burst)

    def isFull(self, now: float) -> bool:
        """
        Whether nothing of it is spent by now.
        """
        return self._left + max(0.0, now - self._since) * self._rate >= self._burst


class Allowances:
    """
    What the connections of each client have together, kept while a part of it is spent, so that
    a new connection does not begin with a new allowance.
    """

    #: Clients from which on those that have spent nothing are forgotten.
    _MANY = 1_024

    #: The connections of one client that may use up their own at the same time.
    _CONNECTIONS = 4

    def __init__(self, burst: float) -> None:
        """
        @param burst: As of L{Allowance}, for each connection.
        """
        self._each = burst
        self._burst = burst * self._CONNECTIONS
        self._byClient: dict[str, Allowance] = {}

    def of(self, client: str, now: float) -> Allowance:
        """
        The allowance of a client.
        """
        found = self._byClient.get(client)
        if found is None:
            if len(self._byClient) >= self._MANY:
                kept = {key: each for key, each in self._byClient.items() if not each.isFull(now)}
                self._byClient = kept
            found = self._byClient[client] = Allowance(self._burst, now)
        return found

    def forOne(self, client: str, now: float) -> Allowance:
        """
        Make the allowance of one connection of a client.
        """
        return Allowance(self._each, now, self.of(client, now))
