# -*- test-case-name: tests.test_fuzz -*-
"""
Request targets: paths, queries, and the target of a C{/tcp} tunnel.
"""

from __future__ import annotations

from aero.errors import Refused
from aero.files.staticpath import parsePath, splitTarget
from aero.http.paths import decodePath, isAmbiguous, upgradePath
from aero.wire.tcptarget import parseTarget

from .explore import main


# Any bytes are a path or None, and a target or a Refused with 400. No path that was taken for a
# file climbs or hides a separator, no redirect to it leads to another host, and a path that was
# resolved is final.
def check(data: bytes) -> None:
    path, query = splitTarget(data)
    segments = decodePath(path)
    if segments is not None:
        isAmbiguous(segments)
    static = parsePath(path)
    if static is not None:
        for name in static.segments:
            assert name not in (b"", b".", b"..")
            assert not set(name) & set(b"/\\\0\r\n")
        location = static.location(query, slash=True)
        assert location.startswith(b"/") and not location.startswith(b"//")
        assert location.isascii() and not set(location) & set(b"\r\n \\")
        again = parsePath(splitTarget(location)[0])
        assert again is not None and again.segments == static.segments and again.slash
    upgraded = upgradePath(data)
    if upgraded is not None:
        assert upgraded.startswith(b"/")
        parts = upgraded.lower().replace(b"%2e", b".").split(b"/")
        assert b"." not in parts and b".." not in parts
        if not upgraded.startswith(b"//"):
            assert upgradePath(upgraded) == upgraded
    for text in (query.decode("latin-1"), data.decode("utf-8", "replace")):
        try:
            host, port = parseTarget(text)
        except Refused as refused:
            assert refused.status == 400
        else:
            assert 0 < len(host) <= 1_056 and 1 <= port <= 65_535


if __name__ == "__main__":
    main(check)
