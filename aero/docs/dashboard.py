# -*- test-case-name: aero.docs.test.test_pages -*-
"""
A Grafana dashboard: twelve panels that a person looks at first, and below them the metric
catalogue, with a folded row for each area and a panel for each metric.
"""

from __future__ import annotations

import itertools
import json
import re
import textwrap
from collections import Counter
from typing import Any, Sequence

from aero.metrics import CounterRow, GaugeRow, Row
from aero.metrics.catalogue import AREAS

from .firstlook import FIRST_LOOK

_WIDTH, _HEIGHT = 8, 7

#: Of 24 columns.
_COLUMNS = 24 // _WIDTH

#: The most characters of a title.
_TITLE = 70


def dashboard() -> str:
    """
    The dashboard as JSON, to be imported as it is.
    """
    panels: list[dict[str, Any]] = []
    numbers = itertools.count(1)
    for place, panel in enumerate(FIRST_LOOK):
        queries = [
            _target(chr(ord("A") + letter), query, legend)
            for letter, (query, legend) in enumerate(panel.queries)
        ]
        panels.append(
            _graph(
                next(numbers), panel.title, panel.description, panel.unit, queries, _at(place, 0)
            )
        )
    top = _rowsFor(len(FIRST_LOOK)) * _HEIGHT
    for area, rows in AREAS.items():
        heading = _heading(next(numbers), area, top)
        titles = _titles(rows)
        heading["panels"] = [
            _panel(next(numbers), row, titles[row.name], _at(place, top + 1))
            for place, row in enumerate(rows)
        ]
        panels.append(heading)
        # Folded, a row takes one line.
        top += 1
    board = {
        "title": "aero",
        "uid": "aero",
        "description": "What a person looks at first, then every metric of aero in folded rows."
        " Written by python -m aero.docs.",
        "tags": ["aero"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_dataSource(), _jobs()]},
        "panels": panels,
    }
    return json.dumps(board, indent=1) + "\n"


def expression(row: Any, quantile: float = 0.0) -> str:
    """
    The query of a panel: counters as rates, histograms as quantiles.
    """
    by = f" by ({', '.join(row.labels)})" if row.labels else ""
    if isinstance(row, CounterRow):
        return f'sum{by}(rate({row.name}{{job=~"$job"}}[$__rate_interval]))'
    if isinstance(row, GaugeRow):
        return f'sum{by}({row.name}{{job=~"$job"}})'
    buckets = f'sum by (le)(rate({row.name}_bucket{{job=~"$job"}}[$__rate_interval]))'
    return f"histogram_quantile({quantile:g}, {buckets})"


def _panel(number: int, row: Any, title: str, position: dict[str, int]) -> dict[str, Any]:
    legend = " ".join(f"{{{{{label}}}}}" for label in row.labels) or row.name
    if isinstance(row, (CounterRow, GaugeRow)):
        targets = [_target("A", expression(row), legend)]
    else:
        targets = [
            _target(name, expression(row, quantile), f"p{quantile * 100:g}")
            for name, quantile in (("A", 0.5), ("B", 0.99))
        ]
    return _graph(number, title, f"{row.name}: {row.help}", _unit(row), targets, position)


def _graph(
    number: int,
    title: str,
    description: str,
    unit: str,
    targets: list[dict[str, str]],
    position: dict[str, int],
) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": title,
        "description": description,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _titles(rows: Sequence[Row]) -> dict[str, str]:
    """
    A title in words for each metric of an area: the beginning of its help. Metrics that begin
    alike have their names behind it.
    """
    found = {row.name: titleOf(row) for row in rows}
    counts = Counter(found.values())
    return {
        name: title if counts[title] == 1 else f"{title} ({name})" for name, title in found.items()
    }


def titleOf(row: Row) -> str:
    """
    The beginning of a metric's help: the first clause, or the sentence where that is too little.
    """
    sentence = re.split(r"\.(?: |$)", row.help)[0]
    clause = re.split(r"[,;:(]", sentence)[0].strip()
    if clause.count(" ") < 2:
        clause = sentence
    return textwrap.shorten(clause, _TITLE, placeholder=" …")


def _rowsFor(count: int) -> int:
    return -(-count // _COLUMNS)


def _at(place: int, top: int) -> dict[str, int]:
    line, column = divmod(place, _COLUMNS)
    return {"x": column * _WIDTH, "y": top + line * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}


def _unit(row: Any) -> str:
    """
    Grafana's name of the unit that a metric's name ends with.
    """
    name = row.name.removesuffix("_total")
    counts = isinstance(row, CounterRow)
    if name.endswith("_bytes"):
        return "Bps" if counts else "bytes"
    if name.endswith("_seconds"):
        return "s"
    if name.endswith("_ms"):
        return "ms"
    return "ops" if counts else "short"


def _target(name: str, query: str, legend: str) -> dict[str, str]:
    return {"refId": name, "expr": query, "legendFormat": legend}


def _heading(number: int, title: str, top: int) -> dict[str, Any]:
    position = {"x": 0, "y": top, "w": 24, "h": 1}
    return {"id": number, "type": "row", "title": title, "gridPos": position, "collapsed": True}


def _dataSource() -> dict[str, str]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}


def _jobs() -> dict[str, Any]:
    return {
        "name": "job",
        "type": "query",
        "label": "Job",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": "label_values(aero_http_connections, job)",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
    }
