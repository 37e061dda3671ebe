"""
Tests for L{aero.files.compress}.
"""

from __future__ import annotations

import os
import zlib
from typing import Any

import zstandard

from aero.files.compress import CODINGS, MINIMUM, Compressor
from aero.files.test.statics import StaticTestCase
from aero.files.webroot import Stamp, stampOf
from aero.metrics import static as rows

TEXT = b"the same words again and again, " * 100


class CompressorTests(StaticTestCase):
    """
    A file is compressed once.
    """

    def setUp(self) -> None:
        """
        A compressor whose threads wait.
        """
        super().setUp()
        self.pool.holds = True
        self.compressor = self.make(100_000)

    def make(self, cacheBytes: int, maxFileBytes: int = 50_000) -> Compressor:
        """
        A compressor with these limits.
        """
        reactor: Any = self.clock
        pool: Any = self.pool
        return Compressor(
            cacheBytes=cacheBytes,
            maxFileBytes=maxFileBytes,
            reactor=reactor,
            pool=pool,
            metrics=self.metrics,
        )

    def file(self, content: bytes, name: str = "x") -> Stamp:
        """
        Write a file.
        """
        self.path = self.write(name, content)
        return stampOf(os.stat(self.path))

    def open(self) -> int:
        """
        Open the file written last.
        """
        return os.open(self.path, os.O_RDONLY)

    def ask(self, stamp: Stamp, coding: bytes = b"gzip") -> list[bytes]:
        """
        Ask for a result.

        @return: A list that gets it.
        """
        got: list[bytes] = []
        result = self.compressor.compress(stamp, coding, self.open)
        assert result is not None
        result.addCallback(got.append)
        return got

    def test_codings(self) -> None:
        """
        Every coding decodes to the file, with a window that browsers accept.
        """
        stamp = self.file(TEXT)
        found = {}
        for coding in CODINGS:
            got = self.ask(stamp, coding)
            self.pool.work()
            found[coding] = got[0]
            self.assertLess(len(got[0]), len(TEXT) // 5)
        self.assertEqual(zlib.decompress(found[b"gzip"], 31), TEXT)
        zstd = zstandard.ZstdDecompressor(max_window_size=8 << 20)
        self.assertEqual(zstd.decompress(found[b"zstd"]), TEXT)
        self.assertLessEqual(zstandard.get_frame_parameters(found[b"zstd"]).window_size, 8 << 20)

    def test_onlyOnce(self) -> None:
        """
        All who ask meanwhile wait for the same work, and later ones find it done.
        """
        stamp = self.file(TEXT)
        first, second = self.ask(stamp), self.ask(stamp)
        self.assertEqual((first, second), ([], []))
        self.pool.work()
        self.assertEqual(first, second)
        self.assertEqual(self.pool.done, 1)
        self.assertEqual(self.compressor.cached(stamp, b"gzip"), first[0])
        self.assertIsNone(self.compressor.cached(stamp, b"zstd"))
        self.assertEqual(self.metrics.value(rows.COMPRESSIONS, "gzip", "stored"), 1)

    def test_useless(self) -> None:
        """
        A file that does not shrink is sent plain, and that is remembered.
        """
        stamp = self.file(os.urandom(2_000))
        got = self.ask(stamp)
        self.pool.work()
        self.assertEqual(got, [b""])
        self.assertEqual(self.compressor.cached(stamp, b"gzip"), b"")
        self.assertEqual(self.metrics.value(rows.COMPRESSIONS, "gzip", "useless"), 1)

    def test_changedMeanwhile(self) -> None:
        """
        A file that changed before its thread ran gives nothing, and nothing is remembered.
        """
        stamp = self.file(TEXT)
        got = self.ask(stamp)
        os.truncate(self.path, 10)
        self.pool.work()
        self.assertEqual(got, [b""])
        self.assertIsNone(self.compressor.cached(stamp, b"gzip"))
        self.assertEqual(self.metrics.value(rows.COMPRESSIONS, "gzip", "failed"), 1)

    def test_busy(self) -> None:
        """
        What is being compressed at once is bounded in bytes, and room comes back.
        """
        stamps = [self.file(TEXT * 15, name) for name in "abc"]
        self.ask(stamps[0])
        self.ask(stamps[1])
        self.assertIsNone(self.compressor.compress(stamps[2], b"gzip", self.fail))
        self.assertEqual(self.metrics.value(rows.COMPRESSIONS, "gzip", "busy"), 1)
        self.pool.work()
        self.assertIsNotNone(self.compressor.compress(stamps[2], b"gzip", self.open))
        self.pool.work()

    def test_sizes(self) -> None:
        """
        Very small files, very large ones, and those whose result could not be kept are left.
        """
        accepted = [
            self.compressor.accepts(size) for size in (MINIMUM, MINIMUM + 1, 50_000, 50_001)
        ]
        self.assertEqual(accepted, [False, True, True, False])
        self.assertFalse(self.make(0).accepts(1_000))
        self.assertFalse(self.make(900).accepts(1_000))

    def test_closed(self) -> None:
        """
        No file stays open, whatever came of it.
        """
        stamp = self.file(TEXT)
        self.ask(stamp)
        self.pool.work()
        self.assertEqual(self.openFiles(), [str(self.root)])
