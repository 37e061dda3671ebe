"""
Tests for L{aero.wire.l2tunnel}.
"""

from __future__ import annotations

import base64

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import DecodeError
from aero.testing.properties import given
from aero.testing.properties import strategies as st
from aero.testing.vectors import load
from aero.wire.l2tunnel import (
    ERROR,
    FRAME,
    FRAME_HEADER,
    PING,
    PING_HEADER,
    PONG,
    PONG_HEADER,
    decode,
    decodeError,
    encode,
    encodeError,
)

#: l2.md section 9.2.
GOLDEN = (
    (FRAME, "a2030000ffffffffffff001122334455080001020304"),
    (PING, "a20301000000018bcfe56800"),
    (PONG, "a20302000000018bcfe56800"),
    (ERROR, "a2037f00636166c3a9"),
    (ERROR, "a2037f0000010009626164206672616d65"),
)


class VectorTests(SynchronousTestCase):
    """
    The shared vectors C{l2-tunnel-v1.json}.
    """

    def test_everyVector(self) -> None:
        """
        A valid message is read as written down and written as the same bytes; any other is
        refused with the words written down.
        """
        entries = load("l2-tunnel-v1.json")["vectors"]
        self.assertGreaterEqual(len(entries), 10)
        for entry in entries:
            message = base64.b64decode(entry["wire_b64"])
            if entry.get("expectError"):
                error = self.assertRaises(DecodeError, decode, message, 2048, 256)
                self.assertIn(entry["errorContains"], str(error), entry["name"])
                continue
            payload = base64.b64decode(entry["payload_b64"])
            self.assertEqual(decode(message, 2048, 256), (entry["type"], payload), entry["name"])
            self.assertEqual(encode(entry["type"], payload), message, entry["name"])
            if "code" in entry:
                self.assertEqual(decodeError(payload), (entry["code"], entry["message"]))
                self.assertEqual(encodeError(entry["code"], entry["message"], 256), message)


class MessageTests(SynchronousTestCase):
    """
    L{encode} and L{decode}.
    """

    def test_golden(self) -> None:
        """
        The golden messages are read and written byte for byte.
        """
        for kind, text in GOLDEN:
            message = bytes.fromhex(text)
            self.assertEqual(decode(message, 2048, 256), (kind, message[4:]))
            self.assertEqual(encode(kind, message[4:]), message)

    def test_headers(self) -> None:
        """
        The ready-made headers are those that L{encode} writes.
        """
        for kind, header in ((FRAME, FRAME_HEADER), (PING, PING_HEADER), (PONG, PONG_HEADER)):
            self.assertEqual(encode(kind, b"x"), header + b"x")

    def test_sentences(self) -> None:
        """
        What is wrong is said in the reference's words, the first thing first.
        """
        for text, sentence in (
            ("", "message too short: 0 < 4"),
            ("a20300", "message too short: 3 < 4"),
            ("00ff00", "message too short: 3 < 4"),
            ("00ff0000", "invalid magic: 0x00"),
            ("0AFF0000", "invalid magic: 0x0a"),
            ("a2ff0000", "unsupported version: 0xff"),
            ("a2020000", "unsupported version: 0x02"),
            ("a2030000" + "00" * 9, "payload too large: 9 > 8"),
            ("a2030100" + "00" * 5, "payload too large: 5 > 4"),
            ("a2034200" + "00" * 5, "payload too large: 5 > 4"),
        ):
            error = self.assertRaises(DecodeError, decode, bytes.fromhex(text), 8, 4)
            self.assertEqual(str(error), sentence)

    def test_limits(self) -> None:
        """
        A payload of exactly the limit and an empty one are fine for every type, flags mean
        nothing, and an unknown type is a message.
        """
        for kind, limit in ((FRAME, 8), (PING, 4), (PONG, 4), (ERROR, 4), (0x42, 4)):
            for size in (0, limit):
                message = bytes((0xA2, 3, kind, 0xFF)) + bytes(size)
                self.assertEqual(decode(message, 8, 4), (kind, bytes(size)))

    def test_everyLength(self) -> None:
        """
        A message cut anywhere in its header is refused; behind it every length is a message.
        """
        message = bytes.fromhex(GOLDEN[0][1])
        for size in range(4):
            self.assertRaises(DecodeError, decode, message[:size], 2048, 256)
        for size in range(4, len(message)):
            self.assertEqual(decode(message[:size], 2048, 256), (FRAME, message[4:size]))

    @given(st.binary(max_size=64), st.integers(0, 40), st.integers(0, 40))
    def test_total(self, data: bytes, maxFrame: int, maxControl: int) -> None:
        """
        Any bytes are a message within the limits or a L{DecodeError}.
        """
        try:
            kind, payload = decode(data, maxFrame, maxControl)
        except DecodeError:
            return
        self.assertLessEqual(len(payload), maxFrame if kind == FRAME else maxControl)
        self.assertEqual(encode(kind, payload, data[3]), data)


class ErrorTests(SynchronousTestCase):
    """
    Structured errors (F1).
    """

    def test_tooSmall(self) -> None:
        """
        Below four bytes of control payload there is an ERROR without anything in it.
        """
        for limit in range(4):
            self.assertEqual(encodeError(1, "text", limit), b"\xa2\x03\x7f\x00")
        self.assertEqual(encodeError(1, "text", 4).hex(), "a2037f0000010000")

    def test_cutAtCharacters(self) -> None:
        """
        A text that is too long ends with a whole character.
        """
        text = "a\N{GRINNING FACE}b"
        self.assertEqual(decodeError(encodeError(7, text, 8)[4:]), (7, "a"))
        self.assertEqual(decodeError(encodeError(7, text, 9)[4:]), (7, "a\N{GRINNING FACE}"))
        self.assertEqual(decodeError(encodeError(7, text, 256)[4:]), (7, text))

    def test_longest(self) -> None:
        """
        The text never exceeds what its length field can say.
        """
        payload = encodeError(1, "x" * 70_000, 100_000)[4:]
        self.assertEqual(decodeError(payload), (1, "x" * 65_535))

    def test_freeText(self) -> None:
        """
        A payload of another length, or whose text is not UTF-8, is free text.
        """
        for text in ("00010009626164", "0001000162616400", "000100", ""):
            payload = bytes.fromhex(text)
            self.assertEqual(decodeError(payload), (None, payload.decode("latin-1")))
        self.assertEqual(decodeError(bytes.fromhex("00010001ff"))[0], None)
        self.assertEqual(decodeError("caf\xe9".encode()), (None, "caf\xe9"))

    @given(st.integers(0, 65_535), st.text(max_size=40), st.integers(4, 64))
    def test_fits(self, code: int, text: str, limit: int) -> None:
        """
        Whatever the text, an ERROR fits the limit and says the beginning of it.
        """
        payload = encodeError(code, text, limit)[4:]
        self.assertLessEqual(len(payload), limit)
        found, said = decodeError(payload)
        self.assertEqual(found, code)
        self.assertTrue(text.startswith(said))
