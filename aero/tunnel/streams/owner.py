# -*- test-case-name: aero.tunnel.streams.test.test_stream -*-
"""
What a stream of C{/tcp-mux} needs from those around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IReactorTime

if TYPE_CHECKING:
    from .stream import MuxStream


class Sender(Protocol):
    """
    The way to the client; L{aero.tunnel.streams.sender.FairSender}.
    """

    def sendData(self, streamId: int, data: bytes) -> int:
        """
        Send as much as there is room for now, if it is nobody else's turn.

        @return: How many bytes were sent.
        """
        ...

    def enqueue(self, stream: MuxStream) -> None:
        """
        A stream has something to send.
        """
        ...

    def send(self, frame: bytes) -> None:
        """
        Send a frame that may not wait.
        """
        ...


class Owner(Protocol):
    """
    Whoever has the stream in its table.
    """

    clock: IReactorTime

    def streamCongested(self, stream: MuxStream) -> None:
        """
        More waits for the stream's protocol than should.
        """
        ...

    def streamRelieved(self, stream: MuxStream) -> None:
        """
        Nothing waits for the protocol any more.
        """
        ...

    def streamForgotten(self, stream: MuxStream, why: str) -> None:
        """
        The stream is over and everything of it was sent: its id is free.

        @param why: C{finished}, C{reset}, C{error} or C{gone}.
        """
        ...

    def errorSent(self, code: int) -> None:
        """
        A stream failed with this code.
        """
        ...

    def queued(self, direction: str, change: int) -> None:
        """
        A queue grew or shrank by this many bytes.
        """
        ...
