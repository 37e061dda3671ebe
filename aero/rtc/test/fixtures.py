"""
Two SCTP associations without a network, in a time of their own: ours, and aiortc's as the client.
"""

# mypy: disable-error-code="override, abstract"

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Callable

from aiortc import RTCDataChannel
from aiortc.rtcdatachannel import RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from aero.rtc.association import Association
from aero.rtc.datachannel import ChannelReceiver, ChannelRequest, DataChannel


class _Handle:
    """
    A timer of asyncio on a L{Clock}.
    """

    def __init__(self, call: IDelayedCall) -> None:
        self._call = call

    def cancel(self) -> None:
        if self._call.active():
            self._call.cancel()

    def when(self) -> float:
        return self._call.getTime()


class MemoryLoop(asyncio.AbstractEventLoop):
    """
    As much of an event loop as SCTP needs. Its coroutines never wait, so tasks are run at once.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def time(self) -> float:
        return self.clock.seconds()

    def call_soon(self, callback: Any, *arguments: Any, context: Any = None) -> Any:
        return self.call_later(0, callback, *arguments)

    def call_later(self, delay: float, callback: Any, *arguments: Any, context: Any = None) -> Any:
        return _Handle(self.clock.callLater(max(delay, 0.0), callback, *arguments))

    def call_at(self, when: float, callback: Any, *arguments: Any, context: Any = None) -> Any:
        return self.call_later(when - self.time(), callback, *arguments)

    def create_task(self, coroutine: Any, **options: Any) -> Any:
        run(coroutine)

    def get_debug(self) -> bool:
        return False


def run(coroutine: Coroutine[Any, Any, Any]) -> None:
    """
    Run a coroutine that does not wait.
    """
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


class Wire:
    """
    One end of a DTLS connection.

    @ivar packets: What was sent and has not arrived.
    @ivar lose: Says of a packet whether it is lost.
    """

    state = "connected"

    def __init__(self, role: str, clock: Clock) -> None:
        self._role = role
        self._clock = clock
        self.receiver: Any = None
        self.other: Wire
        self.sent = 0
        self.lose: Callable[[bytes], bool] = lambda packet: False

    def _register_data_receiver(self, receiver: Any) -> None:
        self.receiver = receiver

    def _unregister_data_receiver(self, receiver: Any) -> None:
        self.receiver = None

    async def _send_data(self, data: bytes) -> None:
        self.sendPackets([data])

    def sendPackets(self, packets: list[bytes]) -> None:
        """
        Send what the other end gets a millisecond later, together.
        """
        self.sent += len(packets)
        arriving = [packet for packet in packets if not self.lose(packet)]
        if arriving:
            self._clock.callLater(0.001, self.other.arrive, arriving)

    def arrive(self, packets: list[bytes]) -> None:
        """
        Hand packets over.
        """
        if isinstance(self.receiver, Association):
            self.receiver.packetsReceived(packets)
        elif self.receiver is not None:
            for packet in packets:
                run(self.receiver._handle_data(packet))


class Recorder:
    """
    What listens to a channel. See L{ChannelReceiver}.
    """

    def __init__(self) -> None:
        self.channel: DataChannel | None = None
        self.messages: list[bytes] = []
        self.batches = 0
        self.texts: list[int] = []
        self.drained = 0
        self.closed = False
        self.failure: Exception | None = None

    def channelOpened(self, channel: DataChannel) -> None:
        self.channel = channel

    def messagesReceived(self, messages: list[bytes]) -> None:
        if self.failure is not None:
            raise self.failure
        self.batches += 1
        self.messages += messages

    def textReceived(self, size: int) -> None:
        self.texts.append(size)

    def channelDrained(self) -> None:
        self.drained += 1

    def channelClosed(self) -> None:
        self.closed = True


class Pair:
    """
    Both ends, connected.

    @ivar ours: Our association.
    @ivar theirs: aiortc's.
    @ivar receivers: What listens to our channels, by label.
    @ivar refused: Labels that get no channel.
    """

    def __init__(self, **limits: int) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.loop = MemoryLoop(self.clock)
        asyncio.set_event_loop(self.loop)
        here, there = Wire("client", self.clock), Wire("server", self.clock)
        here.other, there.other = there, here
        self.here, self.there = here, there
        self.receivers: dict[str, Recorder] = {}
        self.requests: list[ChannelRequest] = []
        self.refused: set[str] = set()
        self.tooLarge: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.established = 0
        sizes = {"maxMessage": 4_352, "maxBuffer": 1_048_576} | limits
        self.ours = Association(here, self, **sizes)
        wire: Any = there
        self.theirs = RTCSctpTransport(wire)
        capabilities = RTCSctpCapabilities(maxMessageSize=0)
        run(self.ours.start(capabilities, 5_000))
        run(self.theirs.start(capabilities, 5_000))
        self.wait()

    def close(self) -> None:
        """
        The end of the test.
        """
        self.ours.end("the test is over")
        run(self.theirs.stop())
        asyncio.set_event_loop(None)

    def wait(self, seconds: float = 0.5, step: float = 0.001) -> None:
        """
        Let time pass.
        """
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def open(self, label: str, **options: Any) -> RTCDataChannel:
        """
        Have the client open a channel.
        """
        channel = RTCDataChannel(self.theirs, RTCDataChannelParameters(label=label, **options))
        channel.received = []  # type: ignore[attr-defined]
        channel.on("message", channel.received.append)  # type: ignore[attr-defined]
        self.wait()
        return channel

    # -- AssociationOwner

    def channelRequested(self, request: ChannelRequest) -> ChannelReceiver | None:
        self.requests.append(request)
        if request.label in self.refused:
            return None
        receiver = self.receivers[request.label] = Recorder()
        return receiver

    def associationEstablished(self) -> None:
        self.established += 1

    def messageTooLarge(self, label: str, size: int) -> None:
        self.tooLarge.append((label, size))

    def associationEnded(self, reason: str) -> None:
        self.ended.append(reason)
