# -*- test-case-name: aero.settings.test.test_nearest -*-
"""
Names that are no setting, with the nearest that is.
"""

from __future__ import annotations

import difflib
import re
from typing import Collection, Iterable, Iterator, Mapping

#: The prefix of variables that belong to aero.
PREFIX = "AERO_"

#: Variables with that prefix that other programs of this tree read: the compose file, the tests.
_ELSEWHERE = frozenset({"AERO_IMAGE", "AERO_FRONTEND", "AERO_VECTORS"})

#: What Kubernetes sets for each service of a namespace, such as one with the name C{aero}.
_KUBERNETES = re.compile(r"AERO_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_\w+)")
_KUBERNETES_URL = re.compile(r"(?:tcp|udp|sctp)://")


def nearestName(name: str, known: Collection[str]) -> str:
    """
    The known name that somebody meant, or an empty string where none is near.
    """
    short = name.removeprefix(PREFIX)
    for exact in (short, PREFIX + name):
        if exact != name and exact in known:
            return exact
    found = difflib.get_close_matches(name, known, 1, 0.7)
    return found[0] if found else ""


def unknownVariables(environ: Mapping[str, str], known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """
    The variables that look like settings and are none, each with the nearest that is.

    @param known: The names of all settings, and what else the process reads.
    """
    names = frozenset(known)
    for name, value in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in names or name in _ELSEWHERE:
            continue
        if _KUBERNETES.fullmatch(name) or _KUBERNETES_URL.match(value):
            continue
        yield name, nearestName(name, names)
