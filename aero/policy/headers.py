# -*- test-case-name: aero.policy.test.test_headers -*-
"""
The headers that every response carries, in one table (edge.md section 4).

Cross-origin isolation is lost with the first response that lacks one of them, or that has one
twice, so nothing else in aero writes these names.
"""

from __future__ import annotations

from typing import Iterable

from .csp import NO_SOURCES, Sources, contentSecurityPolicy

Pair = tuple[bytes, bytes]

#: What makes C{crossOriginIsolated} true, and with it SharedArrayBuffer.
ISOLATION: tuple[Pair, ...] = (
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Embedder-Policy", b"require-corp"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Origin-Agent-Cluster", b"?1"),
)

NO_SNIFF: Pair = (b"X-Content-Type-Options", b"nosniff")
NO_REFERRER: Pair = (b"Referrer-Policy", b"no-referrer")
PERMISSIONS: Pair = (
    b"Permissions-Policy",
    b"camera=(), geolocation=(), microphone=(self), usb=(self)",
)

#: For the routes of the gateway; elsewhere C{frame-ancestors} says the same.
NO_FRAMES: Pair = (b"X-Frame-Options", b"DENY")


class ResponseHeaders:
    """
    A set of headers for every response of a site.

    @ivar pairs: Names and values, in the order and capitals they are sent with.
    @ivar names: The names in lower case, for telling them from those a resource sets.
    """

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.pairs: tuple[Pair, ...] = tuple(pairs)
        self.names: frozenset[bytes] = frozenset(name.lower() for name, _ in self.pairs)

    def replacing(self, name: bytes, value: bytes) -> ResponseHeaders:
        """
        The same set with another value of one header; without that header it stays as it is.
        """
        lower = name.lower()
        return ResponseHeaders(
            (each, value if each.lower() == lower else old) for each, old in self.pairs
        )

    @classmethod
    def edge(cls, hstsMaxAge: int, sources: Sources = NO_SOURCES) -> ResponseHeaders:
        """
        The set of a site that serves pages (edge.md sections 4.1 to 4.3).

        @param hstsMaxAge: Seconds that browsers shall insist on TLS; 0 makes them forget it.
        @param sources: See L{contentSecurityPolicy}.
        """
        return cls(
            (
                *ISOLATION,
                NO_SNIFF,
                NO_REFERRER,
                PERMISSIONS,
                (b"Content-Security-Policy", contentSecurityPolicy(sources)),
                (b"Strict-Transport-Security", b"max-age=%d" % hstsMaxAge),
            )
        )

    @classmethod
    def gateway(cls, isolate: bool) -> ResponseHeaders:
        """
        The set of the gateway on its own (gateway.md section 3.5), which leaves the rest to
        the edge in front of it.

        @param isolate: Whether it adds what isolation needs.
        """
        isolation = ISOLATION if isolate else ()
        return cls((NO_SNIFF, NO_REFERRER, NO_FRAMES, PERMISSIONS, *isolation))
