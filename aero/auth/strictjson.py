# -*- test-case-name: aero.auth.test.test_strictjson -*-
"""
JSON as RFC 8259 has it, for data that other languages read too.

Python's reader takes C{NaN} and lone surrogates, guesses UTF-16, and limits neither depth nor
the size of numbers by itself; every one of these would be read differently by another
verifier of the same token.
"""

from __future__ import annotations

import json
from typing import Any, TypeGuard

from aero.errors import DecodeError


def parseObject(data: bytes) -> dict[str, Any]:
    """
    Read one object; of equal keys the last one counts.

    @raise DecodeError: It is not UTF-8, not one JSON document, or not an object.
    """
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise DecodeError("expected a JSON object in UTF-8") from None
    if not isinstance(value, dict):
        raise DecodeError("expected a JSON object")
    return value


def dump(value: dict[str, Any]) -> bytes:
    """
    Write an object compactly, its keys in their order, characters as themselves.

    @raise ValueError: It holds text that UTF-8 cannot, or a number that JSON cannot.
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def isText(value: object) -> TypeGuard[str]:
    """
    Whether a value is a string of whole characters: a lone surrogate cannot be logged, sent or
    compared with what other languages make of it.
    """
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
