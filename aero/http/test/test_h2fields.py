"""
Tests for L{aero.http.h2fields}.
"""

from __future__ import annotations

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given, strategies

from ..h2fields import RememberingEncoder

_names = strategies.sampled_from([b":status", b"server", b"x-a", b"x-b", b"x-long"])
_values = strategies.sampled_from([b"200", b"404", b"", b"v", b"w" * 40, b"x" * 400])
_blocks = strategies.lists(strategies.tuples(_names, _values), max_size=6)
_sizes = strategies.sampled_from([0, 40, 100, 700, 4_096])


class RememberingEncoderTests(SynchronousTestCase):
    """
    L{RememberingEncoder}.
    """

    @given(strategies.lists(strategies.one_of(_blocks, _sizes), max_size=12))
    def test_same(self, steps: list[list[tuple[bytes, bytes]] | int]) -> None:
        """
        Whatever is encoded, and however the table's size is changed, the bytes are those of
        the encoder that looks everything up.
        """
        plain, remembering = Encoder(), RememberingEncoder()
        for step in steps:
            if isinstance(step, int):
                plain.header_table_size = remembering.header_table_size = step
                self.assertEqual(remembering.header_table_size, step)
            else:
                for _ in range(2):
                    self.assertEqual(remembering.encode(step), plain.encode(step))

    def test_decoded(self) -> None:
        """
        A client reads what was meant, while entries come and go.
        """
        encoder, decoder = RememberingEncoder(), Decoder()
        for number in range(300):
            fields = [(b":status", b"200"), (b"a", b"b" * 50), (b"n", b"%d" % (number // 3))]
            found = decoder.decode(encoder.encode(fields), raw=True)
            self.assertEqual([tuple(field) for field in found], fields)

    def test_secret(self) -> None:
        """
        What must never be indexed is not, also when its name was sent openly before, and a
        client reads it.
        """
        encoder, decoder = RememberingEncoder(), Decoder()
        for _ in range(2):
            decoder.decode(encoder.encode([(b"x-a", b"1")]))
        block = encoder.encode([NeverIndexedHeaderTuple(b"x-a", b"2")])
        self.assertEqual(block[0] & 0xF0, 0x10)
        self.assertEqual(decoder.decode(block, raw=True), [(b"x-a", b"2")])
        self.assertEqual(encoder.encode([(b"x-a", b"1")])[0] & 0x80, 0x80)
