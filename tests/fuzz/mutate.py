# -*- test-case-name: tests.test_fuzz -*-
"""
Changing examples at random, and the same way every time.
"""

from __future__ import annotations

import random
from typing import Callable, Final, Sequence

#: The longest input tried: more than any fixed limit of the parsers that a byte can reach.
MAX_BYTES: Final = 20_000

#: Bytes that mean something to one parser or another, and the ends of ranges.
_TELLING: Final[tuple[int, ...]] = (
    *(b"\0\1\x0a\x0c\x0d\x29\x3f\x40\x7d\x7e\x7f\x80\x81\x82\x88\x89\xbf\xc0\xc1\xfe\xff"),
    *(b" \t\r\n:;,./\\%=[]*@#?&0159afxXAZ-_\"'"),
)


class Mutator:
    """
    Makes new inputs from old ones.

    @param seed: Equal seeds and examples give equal inputs.
    """

    def __init__(self, seed: int, examples: Sequence[bytes]) -> None:
        self._random = random.Random(seed)
        self._examples = list(examples) or [b""]
        self._changes: tuple[Callable[[bytearray], None], ...] = (
            self._flip,
            self._overwrite,
            self._overwrite,
            self._insert,
            self._delete,
            self._repeat,
            self._count,
            self._splice,
            self._cut,
        )

    def next(self) -> bytes:
        """
        The next input: an example after one to eight changes.
        """
        data = bytearray(self._random.choice(self._examples))
        for _ in range(1 << self._random.randrange(4)):
            self._random.choice(self._changes)(data)
        return bytes(data[:MAX_BYTES])

    def _place(self, data: bytearray) -> int:
        return self._random.randrange(len(data)) if data else 0

    def _byte(self) -> int:
        if self._random.random() < 0.6:
            return self._random.choice(_TELLING)
        return self._random.randrange(256)

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._place(data)] ^= 1 << self._random.randrange(8)

    def _overwrite(self, data: bytearray) -> None:
        if data:
            data[self._place(data)] = self._byte()

    def _insert(self, data: bytearray) -> None:
        place = self._random.randint(0, len(data))
        data[place:place] = bytes(self._byte() for _ in range(self._random.randint(1, 4)))

    def _delete(self, data: bytearray) -> None:
        place = self._place(data)
        del data[place : place + self._random.randint(1, 8)]

    def _repeat(self, data: bytearray) -> None:
        """
        Say a part again, seldom so often that limits are reached.
        """
        place = self._place(data)
        part = data[place : place + self._random.randint(1, 16)]
        times = self._random.randint(1, 600) if self._random.random() < 0.05 else 1
        data[place:place] = part * times

    def _count(self, data: bytearray) -> None:
        """
        Make a number of one, two or four bytes a little larger or smaller.
        """
        width = self._random.choice((1, 2, 4))
        if len(data) >= width:
            place = self._random.randint(0, len(data) - width)
            value = int.from_bytes(data[place : place + width], "big")
            value += self._random.choice((-2, -1, 1, 2))
            data[place : place + width] = (value % (1 << 8 * width)).to_bytes(width, "big")

    def _splice(self, data: bytearray) -> None:
        """
        Go on as another example does.
        """
        other = self._random.choice(self._examples)
        begin = self._random.randint(0, len(other))
        data[self._random.randint(0, len(data)) :] = other[begin:]

    def _cut(self, data: bytearray) -> None:
        if self._random.random() < 0.3:
            del data[self._place(data) :]
