# -*- test-case-name: aero.testing.test.test_l2 -*-
"""
LANs and carriers in memory, for tests of Ethernet tunnels::

    lans = MemoryLANs()
    tunnels = makeTunnels(lans, clock, metrics)
    carrier = MemoryCarrier()
    tunnel = carrier.open(tunnels)
    carrier.deliver(FRAME_HEADER + frame)
    self.assertEqual(lans.last.frames, [frame])
    lans.last.port.sendFrames([answer])
    self.assertEqual(carrier.take(), [FRAME_HEADER + answer])
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IReactorTime

from aero.lan.peer import FramePort, GuestPeer
from aero.metrics import ROWS, Metrics
from aero.settings.l2 import L2Settings
from aero.tunnel.ethernet.capture import Captures
from aero.tunnel.ethernet.ends import TunnelPeer
from aero.tunnel.ethernet.tunnel import L2Tunnel
from aero.tunnel.ethernet.tunnels import L2Tunnels


class MemoryLAN:
    """
    A LAN that keeps the guest's frames.

    @ivar frames: What the guest sent.
    @ivar batches: The same, as it came.
    @ivar isPaused: Whether it was told to send nothing.
    @ivar stopped: Why it ended; C{None} while it did not.
    @ivar delivers: Whether it was told to deliver what it had acknowledged.
    @ivar echo: Whether it sends every frame back.
    """

    echo = False

    def __init__(self, peer: GuestPeer, port: FramePort) -> None:
        self.peer = peer
        self.port = port
        self.frames: list[bytes] = []
        self.batches: list[list[bytes]] = []
        self.isPaused = False
        self.stopped: str | None = None
        self.delivers = True

    def framesReceived(self, frames: Sequence[bytes]) -> None:
        """
        The guest sent frames.
        """
        self.frames.extend(frames)
        self.batches.append(list(frames))
        if self.echo:
            self.port.sendFrames(list(frames))

    def pauseProducing(self) -> None:
        """
        The guest takes none.
        """
        self.isPaused = True

    def resumeProducing(self) -> None:
        """
        It takes some again.
        """
        self.isPaused = False

    def stop(self, reason: str, deliver: bool = True) -> None:
        """
        The guest is gone.
        """
        assert self.stopped is None, "a LAN stops once"
        self.stopped = reason
        self.delivers = deliver


class MemoryLANs:
    """
    Makes LANs and keeps them.

    @ivar made: All of them, in order.
    """

    def __init__(self, lan: Callable[[GuestPeer, FramePort], MemoryLAN] = MemoryLAN) -> None:
        """
        @param lan: Makes one.
        """
        self.made: list[MemoryLAN] = []
        self._lan = lan

    @property
    def last(self) -> MemoryLAN:
        """
        The newest.
        """
        return self.made[-1]

    def buildLAN(self, peer: GuestPeer, port: FramePort) -> MemoryLAN:
        """
        Make the LAN of a guest.
        """
        self.made.append(self._lan(peer, port))
        return self.last


class MemoryCarrier:
    """
    What carries a tunnel, as far as the tunnel can tell.

    @ivar sent: The messages to the guest.
    @ivar closed: Code and reason once it is closed.
    @ivar isPaused: Whether the guest is not read.
    @ivar unsent: Bytes that it says it holds.
    """

    tunnel: L2Tunnel

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.isPaused = False
        self.unsent = 0

    def open(self, tunnels: L2Tunnels, address: str = "198.51.100.7") -> L2Tunnel:
        """
        Begin a tunnel.
        """
        self.tunnel = tunnels.buildTunnel(self, TunnelPeer(address))
        self.tunnel.start()
        return self.tunnel

    def deliver(self, *messages: bytes) -> None:
        """
        Hand over the messages of one read.
        """
        self.tunnel.messagesReceived(messages)

    def take(self) -> list[bytes]:
        """
        What was sent since the last call.
        """
        sent, self.sent = self.sent, []
        return sent

    def sendMessages(self, messages: list[bytes]) -> None:
        """
        Keep them.
        """
        assert self.closed is None, "nothing is sent after the close"
        self.sent.extend(messages)

    def closeTunnel(self, code: int, reason: str) -> None:
        """
        Remember it.
        """
        assert self.closed is None, "a tunnel closes once"
        self.closed = code, reason

    def pauseReading(self) -> None:
        """
        Read nothing.
        """
        self.isPaused = True

    def resumeReading(self) -> None:
        """
        Read on.
        """
        self.isPaused = False

    def unsentBytes(self) -> int:
        """
        As many as the test says.
        """
        return self.unsent


def runNow(work: Callable[[], int]) -> Deferred[int]:
    """
    Do at once what a thread would do.
    """
    done: Deferred[int] = execute(work)
    return done


def makeTunnels(
    lans: MemoryLANs,
    clock: IReactorTime,
    metrics: Metrics | None = None,
    *,
    runInThread: Callable[[Callable[[], int]], Deferred[int]] = runNow,
    now: Callable[[], float] = lambda: 1_700_000_000.25,
    **settings: Any,
) -> L2Tunnels:
    """
    Tunnels as a server has them.

    @param settings: Fields of L{L2Settings}.
    """
    chosen = L2Settings(**settings)
    counted = Metrics(ROWS) if metrics is None else metrics
    captures = Captures(chosen, clock=clock, metrics=counted, runInThread=runInThread, now=now)
    return L2Tunnels(chosen, lans, clock=clock, metrics=counted, captures=captures)
