# -*- test-case-name: aero.metrics.test.test_events -*-
"""
One family of counters told apart by the label C{event}, counted where a datagram at a time
goes by.

Its samples are whole numbers, as the reference writes them and its tests read them
(relay.md section 14); C{prometheus_client} writes C{1.0} and, from a million on, C{1e+06}.
"""

from __future__ import annotations

from ._rows import EventRow


class Events:
    """
    The counts of one L{EventRow}.

    @ivar counts: By event. A hot path may add to it itself.
    """

    __slots__ = ("_row", "counts")

    def __init__(self, row: EventRow) -> None:
        self._row = row
        self.counts: dict[str, int] = dict.fromkeys(row.events, 0)

    def inc(self, event: str, amount: int = 1) -> None:
        """
        Count an event.
        """
        counts = self.counts
        counts[event] = counts.get(event, 0) + amount

    def exposition(self) -> bytes:
        """
        The family in Prometheus' text format 0.0.4, its samples in alphabetical order.
        """
        name, label = self._row.name, self._row.labels[0]
        lines = [f"# HELP {name} {self._row.help}", f"# TYPE {name} counter"]
        for event, count in sorted(self.counts.items()):
            escaped = event.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
            lines.append(f'{name}{{{label}="{escaped}"}} {count}')
        return "".join(f"{line}\n" for line in lines).encode("utf-8")
