"""
Tests for L{aero.ws.masking}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given, strategies
from aero.wire.websocket import xorBytes
from aero.ws.masking import unmask


class UnmaskTests(SynchronousTestCase):
    """
    The fast way is the same as the plain one.
    """

    @given(strategies.binary(max_size=5_000), strategies.binary(min_size=4, max_size=4))
    def test_same(self, data: bytes, key: bytes) -> None:
        """
        Any payload, any key; the input stays as it was.
        """
        before = bytes(bytearray(data))
        self.assertEqual(unmask(data, key), xorBytes(data, key))
        self.assertEqual(data, before)

    def test_large(self) -> None:
        """
        A megabyte and a bit.
        """
        data = bytes(range(256)) * 4_097 + b"xyz"
        self.assertEqual(unmask(data, b"\x00\xff\x10\x01"), xorBytes(data, b"\x00\xff\x10\x01"))
