"""
Tests for L{aero.testing.ws}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.ws import clientFrame, serverFrames


class FrameTests(SynchronousTestCase):
    """
    The codec of the test client against the examples of RFC 6455 section 5.7.
    """

    def test_clientFrame(self) -> None:
        """
        A masked text message "Hello".
        """
        frame = clientFrame(1, b"Hello", key=bytes.fromhex("37fa213d"))
        self.assertEqual(frame, bytes.fromhex("818537fa213d7f9f4d5158"))

    def test_serverFrames(self) -> None:
        """
        An unmasked text message "Hello" and 256 bytes of binary data.
        """
        data = bytes.fromhex("810548656c6c6f") + bytes.fromhex("827e0100") + bytes(256)
        self.assertEqual(serverFrames(data), [(1, b"Hello"), (2, bytes(256))])

    def test_strict(self) -> None:
        """
        What a browser would not take fails the test: half a frame, a masked or fragmented
        one, one with reserved bits, a length that is too long for its value.
        """
        for text in ("81", "810548", "818537fa213d7f9f4d5158", "0100", "c100", "827e0001ff"):
            self.assertRaises(AssertionError, serverFrames, bytes.fromhex(text))
