"""
Tests for L{aero.tunnel.ethernet.capture} (l2.md section 19).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import l2 as rows
from aero.settings.l2 import L2Settings
from aero.testing.l2 import MemoryCarrier, MemoryLANs, makeTunnels, runNow
from aero.tunnel.ethernet import capture as module
from aero.tunnel.ethernet.capture import HEADER, Capture, Captures
from aero.wire.l2tunnel import FRAME, PING, encode
from aero.wire.pcapng import INBOUND, OUTBOUND, enhancedPacket

NOW = 1_700_000_000.25


class CaptureTests(SynchronousTestCase):
    """
    Files in a directory of the test.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics(ROWS)
        self.directory = Path(self.mktemp())
        self.work: list[tuple[Callable[[], int], Deferred[int]]] = []

    def make(self, later: bool = False, **settings: Any) -> Captures:
        """
        Captures that write at once, or when the test says so.
        """
        chosen = L2Settings(captureDir=str(self.directory), **settings)
        return Captures(
            chosen,
            clock=self.clock,
            metrics=self.metrics,
            runInThread=self.runLater if later else runNow,
            now=lambda: NOW,
        )

    def runLater(self, work: Callable[[], int]) -> Deferred[int]:
        """
        Keep what a thread would do.
        """
        done: Deferred[int] = Deferred()
        self.work.append((work, done))
        return done

    def runNext(self) -> None:
        """
        Let the thread finish one thing.
        """
        work, done = self.work.pop(0)
        try:
            done.callback(work())
        except OSError:
            done.errback(Failure())

    def begin(self, captures: Captures, number: int = 1) -> Capture:
        """
        Begin a file that has to be there.
        """
        capture = captures.begin(number)
        assert isinstance(capture, Capture)
        return capture

    def read(self, number: int = 1) -> bytes:
        """
        What is in the file.
        """
        return (self.directory / f"1700000000250-session-{number}.pcapng").read_bytes()

    def counted(self) -> tuple[float, float, float, float]:
        """
        Frames, frames left out, bytes, errors.
        """
        value = self.metrics.value
        return (
            value(rows.CAPTURE_FRAMES),
            value(rows.CAPTURE_FRAMES_DROPPED),
            value(rows.CAPTURE_BYTES),
            value(rows.CAPTURE_ERRORS),
        )

    def test_off(self) -> None:
        """
        Without a directory, or with spaces for one, nothing is captured.
        """
        for name in ("", "  "):
            captures = makeTunnels(MemoryLANs(), self.clock, captureDir=name).captures
            self.assertIsNone(captures.begin(1))

    def test_file(self) -> None:
        """
        A file has the headers and a block for each frame, and is readable by its owner only.
        """
        capture = self.begin(self.make())
        self.assertEqual(self.read(), HEADER)
        capture.record([b"a", b"bcdef"], INBOUND)
        capture.record([b"g" * 60], OUTBOUND)
        capture.end()
        when = int(NOW * 1e9)
        expected = HEADER + b"".join(
            enhancedPacket(frame, when, direction)
            for frame, direction in ((b"a", INBOUND), (b"bcdef", INBOUND), (b"g" * 60, OUTBOUND))
        )
        self.assertEqual(self.read(), expected)
        self.assertEqual(self.counted(), (3, 0, len(expected), 0))
        (path,) = self.directory.iterdir()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.directory.stat().st_mode & 0o777, 0o700)

    def test_flush(self) -> None:
        """
        What was captured is in the file after the interval, even if nothing more comes (O6).
        """
        capture = self.begin(self.make(captureFlush=1.0))
        capture.record([bytes(60)], INBOUND)
        self.assertEqual(len(self.read()), 100)
        self.clock.advance(1.0)
        self.assertEqual(len(self.read()), 204)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        capture.end()

    def test_noFlush(self) -> None:
        """
        With an interval of 0 nothing is written before the end, as long as buffers are small (O7).
        """
        capture = self.begin(self.make(captureFlush=0.0, captureMaxBytes=0))
        capture.record([bytes(60)], INBOUND)
        self.clock.advance(60)
        self.assertEqual(list(self.directory.iterdir()), [])
        capture.end()
        self.assertEqual(len(self.read()), 204)

    def test_cap(self) -> None:
        """
        A file that a frame has no room in stays as it is for good; with 250 bytes one frame of 60
        fits.
        """
        capture = self.begin(self.make(captureMaxBytes=250))
        capture.record([bytes(60)] * 10, INBOUND)
        capture.record([b""], INBOUND)
        capture.end()
        self.assertEqual(len(self.read()), 204)
        self.assertEqual(self.counted(), (1, 10, 204, 0))

    def test_tinyCap(self) -> None:
        """
        Headers are written whatever the cap.
        """
        capture = self.begin(self.make(captureMaxBytes=1))
        capture.record([b""], INBOUND)
        capture.end()
        self.assertEqual(self.read(), HEADER)

    def test_total(self) -> None:
        """
        All files together have a size too (W50).
        """
        captures = self.make(captureTotalBytes=450)
        first, second = self.begin(captures), self.begin(captures, 2)
        first.record([bytes(60)], INBOUND)
        second.record([bytes(60), bytes(60)], INBOUND)
        first.record([bytes(60)], INBOUND)
        first.end()
        second.end()
        self.assertEqual((len(self.read(1)), len(self.read(2))), (204, 204))
        self.assertEqual(self.counted()[:2], (2, 2))

    def test_totalReached(self) -> None:
        """
        When they have it all there are no more files, however many tunnels there are.
        """
        captures = self.make(captureTotalBytes=250)
        tunnels = [captures.begin(number) for number in (1, 2, 3)]
        for capture in tunnels:
            assert capture is not None
            capture.record([b"", b""], INBOUND)
            capture.end()
        self.assertEqual((len(self.read(1)), len(self.read(2))), (144, 100))
        self.assertEqual(len(list(self.directory.iterdir())), 2)
        self.assertEqual(self.counted(), (1, 5, 244, 0))
        self.successResultOf(captures.whenIdle())

    def test_oneWriteAtATime(self) -> None:
        """
        While the disk writes, frames gather; the next write has them all, and the end waits.
        """
        captures = self.make(later=True, captureFlush=1.0)
        capture = self.begin(captures)
        idle = captures.whenIdle()
        capture.record([b"a"], INBOUND)
        self.clock.advance(1.0)
        capture.record([b"b"], INBOUND)
        capture.end()
        self.assertEqual(len(self.work), 1)
        self.runNext()
        self.assertEqual(self.read(), HEADER)
        self.assertEqual(len(self.work), 1)
        self.assertNoResult(idle)
        self.runNext()
        self.assertEqual(len(self.read()), 100 + 2 * 48)
        self.assertEqual(self.work, [])
        self.successResultOf(idle)
        self.successResultOf(captures.whenIdle())

    def test_slowDisk(self) -> None:
        """
        What gathers for a slow disk is bounded; beyond it frames are left out, and come back once
        there is room.
        """
        self.patch(module, "MAX_PENDING_BYTES", 1_000)
        capture = self.begin(self.make(later=True))
        capture.record([bytes(100)] * 20, INBOUND)
        frames, dropped, _, _ = self.counted()
        self.assertEqual((frames, dropped), (6, 14))
        self.runNext()
        self.clock.advance(1.0)
        self.runNext()
        capture.record([bytes(100)], INBOUND)
        self.assertEqual(self.counted()[0], 7)
        capture.end()
        self.runNext()
        self.assertEqual(len(self.read()), 100 + 7 * 144)

    def test_largeBuffers(self) -> None:
        """
        A buffer that is large enough is written without waiting.
        """
        capture = self.begin(self.make(later=True, captureFlush=0.0))
        capture.record([bytes(1_400)] * 50, INBOUND)
        self.assertEqual(len(self.work), 1)

    def test_noDirectory(self) -> None:
        """
        A directory that cannot be made switches captures off, and nothing else.
        """
        self.directory = Path("/dev/null/captures")
        self.assertIsNone(self.make().begin(1))
        self.assertEqual(self.counted()[3], 1)

    def test_fileThere(self) -> None:
        """
        A file is never written over; the tunnel goes on uncaptured.
        """
        captures = self.make()
        path = self.directory / "1700000000250-session-1.pcapng"
        path.write_bytes(b"mine")
        capture = self.begin(captures)
        capture.record([b"x"] * 3, INBOUND)
        capture.end()
        self.assertEqual(path.read_bytes(), b"mine")
        self.assertEqual(self.counted(), (0, 3, 0, 1))
        self.successResultOf(captures.whenIdle())

    def test_fullDisk(self) -> None:
        """
        A write that fails ends the capture, closes the file, and leaves the tunnel alone.
        """
        captures = self.make(captureFlush=1.0)
        capture = self.begin(captures)
        before = len(os.listdir("/proc/self/fd"))

        def full(*ignored: object) -> int:
            raise OSError(28, "No space left on device")

        self.patch(os, "write", full)
        capture.record([b"x"], INBOUND)
        self.clock.advance(1.0)
        self.assertEqual(self.counted()[3], 1)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before - 1)
        capture.record([b"y"], INBOUND)
        capture.end()
        self.assertEqual(self.counted()[3], 1)
        self.successResultOf(captures.whenIdle())

    def test_tunnel(self) -> None:
        """
        A tunnel has its frames captured, both ways, and no other messages.
        """
        lans = MemoryLANs()
        tunnels = makeTunnels(
            lans, self.clock, self.metrics, captureDir=str(self.directory), maxFramePayload=100
        )
        carrier = MemoryCarrier()
        carrier.open(tunnels)
        carrier.deliver(encode(FRAME, b"in"), encode(PING, b"x"))
        lans.last.port.sendFrames([b"out!", bytes(101)])
        carrier.tunnel.connectionLost()
        when = int(NOW * 1e9)
        blocks = enhancedPacket(b"in", when, INBOUND) + enhancedPacket(b"out!", when, OUTBOUND)
        self.assertEqual(self.read(), HEADER + blocks)
