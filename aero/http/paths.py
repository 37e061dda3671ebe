# -*- test-case-name: aero.http.test.test_paths -*-
"""
Reading the path of a request target, once and in one way.

Two readings of one path are how a request gets past one service and into another, so a
path is cut at its slashes first and decoded afterwards: an encoded slash is a character of
its segment and never makes a route.
"""

from __future__ import annotations

import re
from typing import Sequence
from urllib.parse import unquote_to_bytes

from aero.policy.origin import normalizeOrigin

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(rb"(?:https?|wss?):/*", re.IGNORECASE)
_DOTS = re.compile(rb"(?:\.|%2e){1,2}", re.IGNORECASE)


def decodePath(path: bytes) -> list[bytes] | None:
    """
    The decoded segments of a path: C{/a/b%20c} is C{[b"a", b"b c"]}, C{/} is C{[b""]}.

    @return: C{None} where the path does not begin with a slash, has a bad escape, or is not
        UTF-8 once decoded (gateway.md section 3.1, step 2).
    """
    if not path.startswith(b"/"):
        return None
    segments = path[1:].split(b"/")
    if b"%" in path:
        if _BAD_ESCAPE.search(path):
            return None
        segments = [unquote_to_bytes(segment) for segment in segments]
    elif path.isascii():
        return segments
    try:
        b"/".join(segments).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return segments


def isAmbiguous(segments: Sequence[bytes]) -> bool:
    """
    Whether programs disagree about what a decoded path means: it begins with two slashes,
    has dot segments, or holds a NUL. Browsers resolve the first two before they ask, so
    only probes are left.
    """
    text = b"/".join(segments).replace(b"\\", b"/")
    if b"\0" in text or text.startswith(b"/"):
        return True
    return b"." in text and any(part in (b".", b"..") for part in text.split(b"/"))


def upgradePath(target: bytes) -> bytes | None:
    """
    The path of a WebSocket handshake, read as a URL relative to C{http://localhost}: any
    authority is dropped and dot segments are resolved, but nothing is percent-decoded
    (gateway.md section 9.2, rows 3 and 4).

    @return: C{None} where the target is no URL.
    """
    path = re.split(rb"[?#]", target, maxsplit=1)[0].replace(b"\\", b"/")
    absolute = _ABSOLUTE.match(path)
    if absolute is not None or path.startswith(b"//"):
        rest = path[absolute.end() :] if absolute is not None else path.lstrip(b"/")
        authority, slash, rest = rest.partition(b"/")
        host = authority.rpartition(b"@")[2].decode("latin-1")
        if normalizeOrigin(f"http://{host.removesuffix(':')}") is None:
            return None
        path = slash + rest
    resolved: list[bytes] = []
    for segment in path.removeprefix(b"/").split(b"/"):
        if _DOTS.fullmatch(segment) is None:
            resolved.append(segment)
        elif resolved and segment.lower().replace(b"%2e", b".") == b"..":
            resolved.pop()
    return b"/" + b"/".join(resolved)
