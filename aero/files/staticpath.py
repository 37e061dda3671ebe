# -*- test-case-name: aero.files.test.test_staticpath -*-
"""
From the request target to path segments, decoded exactly once.

A target is either a plain sequence of names or it is refused as a whole. Nothing is cleaned
up: a server that turns C{/a/../b} or C{//b} into C{/b} disagrees sooner or later with a
proxy in front of it about what was asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
#: Control characters, the separators that must not hide in a name, and DEL.
_BAD_BYTES = re.compile(rb"[\x00-\x1f\x7f/\\]")
_ORIGIN = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)

#: What stays as it is when a segment goes into a C{Location} (RFC 3986 section 3.3).
_SEGMENT_SAFE = "!$&'()*+,;=:@-._~"
_QUERY_SAFE = _SEGMENT_SAFE + '/?%[]|^`{}"'

WELL_KNOWN = b".well-known"


@dataclass(frozen=True, slots=True)
class StaticPath:
    """
    A request target that names something below the root, or nothing at all.

    @ivar segments: The decoded names, none of them empty, C{.} or C{..}.
    @ivar slash: Whether the path ends in a slash; so does the root.
    @ivar base: The names that the path had before these, of the public base URL.
    """

    segments: tuple[bytes, ...]
    slash: bool
    base: tuple[bytes, ...] = ()

    @property
    def hidden(self) -> bool:
        """
        Whether it passes through a name that begins with a dot, other than C{/.well-known/}
        (RFC 8615).
        """
        segments = self.segments
        if segments and segments[0] == WELL_KNOWN:
            segments = segments[1:]
        return any(segment.startswith(b".") for segment in segments)

    @property
    def last(self) -> bytes:
        """
        The last segment, empty for a path that ends in a slash.
        """
        return b"" if self.slash or not self.segments else self.segments[-1]

    def isBelow(self, name: bytes) -> bool:
        """
        Whether it lies inside the first-level directory of this name.
        """
        segments = self.segments
        return bool(segments) and segments[0] == name and (len(segments) > 1 or self.slash)

    def relativeTo(self, base: tuple[bytes, ...]) -> StaticPath:
        """
        The same path, seen from a base that it may lie below.
        """
        size = len(base)
        if not size or self.segments[:size] != base:
            return self
        return StaticPath(self.segments[size:], self.slash, base)

    def location(self, query: bytes, *, slash: bool) -> bytes:
        """
        The path with or without its slash, for a redirect. It begins with one slash and so
        never names another host.

        @param query: The query as it came, or empty.
        """
        names = (*self.base, *self.segments)
        path = "".join("/" + quote_from_bytes(name, safe=_SEGMENT_SAFE) for name in names)
        path += "/" if slash or not path else ""
        if query:
            path += "?" + quote_from_bytes(query, safe=_QUERY_SAFE)
        return path.encode("ascii")


@lru_cache(maxsize=256)
def parsePath(raw: bytes) -> StaticPath | None:
    """
    Read the path of a request target.

    @param raw: The path, without its query, as it came.
    @return: C{None} where it is refused: it does not begin with one slash, has an empty,
        C{.} or C{..} segment, a broken escape, a control character, or an encoded separator.
    """
    if not raw.startswith(b"/") or _BAD_ESCAPE.search(raw):
        return None
    segments = raw[1:].split(b"/")
    slash = not segments[-1]
    if slash:
        segments.pop()
    names = []
    for segment in segments:
        name = unquote_to_bytes(segment) if b"%" in segment else segment
        if name in (b"", b".", b"..") or _BAD_BYTES.search(name):
            return None
        names.append(name)
    return StaticPath(tuple(names), slash)


def splitTarget(uri: bytes) -> tuple[bytes, bytes]:
    """
    The path and the query of a request target; the absolute form (RFC 9112 section 3.2.2)
    loses its scheme and authority.
    """
    path, _, query = uri.partition(b"?")
    if not path.startswith(b"/") and (match := _ORIGIN.match(path)):
        path = path[match.end() :] or b"/"
    return path, query
