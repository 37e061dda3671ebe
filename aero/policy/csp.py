# -*- test-case-name: aero.policy.test.test_csp -*-
"""
The Content-Security-Policy of pages (CSP 3; edge.md section 4.2).
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Iterable, Mapping

#: No inline script or style; C{'wasm-unsafe-eval'} because an emulator compiles WebAssembly
#: while it runs. C{blob:} because emulators and bundlers make workers, audio worklets, modules and
#: media from their own bytes, and fetch them. A blob has the origin of the page that made it, so
#: only a script that runs already can use one. Worklets and C{import()} fall under C{script-src}.
_POLICY: dict[str, str] = {
    "default-src": "'none'",
    "base-uri": "'none'",
    "object-src": "'none'",
    "frame-ancestors": "'none'",
    "script-src": "'self' 'wasm-unsafe-eval' blob:",
    "worker-src": "'self' blob:",
    "connect-src": "'self' blob:",
    "img-src": "'self' data: blob:",
    "media-src": "'self' blob:",
    "style-src": "'self'",
    "font-src": "'self'",
    "frame-src": "",
}

#: The directives that may get more sources.
EXTENSIBLE = (
    "script-src",
    "worker-src",
    "connect-src",
    "img-src",
    "media-src",
    "style-src",
    "font-src",
    "frame-src",
)

#: The hash of an inline script or style (CSP 3 section 2.3.1).
HASH = re.compile(r"'sha(?:256|384|512)-[A-Za-z0-9+/_-]+={0,2}'")

#: What another source may never contain, whoever checked it before: it would end its directive, or
#: the header.
_NOT_IN_SOURCE = re.compile(r"[^!-~]|[;,'\"]")

Sources = Mapping[str, Iterable[str]]

NO_SOURCES: Sources = MappingProxyType({})


def contentSecurityPolicy(extra: Sources = NO_SOURCES) -> bytes:
    """
    Build the policy of pages.

    @param extra: More sources for directives of L{EXTENSIBLE}.
    @raise ValueError: A source would say something else than a source, or a directive takes none.
    """
    for directive in extra:
        if directive not in EXTENSIBLE:
            raise ValueError(f"expected a directive that takes more sources, not {directive!r}")
    written = []
    for directive, own in _POLICY.items():
        sources = [own] if own else []
        for source in extra.get(directive, ()):
            if not HASH.fullmatch(source) and (not source or _NOT_IN_SOURCE.search(source)):
                raise ValueError(f"expected a source of a content security policy, not {source!r}")
            sources.append(source)
        if sources:
            written.append(f"{directive} {' '.join(sources)}")
    return "; ".join(written).encode("ascii")
