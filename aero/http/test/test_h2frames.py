"""
Tests for L{aero.http.h2frames}.
"""

from __future__ import annotations

from typing import Any

from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given, strategies

from ..h2frames import (
    PREFACE,
    PRELUDE,
    Allowance,
    Allowances,
    Frame,
    FrameSplitter,
    FrameTooLarge,
    isZeroIncrement,
)


class FrameSplitterTests(SynchronousTestCase):
    """
    L{FrameSplitter} finds frames however they are cut.
    """

    sent: tuple[Any, ...] = (
        SettingsFrame(0, {1: 2}),
        HeadersFrame(1, b"abc"),
        DataFrame(1, b"x" * 300),
        PingFrame(0, b"12345678"),
        PingFrame(0, b"12345678"),
        DataFrame(1),
    )

    def split(self, data: bytes, step: int) -> tuple[FrameSplitter, list[Frame]]:
        """
        Give it bytes in steps and take what there is.
        """
        splitter = FrameSplitter()
        found = []
        for start in range(0, len(data), step):
            splitter.add(data[start : start + step])
            while splitter.hasFrame:
                frame = splitter.take()
                assert frame is not None
                found.append(frame)
            self.assertIsNone(splitter.take())
        return splitter, found

    def test_steps(self) -> None:
        """
        The same frames are found whole, byte by byte and in any pieces.
        """
        data = PREFACE + b"".join(frame.serialize() for frame in self.sent)
        for step in (1, 2, 5, 9, 10, 100, len(data)):
            splitter, found = self.split(data, step)
            frames = [frame for frame in found if frame.kind != PRELUDE]
            self.assertEqual([f.raw for f in frames], [f.serialize() for f in self.sent], step)
            self.assertEqual([f.streamId for f in frames], [0, 1, 1, 0, 0, 1])
            self.assertEqual(
                [f.label for f in frames], ["settings", None, None, "ping", "ping", None]
            )
            self.assertEqual(b"".join(f.raw for f in found), data)
            self.assertFalse(splitter.midFrame)
            self.assertTrue(splitter.midHeaders)
            self.assertEqual(splitter.waiting, 0)

    def test_trailing(self) -> None:
        """
        A frame that has begun waits for its rest.
        """
        splitter, found = self.split(PREFACE + b"\0\0\3\0\0\0\0\0\1ab", 1 << 20)
        self.assertEqual(len(found), 1)
        self.assertTrue(splitter.midFrame)
        self.assertEqual(splitter.waiting, 11)
        splitter.add(b"c")
        frame = splitter.take()
        assert frame is not None
        self.assertEqual((frame.kind, frame.streamId, frame.raw[9:]), (0, 1, b"abc"))

    def test_midHeaders(self) -> None:
        """
        A header block ends with the flag that says so, and is counted until then.
        """
        splitter, _ = self.split(PREFACE + HeadersFrame(1, b"abc").serialize(), 1 << 20)
        self.assertTrue(splitter.midHeaders)
        self.assertEqual(splitter.blockBytes, 12)
        splitter.add(ContinuationFrame(1, b"de").serialize())
        splitter.take()
        self.assertEqual(splitter.blockBytes, 23)
        splitter.add(ContinuationFrame(1, b"", flags=["END_HEADERS"]).serialize())
        splitter.take()
        self.assertFalse(splitter.midHeaders or splitter.midFrame)
        self.assertEqual(splitter.blockBytes, 0)

    def test_unknown(self) -> None:
        """
        Frames of unknown types count.
        """
        _, found = self.split(PREFACE + b"\0\0\0\x77\0\0\0\0\0", 1 << 20)
        self.assertEqual(found[-1].label, "unknown")

    def test_tooLarge(self) -> None:
        """
        A frame that is too large is not waited for.
        """
        splitter = FrameSplitter()
        splitter.add(PREFACE + b"\0\x40\0\0\0\0\0\0\1")
        splitter.take()
        self.assertIsNone(splitter.take())
        splitter = FrameSplitter()
        splitter.add(PREFACE + b"\0\x40\1\0\0\0\0\0\1")
        splitter.take()
        self.assertTrue(splitter.hasFrame)
        self.assertRaises(FrameTooLarge, splitter.take)

    def test_zeroIncrement(self) -> None:
        """
        A window update of nothing is told from others.
        """
        for stream, increment, expected in ((1, 0, True), (1, 1, False), (0, 0, False)):
            raw = WindowUpdateFrame(stream, window_increment=increment).serialize()
            self.assertEqual(isZeroIncrement(Frame(8, 0, stream, raw)), expected)

    @given(strategies.lists(strategies.binary(max_size=60), max_size=10))
    def test_anything(self, pieces: list[bytes]) -> None:
        """
        Any bytes are cut alike, whole and in pieces.
        """
        results = []
        for parts in ([b"".join(pieces)], pieces):
            splitter, found = FrameSplitter(), b""
            ended = False
            for part in parts:
                splitter.add(part)
                try:
                    while (frame := splitter.take()) is not None:
                        found += frame.raw
                except FrameTooLarge:
                    ended = True
            results.append((found, splitter.waiting, splitter.midHeaders, ended))
        self.assertEqual(*results)


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

    def test_common(self) -> None:
        """
        What connections have together is paid by each of them; one that spent little of its own
        goes on when it is used up.
        """
        common = Allowance(100, 0.0)
        first, second = Allowance(100, 0.0, common), Allowance(100, 0.0, common)
        self.assertTrue(first.spend(60, 0.0))
        self.assertTrue(second.spend(40, 0.0))
        self.assertFalse(first.spend(1, 0.0))
        third = Allowance(100, 0.0, common)
        self.assertTrue(third.spend(10, 0.0))
        self.assertFalse(third.spend(1, 0.0))
        first.earn(100)
        self.assertTrue(first.spend(1, 0.0))

    def test_clients(self) -> None:
        """
        Each client has its own, kept while a part of it is spent.
        """
        allowances = Allowances(30)
        one = allowances.of("one", 0.0)
        one.spend(30, 0.0)
        self.assertIs(allowances.of("one", 0.0), one)
        for index in range(5_000):
            allowances.of(str(index), 0.0)
        self.assertIs(allowances.of("one", 0.0), one)
        self.assertIsNot(allowances.of("0", 0.0), one)
        self.assertLess(len(allowances._byClient), 1_100)
