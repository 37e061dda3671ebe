# -*- test-case-name: aero.docs.test.test_pages -*-
"""
C{python -m aero.docs [DIRECTORY]}: write every generated file below the root of the tree.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .pages import pages


def main(directory: Path) -> None:
    """
    Write every file below a directory.
    """
    for name, text in pages().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2])
