"""
Tests for L{aero.http.h2frames}.
"""

from __future__ import annotations

from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, SettingsFrame
from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given, strategies

from ..h2frames import PREFACE, Allowance, FrameScanner


class FrameScannerTests(SynchronousTestCase):
    """
    L{FrameScanner} follows frames however they are cut.
    """

    frames: tuple[Frame, ...] = (
        SettingsFrame(0, {1: 2}),
        HeadersFrame(1, b"abc"),
        DataFrame(1, b"x" * 300),
        PingFrame(0, b"12345678"),
        PingFrame(0, b"12345678"),
        DataFrame(1),
    )

    def test_steps(self) -> None:
        """
        The same frames are counted whole, byte by byte and in any pieces.
        """
        data = PREFACE + b"".join(frame.serialize() for frame in self.frames)
        for step in (1, 2, 5, 9, 10, 100, len(data)):
            scanner = FrameScanner()
            total: dict[str, int] = {}
            for start in range(0, len(data), step):
                for kind, count in scanner.scan(data[start : start + step]).items():
                    total[kind] = total.get(kind, 0) + count
            self.assertEqual(total, {"settings": 1, "ping": 2}, step)
            self.assertFalse(scanner.midFrame)
            self.assertTrue(scanner.midHeaders)

    def test_midHeaders(self) -> None:
        """
        A header block ends with the flag that says so.
        """
        scanner = FrameScanner()
        self.assertTrue(scanner.midFrame)
        scanner.scan(PREFACE + HeadersFrame(1, b"abc", flags=["END_HEADERS"]).serialize())
        self.assertFalse(scanner.midHeaders or scanner.midFrame)

    def test_unknown(self) -> None:
        """
        Frames of unknown types count.
        """
        scanner = FrameScanner()
        self.assertEqual(scanner.scan(PREFACE + b"\0\0\0\x77\0\0\0\0\0"), {"unknown": 1})

    @given(strategies.lists(strategies.binary(max_size=60), max_size=10))
    def test_anything(self, pieces: list[bytes]) -> None:
        """
        Any bytes are followed alike, whole and in pieces.
        """
        one, many = FrameScanner(), FrameScanner()
        one.scan(b"".join(pieces))
        for piece in pieces:
            many.scan(piece)
        self.assertEqual((one.midFrame, one.midHeaders), (many.midFrame, many.midHeaders))


class AllowanceTests(SynchronousTestCase):
    """
    L{Allowance} gives so much at once and so much over time.
    """

    def test_spend(self) -> None:
        """
        What is spent comes back with time, and no more than there was.
        """
        allowance = Allowance(30, 100.0)
        self.assertTrue(allowance.spend(30, 100.0))
        self.assertFalse(allowance.spend(1, 100.0))
        self.assertTrue(allowance.spend(1, 102.0))
        self.assertTrue(allowance.spend(30, 1_000.0))
        self.assertFalse(allowance.spend(1, 1_000.0))

    def test_earn(self) -> None:
        """
        Useful work adds, up to what there may be.
        """
        allowance = Allowance(30, 0.0)
        allowance.spend(20, 0.0)
        allowance.earn(500)
        self.assertTrue(allowance.spend(30, 0.0))
        self.assertFalse(allowance.spend(1, 0.0))

    def test_clockSetBack(self) -> None:
        """
        A clock that is set back takes nothing away.
        """
        allowance = Allowance(30, 100.0)
        self.assertTrue(allowance.spend(10, 50.0))
        self.assertTrue(allowance.spend(20, 50.0))
