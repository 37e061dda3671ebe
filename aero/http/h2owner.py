# -*- test-case-name: aero.http.test.test_h2stream -*-
"""
The narrow view that an HTTP/2 stream has of its connection.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from h2.errors import ErrorCodes

from aero.policy.budget import Share

from .door import Site
from .h2machine import Machine
from .request import AeroRequest

S = TypeVar("S")


class StreamOwner(Protocol[S]):
    """
    A connection with streams of type C{S}.

    @ivar streams: The streams that have something to receive or to send, by their ids.
    @ivar h2: The protocol machine.
    @ivar host: The address of this end.
    """

    streams: dict[int, S]
    h2: Machine
    transport: Any
    host: Any

    @property
    def site(self) -> Site[AeroRequest]:
        """
        The site of the connection.
        """

    def share(self) -> Share:
        """
        Begin to count the bytes that wait on one stream.
        """

    def malformed(self, stream: S, reason: str) -> None:
        """
        End the stream of a request that is malformed (RFC 9113 section 8.1.1).
        """

    def reset(self, stream: S, code: ErrorCodes) -> None:
        """
        End a stream before its response is complete.
        """

    def streamDone(self, stream: S) -> None:
        """
        A response is complete and written.
        """

    def ready(self, stream: S) -> None:
        """
        A stream may have something to send.
        """

    def isSecure(self) -> bool:
        """
        Whether the connection is encrypted.
        """
