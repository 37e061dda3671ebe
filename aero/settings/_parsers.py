# -*- test-case-name: aero.settings.test.test_parsers -*-
"""
Parsers for the settings table: text in, value out.

A parser raises C{ValueError} with what it accepts; L{aero.settings.load} puts the variable
and the value in front. The number syntax is the reference's (gateway.md section 2, rule INT):
surrounding white space, C{0x} and exponents are accepted because files in the field use them.
"""

from __future__ import annotations

import ipaddress
import math
import re
from typing import Any, Callable, TypeVar
from urllib.parse import urlsplit

_T = TypeVar("_T")

#: The most a list may hold, from gateway.md section 2, rule LIST.
MAX_LIST_CHARACTERS = 65_536
MAX_LIST_ITEMS = 1_024

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_HEX = re.compile(r"0[xX][0-9a-fA-F]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_GO_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
_GO_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


#: Seconds that a NAT keeps a mapping of UDP at least (RFC 4787 section 4.3, REQ-5).
MIN_MAPPING = 120.0


def text(value: str) -> str:
    """
    Any text, without the white space around it.
    """
    return value.strip()


def number(minimum: float = 0, maximum: float = math.inf) -> Callable[[str], float]:
    """
    A finite number in a range, fractions allowed (gateway.md section 2, rule NUM).
    """

    def parse(value: str) -> float:
        found = _number(value)
        if found is None or not minimum <= found <= maximum:
            raise ValueError(f"expected a number {_range(minimum, maximum)}")
        return found

    return parse


def integer(minimum: int = 0, maximum: float = math.inf) -> Callable[[str], int]:
    """
    A whole number in a range (gateway.md section 2, rule INT).
    """

    def parse(value: str) -> int:
        found = _number(value)
        if found is None or found != int(found) or not minimum <= found <= maximum:
            raise ValueError(f"expected a whole number {_range(minimum, maximum)}")
        return int(found)

    return parse


def flag(value: str) -> bool:
    """
    Exactly C{0} or C{1} (gateway.md section 2, rule FLAG01).
    """
    if value.strip() not in ("0", "1"):
        raise ValueError("expected 0 or 1")
    return value.strip() == "1"


def switch(value: str) -> bool:
    """
    On or off, in the words that L2 deployments use (l2.md section 3.1, class Bt), in any case.
    """
    word = value.strip().lower()
    if word not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError("expected 1, true, yes or on, or 0, false, no or off")
    return word in ("1", "true", "yes", "on")


def choice(*accepted: str) -> Callable[[str], str]:
    """
    One of a few words, exactly as written.
    """

    def parse(value: str) -> str:
        if value.strip() not in accepted:
            raise ValueError("expected one of " + ", ".join(accepted))
        return value.strip()

    return parse


def listOf(item: Callable[[str], _T], what: str) -> Callable[[str], tuple[_T, ...]]:
    """
    A comma separated list; items are trimmed and empty ones dropped
    (gateway.md section 2, rule LIST).

    @param what: What one item is, for the error.
    """

    def parse(value: str) -> tuple[_T, ...]:
        if len(value) > MAX_LIST_CHARACTERS:
            raise ValueError(f"Value too long (at most {MAX_LIST_CHARACTERS} characters)")
        items = [part.strip() for part in value.split(",") if part.strip()]
        if len(items) > MAX_LIST_ITEMS:
            raise ValueError(f"Too many entries (at most {MAX_LIST_ITEMS})")
        found: list[_T] = []
        for part in items:
            try:
                found.append(item(part))
            except ValueError as error:
                raise ValueError(f"{part!r} is not {what}: {error}") from None
        return tuple(found)

    return parse


def milliseconds(minimum: int = 0) -> Callable[[str], float]:
    """
    A whole number of milliseconds, kept in seconds.
    """
    whole = integer(minimum)
    return lambda value: whole(value) / 1000.0


def duration(value: str) -> float:
    """
    A duration in Go's syntax (C{1m30s}, C{250ms}), kept in seconds.
    """
    stripped = value.strip()
    if stripped == "0":
        return 0.0
    parts = _GO_DURATION.findall(stripped)
    if not parts or "".join(amount + unit for amount, unit in parts) != stripped:
        raise ValueError("expected a duration such as 250ms, 30s or 1m30s")
    return float(sum(float(amount) * _GO_UNITS[unit] for amount, unit in parts))


def network(value: str) -> IPNetwork:
    """
    An IP network in CIDR form; a bare address is a network of one.
    """
    try:
        return ipaddress.ip_network(value.strip(), strict=False)
    except ValueError:
        raise ValueError("expected an address or a network such as 10.0.0.0/8") from None


def port(value: str) -> int:
    """
    A port number that can be connected to.
    """
    return integer(1, 65_535)(value)


def httpURL(*schemes: str) -> Callable[[str], str]:
    """
    An absolute URL with one of the given schemes; one trailing slash is removed.
    """

    def parse(value: str) -> str:
        stripped = value.strip()
        expected = "expected an absolute URL that begins with " + " or ".join(
            f"{scheme}://" for scheme in schemes
        )
        try:
            parts = urlsplit(stripped)
            valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid or not stripped.isascii() or not stripped.isprintable() or " " in stripped:
            raise ValueError(expected)
        return stripped[:-1] if stripped.endswith("/") else stripped

    return parse


def positiveOr(default: int) -> Callable[[str], int]:
    """
    A whole number where C{0} stands for the default (the L2 payload limits).
    """

    def parse(value: str) -> int:
        if len(value) > 64:
            raise ValueError("expected a whole number of at most 64 characters")
        return integer(0)(value) or default

    return parse


def _number(value: str) -> float | None:
    stripped = value.strip()
    if _HEX.fullmatch(stripped):
        return float(int(stripped, 16))
    if not _DECIMAL.fullmatch(stripped):
        return None
    found = float(stripped)
    return found if math.isfinite(found) else None


def _range(minimum: Any, maximum: Any) -> str:
    if maximum == math.inf:
        return f"of at least {minimum}"
    return f"from {minimum} to {maximum}"
