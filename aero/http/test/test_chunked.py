"""
Tests for L{aero.http.chunked}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.testing.properties import given, strategies

from ..chunked import ChunkedDecoder


def decode(data: bytes, step: int) -> tuple[bytes, bytes, bool]:
    """
    Decode in steps.

    @return: The content, what is left, and whether the body is complete.
    """
    decoder, buffer, content = ChunkedDecoder(), bytearray(), b""
    for start in range(0, len(data), step):
        buffer += data[start : start + step]
        if not decoder.done:
            content += b"".join(decoder.decode(buffer))
    return content, bytes(buffer), decoder.done


class ChunkedDecoderTests(SynchronousTestCase):
    """
    L{ChunkedDecoder} reads what RFC 9112 section 7.1 says and nothing else.
    """

    def test_whole(self) -> None:
        """
        A body is the same however it is cut, and what follows it is left alone.
        """
        data = b'5\r\nhello\r\n1;x="y"\r\n!\r\n0A ; z\r\n0123456789\r\n0\r\nT: v\r\n\r\nGET'
        for step in range(1, len(data) + 1):
            self.assertEqual(decode(data, step), (b"hello!0123456789", b"GET", True), step)

    def test_malformed(self) -> None:
        """
        Sizes that are not hexadecimal, missing or bare line ends, long lines and long
        extensions are refused, however they are cut.
        """
        for data in (
            b"\r\n",
            b"g\r\n",
            b"+5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"5 \r\nhello\r\n",
            b"-1\r\n",
            b"1" * 16 + b"\r\n",
            b"5\nhello\r\n",
            b"5\r\nhelloX\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello!\r\n0\r\n\r\n",
            b"5;a\x00b\r\nhello\r\n",
            b"5;a\rb\r\nhello\r\n",
            b"5;" + b"x" * 300,
            b"1;" + b"x" * 300 + b"\r\na\r\n",
            (b"1;" + b"x" * 200 + b"\r\na\r\n") * 30,
            b"0\r\nbad trailer\r\n\r\n",
            b"0\r\n folded: x\r\n\r\n",
            b"0\r\nA: b\nC: d\r\n\r\n",
            b"0\r\n" + b"A: " + b"b" * 9_000,
            b"0\r\n" + (b"A: " + b"b" * 900 + b"\r\n") * 10 + b"\r\n",
        ):
            for step in (1, len(data)):
                self.assertRaises(Refused, decode, data, step)

    @given(
        strategies.lists(strategies.binary(min_size=1, max_size=50), max_size=8),
        strategies.integers(1, 40),
    )
    def test_roundTrip(self, chunks: list[bytes], step: int) -> None:
        """
        Any chunks in any pieces give their content back.
        """
        data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        self.assertEqual(
            decode(data + b"0\r\n\r\n" + b"next", step), (b"".join(chunks), b"next", True)
        )

    @given(strategies.binary(max_size=200), strategies.integers(1, 50))
    def test_garbage(self, data: bytes, step: int) -> None:
        """
        Garbage is refused or waited on; nothing else happens.
        """
        try:
            decode(data, step)
        except Refused as refused:
            self.assertIn(refused.status, (400, 431))
