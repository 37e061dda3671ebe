# -*- test-case-name: aero.metrics.test.test_registry -*-
"""
What one row of the metric catalogue is.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds; the reference's buckets for requests (gateway.md section 8).
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Row:
    """
    One metric.

    @ivar name: The name on the wire; for a counter it ends in C{_total}, and the unit comes
        before that.
    @ivar help: One sentence.
    @ivar labels: Label names, in the order their values are given.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()


class CounterRow(Row):
    """
    A number that only grows.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class EventRow(CounterRow):
    """
    A family of counters with one label, the event, written as whole numbers.

    @ivar events: The events that are there from the start, at 0.
    """

    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GaugeRow(Row):
    """
    A number that goes up and down.

    @ivar merged: How the values of several processes become one: C{sum}, or C{largest} or
        C{smallest} for a flag or a moment, whichever is the one that an operator has to know.
    """

    merged: str = "sum"


@dataclass(frozen=True, slots=True)
class HistogramRow(Row):
    """
    A distribution.

    @ivar buckets: Upper bounds, in the unit of the name.
    """

    buckets: tuple[float, ...] = SECONDS
