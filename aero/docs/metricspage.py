# -*- test-case-name: aero.docs.test.test_pages -*-
"""
The metric catalogue as C{docs/metrics.md}.
"""

from __future__ import annotations

from typing import Iterator

from aero.metrics import CounterRow, GaugeRow
from aero.metrics.catalogue import AREAS


def metricsPage() -> str:
    """
    The text of C{docs/metrics.md}.
    """
    return "\n".join(_metrics()) + "\n"


def _metrics() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "Written from the table in `aero/metrics`; `python -m aero.docs` writes it again."
    yield ""
    yield (
        "`GET /metrics` gives them in Prometheus' text format, with the `process_*` metrics of"
        " the process. Names without `aero_` are those of the reference gateway, so its"
        " dashboards work."
    )
    for area, rows in AREAS.items():
        yield ""
        yield f"## {area}"
        yield ""
        yield "| metric | kind | labels | meaning |"
        yield "|---|---|---|---|"
        for row in rows:
            kind = (
                "counter"
                if isinstance(row, CounterRow)
                else "gauge"
                if isinstance(row, GaugeRow)
                else "histogram"
            )
            labels = ", ".join(f"`{label}`" for label in row.labels)
            yield f"| `{row.name}` | {kind} | {labels} | {row.help} |"
