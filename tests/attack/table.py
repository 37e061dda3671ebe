"""
The table of the bench, for a terminal and for C{docs/security.md}, and what misses the aims.
"""

from __future__ import annotations

from typing import Mapping, Sequence

from .measure import LATENCY_AIM, MEMORY_AIM, MIB, Waiting
from .rig import Result

HEADS = (
    "flood",
    "memory MiB: before, peak, after",
    "neighbour ms without: p50, p95, max",
    "neighbour ms with: p50, p95, max",
    "slowest",
    "CPU",
    "sent",
    "answers",
    "verdict",
)

#: Counts of the attackers that are not answers.
_SENT = ("bytes", "connections", "handshakes")


def verdict(result: Result) -> list[str]:
    """
    The aims that a run missed.
    """
    missed = []
    before, _, after = result.memory
    if not result.alive:
        missed.append("the server ended")
    if result.attacked.p95 > LATENCY_AIM:
        missed.append("slow")
    if result.failures:
        missed.append(f"{result.failures} requests failed")
    if after > before * MEMORY_AIM:
        missed.append(f"memory +{round(100 * (after / before - 1))} %")
    return missed


def text(results: Sequence[Result]) -> str:
    """
    The table for a terminal.
    """
    rows = [HEADS, *map(_cells, results)]
    # The answers may be long; all else is aligned.
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADS))]
    lines = [
        "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)) for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def markdown(results: Sequence[Result], earlier: Mapping[str, Result]) -> str:
    """
    The table for the documentation.

    @param earlier: Results of an earlier version, which go before these; without them the columns
        of these are empty and the results are the earlier ones.
    """
    heads = (
        "flood",
        "without a flood",
        "before: p95, max",
        "memory MiB",
        "after: p95, max",
        "memory MiB",
    )
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|---|---|---|"]
    for result in results:
        old = earlier.get(result.name) if earlier else result
        new = result if earlier else None
        cells = [
            result.title,
            _milliseconds(result.quiet.p95),
            *_documented(old),
            *_documented(new),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _documented(result: Result | None) -> tuple[str, str]:
    if result is None:
        return "", ""
    waited = f"{_milliseconds(result.attacked.p95)}, {_milliseconds(result.attacked.longest)} ms"
    if result.failures:
        waited += f", {result.failures} failed"
    return waited, _memory(result)


def _cells(result: Result) -> tuple[str, ...]:
    answers = sorted(
        (item for item in result.tally.items() if item[0] not in _SENT), key=lambda item: -item[1]
    )
    sent = result.tally.get("bytes", 0) / MIB
    return (
        result.name,
        _memory(result) + f" ({result.settled:.0f} s)",
        _times(result.quiet),
        _times(result.attacked),
        result.attacked.kind,
        f"{100 * result.cpu:.0f} %",
        f"{sent:,.1f} MiB in {result.seconds:.0f} s",
        ", ".join(f"{count} {what}" for what, count in answers) or "none",
        ", ".join(verdict(result)) or "good",
    )


def _memory(result: Result) -> str:
    return ", ".join(f"{size / MIB:.0f}" for size in result.memory)


def _times(found: Waiting) -> str:
    return ", ".join(map(_milliseconds, (found.p50, found.p95, found.longest)))


def _milliseconds(seconds: float) -> str:
    return f"{1_000 * seconds:.1f}" if seconds < 0.1 else f"{1_000 * seconds:,.0f}"
