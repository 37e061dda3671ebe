"""
The metric catalogue and the live values made from it.
"""

from ._registry import Metrics
from ._rows import CounterRow, GaugeRow, HistogramRow, Row
from .catalogue import ROWS

__all__ = ["ROWS", "CounterRow", "GaugeRow", "HistogramRow", "Metrics", "Row"]
