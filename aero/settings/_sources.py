# -*- test-case-name: aero.settings.test.test_load -*-
"""
The extra sources of the Content-Security-Policy (edge.md section 4.2).
"""

from __future__ import annotations

import re

#: A host source of CSP 3 section 2.3.1 with its scheme: no path, no quotes, nothing that
#: could end the directive.
_SOURCE = re.compile(
    r"(?:https?|wss?)://(?:\*\.)?(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::(?:[0-9]{1,5}|\*))?"
    r"|(?:https?|wss?)://\[[0-9A-Fa-f:.]+\](?::(?:[0-9]{1,5}|\*))?"
)


def connectSources(value: str) -> tuple[str, ...]:
    """
    Sources separated by spaces, each a scheme and a host.
    """
    sources = tuple(value.split(" "))
    found = tuple(source for source in sources if source)
    for source in found:
        if not _SOURCE.fullmatch(source):
            raise ValueError(
                "expected sources such as https://api.example.com or wss://*.example.com, separated by spaces;"
                f" {source!r} is not one"
            )
    return found
