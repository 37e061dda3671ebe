# -*- test-case-name: aero.test.test_page -*-
"""
Where the packaged front end is.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Iterator

from aero.errors import StartError

_INSTALLED = "share/aero/static/index.html"


def packagedPage(home: Path = Path(__file__).parents[1]) -> Path:
    """
    The directory of the packaged C{static/}: beside the source tree, or where the installer
    put it.

    @param home: The directory that the package is in.
    @raise StartError: It is nowhere.
    """
    for page in _candidates(home):
        if page.is_file():
            return page.resolve().parent
    raise StartError("the packaged front end is missing; name a directory with --frontend-root")


def _candidates(home: Path) -> Iterator[Path]:
    """
    The files that may be its C{index.html}, most likely first.
    """
    yield home / "static" / "index.html"
    try:
        files = importlib.metadata.files("aero-edge") or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    for file in files:
        if str(file).endswith(_INSTALLED):
            yield Path(str(file.locate()))
    # An installation with --target is not where its record says.
    yield home / _INSTALLED
