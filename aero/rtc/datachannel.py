# -*- test-case-name: aero.rtc.test.test_association -*-
"""
A data channel, and what listens to it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, Sequence

from .inbound import Message
from .outbound import SendStream


class ChannelRequest(NamedTuple):
    """
    What a peer asks a data channel to be (RFC 8832 section 5.1).

    @ivar label: Its name.
    @ivar protocol: Its subprotocol.
    @ivar ordered: Whether messages keep their order.
    @ivar maxRetransmits: How often a message is sent again, or C{None} for until it arrives.
    @ivar maxPacketLifeTime: For how many milliseconds, or C{None}.
    """

    label: str
    protocol: str
    ordered: bool
    maxRetransmits: int | None
    maxPacketLifeTime: int | None


class ChannelReceiver(Protocol):
    """
    What listens to an open data channel.
    """

    def channelOpened(self, channel: DataChannel) -> None:
        """
        The channel may be used.
        """

    def messagesReceived(self, messages: list[bytes]) -> None:
        """
        Binary messages, at least one, in order; those of one turn together.
        """

    def textReceived(self, size: int) -> None:
        """
        A string of some bytes, which is not looked at.
        """

    def channelDrained(self) -> None:
        """
        Some of what waited was sent.
        """

    def channelClosed(self) -> None:
        """
        Nothing more will come, nothing more can be sent.
        """


class ChannelOwner(Protocol):
    """
    The association of a channel, as the channel sees it.
    """

    def sendMessages(self, stream: SendStream, messages: Sequence[bytes], limit: int) -> int:
        """
        See L{DataChannel.send}.
        """

    def channelResumed(self, channel: DataChannel) -> None:
        """
        See L{DataChannel.resumeReading}.
        """

    def closeChannel(self, channel: DataChannel) -> None:
        """
        See L{DataChannel.close}.
        """

    def channelEnds(self, channel: DataChannel) -> None:
        """
        The channel is closing or closed.
        """

    def call(self, hook: Any, *arguments: Any) -> None:
        """
        Call a receiver; its errors end the association.
        """


class DataChannel:
    """
    An open data channel. For aiortc it stands where its own class would.

    @ivar label: Its name.
    @ivar id: Its stream.
    """

    negotiated = False

    def __init__(
        self,
        association: ChannelOwner,
        number: int,
        label: str,
        stream: SendStream,
        receiver: ChannelReceiver | None,
    ) -> None:
        self.label = label
        self.id = number
        self.readyState = "open"
        self.stream = stream
        self.receiver = receiver
        self.held: list[Message] = []
        self.paused = False
        self._association = association

    @property
    def isOpen(self) -> bool:
        """
        Whether messages can be sent.
        """
        return self.readyState == "open"

    @property
    def queuedBytes(self) -> int:
        """
        Bytes that wait to be sent for the first time.
        """
        return self.stream.queuedBytes

    def send(self, messages: Sequence[bytes], limit: int = 0) -> int:
        """
        Send binary messages.

        @param limit: Bytes that may wait, beyond which the oldest messages are dropped; 0 for
            any number.
        @return: How many messages were dropped.
        """
        if self.readyState != "open":
            return 0
        return self._association.sendMessages(self.stream, messages, limit)

    def pauseReading(self) -> None:
        """
        Hold messages back, so that the peer's window closes.
        """
        self.paused = True

    def resumeReading(self) -> None:
        """
        Deliver what was held back, and go on.
        """
        if self.paused:
            self.paused = False
            self._association.channelResumed(self)

    def close(self) -> None:
        """
        Close it once what waits was sent.
        """
        self._association.closeChannel(self)

    def _setReadyState(self, state: str) -> None:
        """
        Called by aiortc.
        """
        if state == self.readyState:
            return
        self.readyState = state
        receiver, self.receiver = self.receiver, None
        self._association.channelEnds(self)
        if receiver is not None:
            self._association.call(receiver.channelClosed)
