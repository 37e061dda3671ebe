# -*- test-case-name: aero.web.test.test_accesslog -*-
"""
The access log: one structured event for each response.

An event never has the query string, a token, a cookie or a whole client address: the route
is a template, and the address keeps only its network.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from twisted.logger import Logger, LogLevel

if TYPE_CHECKING:
    from .request import AeroRequest

_log = Logger(namespace="aero.web.access")


class RequestLog(Protocol):
    """
    Who is told of finished responses.
    """

    def responded(self, request: AeroRequest, status: int, duration: float) -> None:
        """
        A response is complete, or a connection was taken over (101).

        @param duration: Seconds since the headers were complete.
        """


class AccessLog:
    """
    Emits L{twisted.logger} events: C{info} for errors of the server, C{debug} for the rest
    unless told otherwise.
    """

    def __init__(self, level: LogLevel = LogLevel.debug) -> None:
        """
        @param level: The level of ordinary responses.
        """
        self._level = level

    def responded(self, request: AeroRequest, status: int, duration: float) -> None:
        """
        Log one response.
        """
        _log.emit(
            LogLevel.info if status >= 500 else self._level,
            "{method} {route} {status} {bytes} bytes {duration:.3f} s {client} {requestId}",
            method=_method(request.method),
            route=request.route,
            status=status,
            bytes=request.sentLength,
            duration=duration,
            requestId=request.requestId,
            client=blurred(request.client.ip),
        )


@lru_cache(4_096)
def blurred(address: str) -> str:
    """
    The network of an address: C{192.0.2.0/24}, C{2001:db8:1::/48}. Something that is no
    address, such as the path of a UNIX socket, becomes C{-}.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "-"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.ip_network((found, 48), strict=False))
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, 24), strict=False))


def _method(method: bytes) -> str:
    text = method[:16].decode("latin-1")
    return text if text.isprintable() else "?"
