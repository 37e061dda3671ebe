# -*- test-case-name: aero.settings.test.test_load -*-
"""
Ports: lists of them, with the reference's words for what is wrong (gateway.md section 2), and
the address and port of a listener.
"""

from __future__ import annotations

import ipaddress
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


def listenAddress(value: str) -> tuple[str, int]:
    """
    The numeric address and port of a listener, an IPv6 address in brackets; without an
    address (C{:8080}) it is every IPv4 and IPv6 address.

    @return: The address without brackets, empty for every one, and the port; 0 is any free one.
    """
    expected = "expected an address and a port such as 127.0.0.1:8080 or [::1]:8080"
    host, colon, digits = value.strip().rpartition(":")
    if not colon or not digits.isascii() or not digits.isdigit() or int(digits) > 65_535:
        raise ValueError(expected)
    bracketed = host.startswith("[") and host.endswith("]")
    if not host:
        return "", int(digits)
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError(expected) from None
    if bracketed != (address.version == 6):
        raise ValueError(expected)
    return str(address), int(digits)
