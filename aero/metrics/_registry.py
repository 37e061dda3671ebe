# -*- test-case-name: aero.metrics.test.test_registry -*-
"""
The metrics of one process, made from the catalogue.
"""

from __future__ import annotations

from typing import Callable, Iterable, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from ._events import Events
from ._rows import CounterRow, EventRow, GaugeRow, HistogramRow, Row
from ._whole import wholeNumbers

_M = TypeVar("_M", bound=MetricWrapperBase)


class Metrics:
    """
    The live values of a catalogue of rows.

    Each of L{counter}, L{gauge} and L{histogram} gives the one time series with these label
    values. A hot path asks once and keeps what it gets.

    @ivar registry: What C{/metrics} writes out.
    """

    def __init__(self, rows: Iterable[Row], *, process: bool = False) -> None:
        """
        @param rows: The catalogue, usually L{aero.metrics.catalogue.ROWS}.
        @param process: Whether to add the C{process_*} metrics of this process.
        """
        prometheus_client.disable_created_metrics()
        self.registry = CollectorRegistry(auto_describe=True)
        self._metrics: dict[str, MetricWrapperBase] = {}
        self._events: dict[str, Events] = {}
        self._publishers: list[Callable[[], object]] = []
        for row in rows:
            if isinstance(row, EventRow):
                self._events[row.name] = Events(row)
            else:
                self._metrics[row.name] = self._make(row)
        if process:
            prometheus_client.ProcessCollector(registry=self.registry)

    def _make(self, row: Row) -> MetricWrapperBase:
        made: MetricWrapperBase
        if isinstance(row, CounterRow):
            made = Counter(row.name, row.help, row.labels, registry=self.registry)
        elif isinstance(row, GaugeRow):
            made = Gauge(row.name, row.help, row.labels, registry=self.registry)
        elif isinstance(row, HistogramRow):
            made = Histogram(
                row.name, row.help, row.labels, registry=self.registry, buckets=row.buckets
            )
        else:
            raise TypeError(f"{row!r} is no kind of metric")
        return made

    def counter(self, row: CounterRow, *labels: str) -> Counter:
        """
        The counter with these label values.
        """
        return self._series(Counter, row, labels)

    def gauge(self, row: GaugeRow, *labels: str) -> Gauge:
        """
        The gauge with these label values.
        """
        return self._series(Gauge, row, labels)

    def histogram(self, row: HistogramRow, *labels: str) -> Histogram:
        """
        The histogram with these label values.
        """
        return self._series(Histogram, row, labels)

    def events(self, row: EventRow) -> Events:
        """
        The counts of a family of events.
        """
        return self._events[row.name]

    def value(self, row: Row, *labels: str) -> float:
        """
        The current value of a counter or gauge; for tests and for the program's own pages.
        """
        if isinstance(row, EventRow):
            return float(self._events[row.name].counts.get(labels[0], 0))
        names = dict(zip(row.labels, labels, strict=True))
        return self.registry.get_sample_value(row.name, names) or 0.0

    def beforeExposition(self, publish: Callable[[], object]) -> None:
        """
        Have something called before every L{exposition}, for what is counted elsewhere.
        """
        self._publishers.append(publish)

    def exposition(self) -> bytes:
        """
        All metrics in Prometheus' text format 0.0.4.
        """
        for publish in self._publishers:
            publish()
        page = wholeNumbers(prometheus_client.generate_latest(self.registry))
        return page + b"".join(events.exposition() for events in self._events.values())

    def _series(self, kind: type[_M], row: Row, labels: tuple[str, ...]) -> _M:
        metric = self._metrics[row.name]
        if not isinstance(metric, kind):
            raise TypeError(f"{row.name} is not a {kind.__name__}")
        return metric.labels(*labels) if labels else metric
