"""
Tests for L{aero.files.bytescache}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.files.bytescache import OVERHEAD, BytesCache
from aero.testing.properties import given, strategies


class BytesCacheTests(SynchronousTestCase):
    """
    A cache never holds more than it may.
    """

    def test_leastRecentlyUsedGoes(self) -> None:
        """
        What was not used for the longest time makes room.
        """
        cache: BytesCache[str] = BytesCache(2 * (OVERHEAD + 10))
        cache.put("a", b"x" * 10)
        cache.put("b", b"y" * 10)
        cache.get("a")
        cache.put("c", b"z" * 10)
        self.assertEqual([cache.get(key) for key in "abc"], [b"x" * 10, None, b"z" * 10])

    def test_tooLarge(self) -> None:
        """
        What alone exceeds the limit is not kept and evicts nothing.
        """
        cache: BytesCache[str] = BytesCache(OVERHEAD + 10)
        cache.put("a", b"x")
        cache.put("b", b"y" * 11)
        self.assertEqual([cache.get("a"), cache.get("b")], [b"x", None])

    def test_replaced(self) -> None:
        """
        A key put again counts once; an empty value is a value.
        """
        cache: BytesCache[str] = BytesCache(10_000)
        cache.put("a", b"x" * 100)
        cache.put("a", b"")
        self.assertEqual(cache.get("a"), b"")
        self.assertEqual(cache.held, OVERHEAD)

    def test_nothing(self) -> None:
        """
        A limit of zero keeps nothing.
        """
        cache: BytesCache[str] = BytesCache(0)
        cache.put("a", b"")
        self.assertIsNone(cache.get("a"))

    @given(
        strategies.lists(
            strategies.tuples(strategies.integers(0, 9), strategies.binary(max_size=900))
        )
    )
    def test_bound(self, puts: list[tuple[int, bytes]]) -> None:
        """
        Whatever is put, what is held is counted right and stays in bounds.
        """
        cache: BytesCache[int] = BytesCache(4_000)
        for key, value in puts:
            cache.put(key, value)
            found = [cache.get(each) for each in range(10)]
            held = sum(len(each) + OVERHEAD for each in found if each is not None)
            self.assertEqual(held, cache.held)
            self.assertLessEqual(held, 4_000)
            self.assertEqual(cache.get(key), value)
