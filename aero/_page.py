# -*- test-case-name: aero.test.test_page -*-
"""
Where the packaged front end is.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from aero.errors import StartError

_INSTALLED = "share/aero/static/index.html"


def packagedPage() -> Path:
    """
    The directory of the packaged C{static/}: beside the source tree, or where the installer
    put it.

    @raise StartError: It is in neither place.
    """
    beside = Path(__file__).parents[1] / "static"
    if (beside / "index.html").is_file():
        return beside
    try:
        files = importlib.metadata.files("aero-edge") or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    for file in files:
        if str(file).endswith(_INSTALLED):
            return Path(str(file.locate())).resolve().parent
    raise StartError("the packaged front end is missing; name a directory with --frontend-root")
