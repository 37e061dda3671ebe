# -*- test-case-name: aero.http.test.test_h2frames -*-
"""
What can be told of an HTTP/2 byte stream before it is parsed: where its frames begin, and how
much of it is frames that ask for work and carry nothing.
"""

from __future__ import annotations

#: The client connection preface (RFC 9113 section 3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_HEADER_BYTES = 9
_DATA, _HEADERS, _RST_STREAM, _CONTINUATION = 0, 1, 3, 9
_END_HEADERS = 0x4

#: Labels of the frames that are counted. Frames of requests are not: DATA and HEADERS have
#: limits of their own, and resets are counted when they happen, whoever causes them.
_KINDS = {2: "priority", 4: "settings", 6: "ping", 8: "window"}
_UNCOUNTED = frozenset((_DATA, _HEADERS, _RST_STREAM, _CONTINUATION))


class FrameScanner:
    """
    Follows the frame boundaries of what a client sends.

    @ivar midHeaders: Whether a header block has begun and not ended.
    """

    def __init__(self) -> None:
        self.midHeaders = False
        self._skip = len(PREFACE)
        self._header = b""

    @property
    def midFrame(self) -> bool:
        """
        Whether a frame, or the preface, has begun and not ended.
        """
        return bool(self._skip or self._header)

    def scan(self, data: bytes) -> dict[str, int]:
        """
        Follow more bytes.

        @return: How many frames of each counted kind begin in them.
        """
        counts: dict[str, int] = {}
        if self._header:
            data = self._header + data
            self._header = b""
        position, end = self._skip, len(data)
        while position + _HEADER_BYTES <= end:
            kind = data[position + 3]
            if kind not in _UNCOUNTED:
                label = _KINDS.get(kind, "unknown")
                counts[label] = counts.get(label, 0) + 1
            elif kind in (_HEADERS, _CONTINUATION):
                self.midHeaders = not data[position + 4] & _END_HEADERS
            position += _HEADER_BYTES + int.from_bytes(data[position : position + 3], "big")
        if position > end:
            self._skip = position - end
        else:
            self._skip = 0
            self._header = data[position:]
        return counts


class Allowance:
    """
    So much at once, and it grows again with time and with what is earned.
    """

    def __init__(self, burst: float, now: float) -> None:
        """
        @param burst: The most there can be; a thirtieth of it comes back each second.
        """
        self._burst = self._left = burst
        self._rate = burst / 30
        self._since = now

    def earn(self, amount: float) -> None:
        """
        Add what useful work entitles to.
        """
        self._left = min(self._burst, self._left + amount)

    def spend(self, amount: float, now: float) -> bool:
        """
        Take some.

        @return: Whether there was enough.
        """
        # The clock of a reactor may be set back.
        self.earn(max(0.0, now - self._since) * self._rate)
        self._since = now
        self._left -= amount
        return self._left >= 0
