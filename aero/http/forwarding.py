# -*- test-case-name: aero.http.test.test_forwarding -*-
"""
Which headers go through a proxy, and which end at it (RFC 9110 section 7.6.1).
"""

from __future__ import annotations

from typing import Final, Iterable

from twisted.web.http_headers import Headers

from aero.wire.fieldlist import elements

#: Meant for the next hop alone, whatever C{Connection} says.
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

#: What says who the client is. Ours are the only ones the upstream sees: it must not be
#: possible to invent an address by sending the header.
_ABOUT_THE_CLIENT: Final = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)

#: Made anew for the upstream: its own name, and the framing of the body.
_REPLACED: Final = frozenset({b"host", b"content-length", b"expect"})


def _named(lines: Iterable[bytes]) -> set[bytes]:
    return {name.lower() for name in elements(lines)}


def requestHeaders(received: Headers, *, address: str, secure: bool) -> Headers:
    """
    The headers of a request as the upstream gets them, C{Host} and framing left out.

    @param received: What the client sent.
    @param address: The effective address of the client.
    @param secure: Whether the client used TLS.
    """
    dropped = _HOP_BY_HOP | _ABOUT_THE_CLIENT | _REPLACED
    headers = _without(received, dropped)
    headers.setRawHeaders(b"X-Forwarded-For", [address.encode("ascii", "replace")])
    headers.setRawHeaders(b"X-Forwarded-Proto", [b"https" if secure else b"http"])
    hosts = received.getRawHeaders(b"Host")
    if hosts:
        headers.setRawHeaders(b"X-Forwarded-Host", [hosts[0]])
    return headers


def responseHeaders(received: Headers) -> Headers:
    """
    The headers of a response as the client gets them, framing left out.
    """
    return _without(received, _HOP_BY_HOP | {b"content-length"})


def _without(received: Headers, dropped: frozenset[bytes]) -> Headers:
    also = _named(received.getRawHeaders(b"Connection", ()))
    headers = Headers()
    for name, values in received.getAllRawHeaders():
        lower = name.lower()
        if lower not in dropped and lower not in also:
            headers.setRawHeaders(name, values)
    return headers
