# -*- test-case-name: aero.http.test.test_accesslog -*-
"""
The access log: one structured event for each response.

An event never has the query string, a token, a cookie or a whole client address: the route
is a template, and the address keeps only its network unless the operator wants it whole.
"""

from __future__ import annotations

from typing import Protocol

from twisted.logger import Logger, LogLevel

from aero.log import blurred

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

    def __init__(
        self,
        level: LogLevel = LogLevel.debug,
        *,
        least: LogLevel = LogLevel.debug,
        fullAddresses: bool = False,
    ) -> None:
        """
        @param level: The level of ordinary responses.
        @param least: The least important level that anybody reads. An event that nobody reads
            takes a twentieth of a short response's time, so it is not made.
        @param fullAddresses: Whether client addresses are written whole.
        """
        self._level = level
        self._writesAll = level >= least
        self._writesErrors = LogLevel.info >= least
        self._fullAddresses = fullAddresses

    def responded(self, request: AeroRequest, status: int, duration: float) -> None:
        """
        Log one response.
        """
        if not (self._writesErrors if status >= 500 else self._writesAll):
            return
        address = request.client.ip
        _log.emit(
            LogLevel.info if status >= 500 else self._level,
            "{method} {route} {status} {bytes} bytes {duration:.3f} s {client} {requestId}",
            method=_method(request.method),
            route=request.route,
            status=status,
            bytes=request.sentLength,
            duration=duration,
            requestId=request.requestId,
            client=address if self._fullAddresses else blurred(address),
        )


def _method(method: bytes) -> str:
    text = method[:16].decode("latin-1")
    return text if text.isprintable() else "?"
