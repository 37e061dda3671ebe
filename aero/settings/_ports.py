"""
Lists of ports, with the reference's words for what is wrong (gateway.md section 2).
"""

from __future__ import annotations

from typing import Callable

from ._parsers import integer, listOf


def portList(name: str) -> Callable[[str], tuple[int, ...]]:
    """
    Port numbers separated by commas.

    @param name: The variable, which the reference repeats inside its sentences.
    """

    def item(value: str) -> int:
        if len(value) > 64:
            raise ValueError(f"Invalid {name} number (too long)")
        try:
            port = integer(-(10**15))(value)
        except ValueError:
            raise ValueError(f"Invalid {name} number: {value}") from None
        if not 1 <= port <= 65_535:
            raise ValueError(f"Invalid {name} entry: {port}, expected 1 to 65535")
        return port

    return listOf(item, "a port")
