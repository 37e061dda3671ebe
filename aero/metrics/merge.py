# -*- test-case-name: aero.metrics.test.test_merge -*-
"""
The metrics of several processes as those of one server.
"""

from __future__ import annotations

import re
from typing import Mapping

from ._rows import GaugeRow
from .catalogue import ROWS

#: A sample: name, labels with their braces, value. Label values are quoted, so braces inside of
#: them do not matter to a search from the end.
_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)")

#: The page of the process that serves nothing itself. It has every gauge at 0, so it is left out
#: where the smallest value counts.
SUPERVISOR = "supervisor"

#: How the samples of a gauge become one, by name; a sum where nothing is said.
_MERGED = {row.name: row.merged for row in ROWS if isinstance(row, GaugeRow)}


def mergeExpositions(pages: Mapping[str, str]) -> str:
    """
    Add up what processes count.

    C{process_*} is about one process, so each keeps its own and gets a label C{worker}; the row of
    a gauge says how it is merged, everything else is a sum.

    @param pages: The text of each process in Prometheus' format 0.0.4, by its name.
    """
    order: list[str] = []
    comments: dict[str, list[str]] = {}
    samples: dict[str, dict[str, float]] = {}
    for worker, page in pages.items():
        family = ""
        for line in page.splitlines():
            if line.startswith("#"):
                family = line.split(" ", 3)[2] if line.count(" ") > 1 else family
                if family not in samples:
                    order.append(family)
                    samples[family], comments[family] = {}, []
                if line not in comments[family]:
                    comments[family].append(line)
                continue
            match = _SAMPLE.fullmatch(line)
            if match is None:
                continue
            name, labels, value = match[1], match[2] or "", float(match[3])
            if name.startswith("process_"):
                labels = f'{{worker="{worker}"{"," + labels[1:-1] if labels else ""}}}'
            found = samples.setdefault(family, {})
            key = name + labels
            merged = _MERGED.get(name, "sum")
            if merged == "largest":
                found[key] = max(found.get(key, value), value)
            elif merged == "smallest":
                if worker != SUPERVISOR or len(pages) == 1:
                    found[key] = min(found.get(key, value), value)
            else:
                found[key] = found.get(key, 0.0) + value
    lines: list[str] = []
    for family in order:
        lines += comments[family]
        lines += [f"{key} {_number(value)}" for key, value in samples[family].items()]
    return "".join(f"{line}\n" for line in lines)


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
