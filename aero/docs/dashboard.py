# -*- test-case-name: aero.docs.test.test_pages -*-
"""
The metric catalogue as a Grafana dashboard: a row of panels for each area, a panel for each
metric.
"""

from __future__ import annotations

import json
from typing import Any

from aero.metrics import CounterRow, GaugeRow
from aero.metrics.catalogue import AREAS

_WIDTH, _HEIGHT = 8, 7

#: Of 24 columns.
_COLUMNS = 24 // _WIDTH


def dashboard() -> str:
    """
    The dashboard as JSON, to be imported as it is.
    """
    panels: list[dict[str, Any]] = []
    top = 0
    for area, rows in AREAS.items():
        panels.append(_heading(len(panels) + 1, area, top))
        top += 1
        for place, row in enumerate(rows):
            line, column = divmod(place, _COLUMNS)
            position = {
                "x": column * _WIDTH,
                "y": top + line * _HEIGHT,
                "w": _WIDTH,
                "h": _HEIGHT,
            }
            panels.append(_panel(len(panels) + 1, row, position))
        top += -(-len(rows) // _COLUMNS) * _HEIGHT
    board = {
        "title": "aero",
        "uid": "aero",
        "description": "Every metric of aero; written from its catalogue by python -m aero.docs.",
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


def _panel(number: int, row: Any, position: dict[str, int]) -> dict[str, Any]:
    legend = " ".join(f"{{{{{label}}}}}" for label in row.labels) or row.name
    if isinstance(row, (CounterRow, GaugeRow)):
        targets = [_target("A", expression(row), legend)]
    else:
        targets = [
            _target(name, expression(row, quantile), f"p{quantile * 100:g}")
            for name, quantile in (("A", 0.5), ("B", 0.99))
        ]
    return {
        "id": number,
        "type": "timeseries",
        "title": row.name,
        "description": row.help,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": _unit(row), "min": 0}, "overrides": []},
        "targets": targets,
    }


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
    return {"id": number, "type": "row", "title": title, "gridPos": position, "collapsed": False}


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
