# -*- test-case-name: aero.http.test.test_channel -*-
"""
The bytes of responses over HTTP/1, and the ends of the connection that they go over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.web.http_headers import Headers


def closes(headers: Headers) -> bool | None:
    """
    Whether a response says that its connection ends.

    @return: C{None} where it does not mention the connection.
    """
    lines = headers.getRawHeaders(b"Connection")
    return None if lines is None else any(b"close" in value.lower() for value in lines)


def responseHead(start: Iterable[bytes], headers: Headers, last: bytes, *, close: bool) -> bytes:
    """
    The head of a response.

    @param start: Version, status and phrase.
    @param last: Lines behind all others, as they are.
    @param close: Whether to say that the connection ends.
    """
    parts = [b" ".join(start), b"\r\n"]
    if close:
        parts.append(b"Connection: close\r\n")
    for name, values in headers.getAllRawHeaders():
        for value in values:
            parts += (name, b": ", value, b"\r\n")
    parts += (last, b"\r\n")
    return b"".join(parts)


class Ends:
    """
    The two ends of a connection.

    @ivar transport: The TLS or TCP transport.
    """

    transport: Any = None
    _secure = False
    # Asking the system for it at each request would be a twentieth of a short response.
    _host: Any = None

    def getPeer(self) -> Any:
        """
        The address of the other end.
        """
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """
        The address of this end.
        """
        if self._host is None:
            self._host = self.transport.getHost()
        return self._host

    def isSecure(self) -> bool:
        """
        Whether the connection is encrypted.
        """
        return self._secure
