# -*- test-case-name: aero.settings.test.test_parsers -*-
"""
Host names that operators write.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Callable, Mapping

from aero.policy.hostname import normalizeHost

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")

#: Suffixes that no public CA signs (edge.md section 2.2).
_INTERNAL_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa")


def domainName(value: str) -> str:
    """
    A single host name or IP address, in lower case; the site name of edge.md section 2.1.
    """
    name = value.strip()
    if isAddress(name):
        return str(ipaddress.ip_address(name))
    name = normalizeHost(name) or ""
    if isAddress(name.strip("[]")):
        return name.strip("[]")
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(part) for part in name.split(".")):
        raise ValueError("expected one host name such as example.com, without scheme, port or path")
    return name


def isAddress(name: str) -> bool:
    """
    Whether a name is an IP address literal.
    """
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def isInternalName(name: str) -> bool:
    """
    Whether no public CA signs this name, so that the internal CA has to
    (edge.md section 2.2).
    """
    return "." not in name or name.endswith(_INTERNAL_SUFFIXES) or isAddress(name)


def onPublicDomains(value: float) -> Callable[[Mapping[str, Any]], Any]:
    """
    The derivation of a limit that is finite on a public domain, where strangers come, and that
    internal names do not have.

    @param value: The limit on a public domain.
    """
    return lambda values: 0 if isInternalName(values["domain"]) else value
