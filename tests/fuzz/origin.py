# -*- test-case-name: tests.test_fuzz -*-
"""
The C{Origin} and C{Host} of a request, and allowlists.
"""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from aero.policy.origin import Origins, allowlistEntry, normalizeOrigin

from .explore import main

_LISTED = Origins(["https://example.com", "null"])
_ANY = Origins(["*"])
_SAME_HOST = Origins([])


# Any text is an origin or None, never an error, and its spelling is final: read again it is the
# same. An allowlist admits exactly the origins whose spelling is on it.
def check(data: bytes) -> None:
    lines = data.split(b"\n")
    raw = lines[0].decode("latin-1")
    for text in (raw, data.decode("utf-8", "replace")):
        origin = normalizeOrigin(text)
        if origin is not None:
            assert origin.isascii() and normalizeOrigin(origin) == origin
            _checkParts(origin)
        with contextlib.suppress(ValueError):
            entry = allowlistEntry(text)
            assert allowlistEntry(entry) == entry
    origin = normalizeOrigin(raw)
    listed = _LISTED.allow(lines[:1])
    if raw.strip(" \t"):
        assert listed.origin == origin
        assert listed.allowed == (origin in ("https://example.com", "null"))
        assert _ANY.allow(lines[:1]).allowed == (origin is not None)
    if len(lines) > 1:
        assert not _ANY.allow(lines).allowed
    same = _SAME_HOST.allow(lines[:1], lines[1:], "https")
    if same.allowed and same.origin is not None:
        assert len(lines) == 2 and same.origin.startswith("https://")
        host = normalizeOrigin("https://" + lines[1].decode("latin-1").strip())
        assert host == same.origin


def _checkParts(origin: str) -> None:
    """
    Another implementation takes it apart in the same way.
    """
    if origin == "null":
        return
    parts = urlsplit(origin)
    port = "" if parts.port is None else f":{parts.port}"
    assert parts.port != {"http": 80, "https": 443}[parts.scheme]
    assert parts.netloc.removesuffix(port).strip("[]") == parts.hostname
    assert not set(parts.hostname or "/") & set(" <>^|@/?#%\\")


if __name__ == "__main__":
    main(check)
