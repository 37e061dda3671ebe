# -*- test-case-name: aero.test.test_usage -*-
"""
Writes the generated pages: C{python -m aero.docs [DIRECTORY]}.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Iterator

from aero.metrics import CounterRow, GaugeRow
from aero.metrics.catalogue import AREAS
from aero.usage import configurationPage


def pages() -> dict[str, str]:
    """
    The generated pages by file name.
    """
    return {"configuration.md": configurationPage(), "metrics.md": metricsPage()}


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


def main(directory: Path) -> None:
    """
    Write every page below a directory.
    """
    for name, text in pages().items():
        (directory / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs")
