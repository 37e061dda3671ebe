# -*- test-case-name: aero.files.test.test_conditional -*-
"""
Conditional requests: RFC 9110 section 13, decided from header values alone.

Times are whole seconds, which is all that an HTTP date can say. A date that does not parse
makes its header count as absent, as section 13.1 demands.
"""

from __future__ import annotations

import enum
import re
from email.utils import formatdate
from functools import lru_cache
from typing import Final, Sequence

from twisted.web.http import stringToDatetime

#: More entity tags than a cache could have for one URL; the rest of the list is not read.
MAX_TAGS: Final = 64

_TAG = re.compile(rb'[ \t,]*(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|\Z)')


class Verdict(enum.Enum):
    """
    What the conditions of a request lead to.
    """

    PROCEED = 200
    NOT_MODIFIED = 304
    FAILED = 412


@lru_cache(maxsize=1024)
def httpDate(seconds: int) -> bytes:
    """
    A time in the one format that may be sent (RFC 9110 section 5.6.7).
    """
    return formatdate(seconds, usegmt=True).encode("ascii")


@lru_cache(maxsize=256)
def _seconds(text: bytes) -> int | None:
    if len(text) > 64:
        return None
    try:
        seconds: int = stringToDatetime(text)
    except (ValueError, OverflowError, IndexError, KeyError):
        return None
    return seconds


def _tags(lines: Sequence[bytes]) -> list[tuple[bool, bytes]]:
    """
    The (weak, opaque tag) pairs of a list; it ends where the syntax does. Empty elements are
    ignored (RFC 9110 section 5.6.1.2).
    """
    found: list[tuple[bool, bytes]] = []
    text = b",".join(lines)
    position = 0
    while len(found) < MAX_TAGS and (match := _TAG.match(text, position)):
        found.append((match[1] is not None, match[2]))
        position = match.end()
    return found


def _isAny(lines: Sequence[bytes]) -> bool:
    return len(lines) == 1 and lines[0].strip(b" \t") == b"*"


def noneMatches(lines: Sequence[bytes], etag: bytes) -> bool:
    """
    Whether an C{If-None-Match} names the representation; the comparison is the weak one.
    """
    return _isAny(lines) or any(tag == etag for _, tag in _tags(lines))


def evaluate(
    *,
    ifMatch: Sequence[bytes] | None,
    ifUnmodifiedSince: bytes | None,
    ifNoneMatch: Sequence[bytes] | None,
    ifModifiedSince: bytes | None,
    etag: bytes,
    modified: int,
) -> Verdict:
    """
    Apply the conditions of a GET or HEAD in the order of RFC 9110 section 13.2.2.

    @param etag: The strong entity tag of the selected representation, quotes included.
    @param modified: When it was last modified, in seconds since the epoch.
    """
    if ifMatch is not None:
        if not _isAny(ifMatch) and (False, etag) not in _tags(ifMatch):
            return Verdict.FAILED
    elif ifUnmodifiedSince is not None:
        limit = _seconds(ifUnmodifiedSince)
        if limit is not None and modified > limit:
            return Verdict.FAILED
    if ifNoneMatch is not None:
        if noneMatches(ifNoneMatch, etag):
            return Verdict.NOT_MODIFIED
    elif ifModifiedSince is not None:
        since = _seconds(ifModifiedSince)
        if since is not None and modified <= since:
            return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


def rangeApplies(ifRange: bytes | None, etag: bytes, modified: int) -> bool:
    """
    Whether a C{Range} still holds under C{If-Range} (RFC 9110 section 13.1.5).

    The comparison is strong: a weak tag never matches, and a date only exactly.
    """
    if ifRange is None:
        return True
    value = ifRange.strip(b" \t")
    if value.startswith((b'"', b"W/")):
        return value == etag
    return _seconds(value) == modified
