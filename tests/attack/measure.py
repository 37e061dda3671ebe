"""
What the attack bench measures: memory and processor time of a process, and how long a neighbour
waited for its answers.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, NamedTuple, Sequence

MIB = 1 << 20

#: A neighbour's 95th percentile under attack, in seconds, that is still good.
LATENCY_AIM = 0.050

#: How much larger than before the memory may be a minute after.
MEMORY_AIM = 1.10


class Sample(NamedTuple):
    """
    One request of the neighbour.

    @ivar at: When it was due, by C{time.monotonic}.
    @ivar kind: What it was.
    @ivar seconds: How long the answer took.
    @ivar answered: Whether it was answered at all.
    """

    at: float
    kind: str
    seconds: float
    answered: bool


@dataclass(frozen=True)
class Waiting:
    """
    How long a neighbour waited, in seconds.

    @ivar kind: The kind of request.
    @ivar failures: Requests without an answer.
    @ivar count: All requests.
    """

    kind: str
    p50: float
    p95: float
    longest: float
    failures: int
    count: int


def residentBytes(pid: int) -> int:
    """
    The resident memory of a process; 0 when it has ended.
    """
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def percentile(values: Sequence[float], percent: float) -> float:
    """
    The smallest value that so many percent of all values do not exceed (nearest rank).

    @raise ValueError: There are no values.
    """
    if not values:
        raise ValueError("there are no values")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(0, rank - 1)]


def waiting(samples: Iterable[Sample], start: float, end: float) -> dict[str, Waiting]:
    """
    How long the requests of each kind took that were due between two times.
    """
    kinds: dict[str, list[Sample]] = {}
    for sample in samples:
        if start <= sample.at < end:
            kinds.setdefault(sample.kind, []).append(sample)
    return {kind: _waiting(kind, found) for kind, found in sorted(kinds.items())}


def _waiting(kind: str, samples: Sequence[Sample]) -> Waiting:
    values = [sample.seconds for sample in samples]
    return Waiting(
        kind,
        percentile(values, 50),
        percentile(values, 95),
        max(values),
        sum(not sample.answered for sample in samples),
        len(samples),
    )


def slowest(kinds: dict[str, Waiting]) -> Waiting:
    """
    The kind of request with the highest 95th percentile.

    @raise ValueError: There was no request at all.
    """
    return max(kinds.values(), key=lambda found: found.p95)
