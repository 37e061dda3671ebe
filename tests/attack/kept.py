"""
Results in a file, so that a later run can be set beside them.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Iterable

from .measure import Waiting
from .rig import Result


def save(path: Path, results: Iterable[Result]) -> None:
    """
    Write results.
    """
    path.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


def load(path: Path) -> dict[str, Result]:
    """
    Read what L{save} wrote, by the name of the flood.
    """
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return {row["name"]: _result(row) for row in rows}


def _result(row: dict[str, Any]) -> Result:
    waits = {name: Waiting(**row[name]) for name in ("quiet", "attacked")}
    return Result(**row | waits | {"memory": tuple(row["memory"])})
