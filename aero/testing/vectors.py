"""
The shared conformance data.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest import SkipTest


def directory() -> Path:
    """
    Where the vector files are: C{AERO_VECTORS}, or C{../shared/vectors} beside the project.
    """
    named = os.environ.get("AERO_VECTORS")
    if named:
        return Path(named)
    return Path(__file__).parents[2].parent / "shared" / "vectors"


def load(name: str) -> Any:
    """
    Read one vector file.

    @raise SkipTest: It is not here, which is so outside the project's own tree.
    """
    return json.loads(loadText(name))


def loadText(name: str) -> str:
    """
    Read one vector file that is text.

    @raise SkipTest: It is not here.
    """
    path = directory() / name
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise SkipTest(f"the conformance vectors {name} are not at {path}") from None
