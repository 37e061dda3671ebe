"""
The metric catalogue and the live values made from it.
"""

from ._events import Events
from ._registry import Metrics
from ._rows import CounterRow, EventRow, GaugeRow, HistogramRow, Row
from .catalogue import ROWS

__all__ = [
    "ROWS",
    "CounterRow",
    "EventRow",
    "Events",
    "GaugeRow",
    "HistogramRow",
    "Metrics",
    "Row",
]
