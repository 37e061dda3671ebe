"""
Tests for L{aero.wire.websocket}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given, strategies
from aero.testing.ws import clientFrame, serverFrames
from aero.wire.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MESSAGE_TOO_BIG,
    NO_STATUS,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    Event,
    FrameReader,
    closePayload,
    frameHeader,
    parseClose,
    xorBytes,
)


def read(data: bytes, limit: int = 1 << 20, step: int = 0, stream: bool = False) -> list[Event]:
    """
    Feed a reader whole or C{step} bytes at a time; the last event tells how it ended.
    """
    reader = FrameReader(limit, stream=stream)
    events: list[Event] = []
    for at in range(0, len(data), step or len(data) or 1):
        events += reader.receive(data[at : at + (step or len(data))])
    if reader.failure:
        events.append((reader.failure, b""))
    return events


class FrameReaderTests(SynchronousTestCase):
    """
    What a client sends, as events.
    """

    def assertReads(self, data: bytes, expected: list[Event], limit: int = 1 << 20) -> None:
        """
        The same events come whatever the sizes of the reads.
        """
        for step in (0, 1, 2, 3, 7):
            self.assertEqual(read(data, limit, step), expected, f"step {step}")

    def assertFails(self, data: bytes, code: int, limit: int = 1 << 20) -> None:
        """
        It ends with a close code at once, without waiting for more and whatever follows.
        """
        self.assertReads(data, [(code, b"")], limit)
        self.assertReads(data + clientFrame(BINARY, b"more"), [(code, b"")], limit)

    def test_example(self) -> None:
        """
        The masked example of RFC 6455 section 5.7 reads "Hello".
        """
        self.assertReads(bytes.fromhex("818537fa213d7f9f4d5158"), [(TEXT, b"Hello")])

    def test_messages(self) -> None:
        """
        Messages of every length form come out whole and in order.
        """
        messages = [b"", b"x", bytes(125), bytes(range(126)), b"y" * 65_535, b"z" * 65_536]
        data = b"".join(clientFrame(BINARY, message) for message in messages)
        self.assertEqual(read(data), [(BINARY, message) for message in messages])
        self.assertEqual(read(data, step=1_000), [(BINARY, message) for message in messages])

    def test_fragments(self) -> None:
        """
        Fragments make one message, control frames between them come first.
        """
        data = clientFrame(BINARY, b"hello", final=False) + clientFrame(PING, b"?")
        data += clientFrame(CONTINUATION, b"", final=False) + clientFrame(CONTINUATION, b"world")
        self.assertReads(data, [(PING, b"?"), (BINARY, b"helloworld")])

    def test_emptyFragments(self) -> None:
        """
        Any number of empty fragments takes no memory and makes an empty message.
        """
        reader = FrameReader(10)
        reader.receive(clientFrame(BINARY, b"", final=False))
        for _ in range(1_000):
            self.assertEqual(reader.receive(clientFrame(CONTINUATION, b"", final=False)), [])
        self.assertEqual(len(reader._message) + len(reader._partial) + len(reader._pending), 0)
        self.assertEqual(reader.receive(clientFrame(CONTINUATION, b"")), [(BINARY, b"")])

    def test_trailingBytes(self) -> None:
        """
        The beginning of the next frame waits for its rest.
        """
        reader = FrameReader(100)
        frame = clientFrame(BINARY, b"abc")
        self.assertEqual(reader.receive(frame + frame[:4]), [(BINARY, b"abc")])
        self.assertEqual(reader.receive(frame[4:]), [(BINARY, b"abc")])

    def test_firstTwoBytes(self) -> None:
        """
        Reserved bits and a missing mask are violations as soon as two bytes are there.
        """
        for first in (0xC2, 0xA2, 0x92):
            self.assertFails(bytes([first, 0x80]), PROTOCOL_ERROR)
        self.assertFails(b"\x82\x05", PROTOCOL_ERROR)

    def test_controlFrames(self) -> None:
        """
        Control frames may be neither cut nor longer than 125 bytes.
        """
        for opcode in (CLOSE, PING, PONG):
            self.assertReads(clientFrame(opcode, b"x" * 125), [(opcode, b"x" * 125)])
            self.assertFails(clientFrame(opcode, b"x", final=False)[:6], PROTOCOL_ERROR)
            self.assertFails(clientFrame(opcode, b"x" * 126)[:8], PROTOCOL_ERROR)

    def test_unknownOpcodes(self) -> None:
        """
        Opcodes that mean nothing are violations.
        """
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            self.assertFails(clientFrame(opcode, b""), PROTOCOL_ERROR)

    def test_order(self) -> None:
        """
        A continuation needs a beginning, and a beginning needs the end of the one before.
        """
        self.assertFails(clientFrame(CONTINUATION, b""), PROTOCOL_ERROR)
        self.assertFails(
            clientFrame(BINARY, b"", final=False) + clientFrame(TEXT, b""), PROTOCOL_ERROR
        )

    def test_tooLong(self) -> None:
        """
        A length beyond the limit is refused before the payload arrives, whatever the opcode
        says; the limit itself is fine.
        """
        self.assertReads(clientFrame(BINARY, b"12345"), [(BINARY, b"12345")], 5)
        self.assertFails(clientFrame(BINARY, b"123456")[:2], MESSAGE_TOO_BIG, 5)
        self.assertFails(clientFrame(PING, b"123456")[:2], MESSAGE_TOO_BIG, 5)
        self.assertFails(b"\x82\xff" + (1 << 40).to_bytes(8, "big"), MESSAGE_TOO_BIG)

    def test_absurdLength(self) -> None:
        """
        A length of more than 2**53 - 1 is a violation of its own.
        """
        self.assertFails(b"\x82\xff" + (1 << 53).to_bytes(8, "big"), PROTOCOL_ERROR)
        self.assertFails(b"\x82\xff" + b"\xff" * 8, PROTOCOL_ERROR)

    def test_fragmentsTooLong(self) -> None:
        """
        Fragments count together, and a finished message does not count for the next.
        """
        first, second = clientFrame(BINARY, b"1234", final=False), clientFrame(0, b"56")
        self.assertFails(first + second, MESSAGE_TOO_BIG, 5)
        self.assertReads(clientFrame(BINARY, b"1234") * 2, [(BINARY, b"1234")] * 2, 5)

    def test_longForm(self) -> None:
        """
        RFC 6455 section 5.2: a length in more bytes than it needs is a violation.
        """
        self.assertFails(b"\x82\xfe\x00\x05", PROTOCOL_ERROR)
        self.assertFails(b"\x82\xff" + (65_535).to_bytes(8, "big"), PROTOCOL_ERROR)

    def test_eventsBeforeViolation(self) -> None:
        """
        What came before a violation in the same read is still given, what came after is not.
        """
        data = clientFrame(BINARY, b"a") + b"\xff\xff" + clientFrame(BINARY, b"b")
        self.assertReads(data, [(BINARY, b"a"), (PROTOCOL_ERROR, b"")])

    def test_stream(self) -> None:
        """
        When streaming, the bytes of binary messages come in order as early as they can, and
        nothing of them is kept.
        """
        data = clientFrame(BINARY, b"hello ", final=False) + clientFrame(CONTINUATION, b"wor")
        for step in (0, 1, 5):
            pieces = read(data, step=step, stream=True)
            self.assertEqual({opcode for opcode, _ in pieces}, {BINARY})
            self.assertEqual(b"".join(piece for _, piece in pieces), b"hello wor")
        reader = FrameReader(1 << 20, stream=True)
        head = clientFrame(BINARY, b"x" * 1_000)
        self.assertEqual(reader.receive(head[:508]), [(BINARY, b"x" * 500)])
        self.assertEqual(len(reader._message) + len(reader._partial) + len(reader._pending), 0)

    def test_streamedText(self) -> None:
        """
        When streaming, text is told of once it is complete, without what it says.
        """
        data = clientFrame(TEXT, b"abc", final=False) + clientFrame(CONTINUATION, b"def")
        self.assertEqual(read(data, step=1, stream=True), [(TEXT, b"")])

    @given(
        strategies.lists(
            strategies.tuples(
                strategies.binary(max_size=300), strategies.binary(min_size=4, max_size=4)
            ),
            max_size=8,
        ),
        strategies.integers(1, 400),
        strategies.booleans(),
    )
    def test_anyCut(self, messages: list[tuple[bytes, bytes]], step: int, stream: bool) -> None:
        """
        However a stream of messages is cut, the same bytes come out.
        """
        data = b"".join(clientFrame(BINARY, payload, key=key) for payload, key in messages)
        events = read(data, step=step, stream=stream)
        whole = b"".join(payload for payload, _ in messages)
        self.assertEqual(b"".join(piece for _, piece in events), whole)
        if not stream:
            self.assertEqual([piece for _, piece in events], [payload for payload, _ in messages])

    @given(strategies.binary(max_size=600), strategies.integers(1, 50))
    def test_anyBytes(self, data: bytes, step: int) -> None:
        """
        Any bytes are read without an exception, and the cut makes no difference.
        """
        self.assertEqual(read(data, 256, step), read(data, 256))
        self.assertLessEqual(sum(len(piece) for _, piece in read(data, 256)), len(data))


class WritingTests(SynchronousTestCase):
    """
    What the server sends.
    """

    def test_headers(self) -> None:
        """
        Frame heads have the shortest form, by a reader that insists on it.
        """
        for size in (0, 1, 125, 126, 65_535, 65_536, 100_000):
            payload = b"p" * size
            self.assertEqual(serverFrames(frameHeader(BINARY, size) + payload), [(BINARY, payload)])

    def test_examples(self) -> None:
        """
        The unmasked heads of RFC 6455 section 5.7.
        """
        self.assertEqual(frameHeader(TEXT, 5), bytes.fromhex("8105"))
        self.assertEqual(frameHeader(BINARY, 256), bytes.fromhex("827e0100"))
        self.assertEqual(frameHeader(BINARY, 65_536), bytes.fromhex("827f0000000000010000"))

    def test_close(self) -> None:
        """
        Close payloads come back as they were; a reason is cut at a character.
        """
        self.assertEqual(parseClose(closePayload(1000, "target closed")), (1000, "target closed"))
        payload = closePayload(1011, "é" * 100)
        self.assertLessEqual(len(payload), 125)
        self.assertEqual(parseClose(payload), (1011, "é" * 61))

    def test_badClose(self) -> None:
        """
        RFC 6455 section 7.4: codes out of range, one byte and bad UTF-8 are no close.
        """
        self.assertEqual(parseClose(b""), (NO_STATUS, ""))
        for payload in (b"\x03", *(code.to_bytes(2, "big") for code in (0, 999, 1004, 1005, 1006))):
            self.assertIsNone(parseClose(payload))
        for code in (1015, 2999, 5000):
            self.assertIsNone(parseClose(code.to_bytes(2, "big")))
        self.assertIsNone(parseClose(b"\x03\xe8\xff"))
        for code in (1000, 1003, 1007, 1014, 3000, 4999):
            self.assertEqual(parseClose(code.to_bytes(2, "big")), (code, ""))


class MaskTests(SynchronousTestCase):
    """
    Masking.
    """

    @given(strategies.binary(max_size=2_000), strategies.binary(min_size=4, max_size=4))
    def test_definition(self, data: bytes, key: bytes) -> None:
        """
        RFC 6455 section 5.3, byte by byte; twice is nothing.
        """
        masked = bytes(byte ^ key[index % 4] for index, byte in enumerate(data))
        self.assertEqual(xorBytes(data, key), masked)
        self.assertEqual(xorBytes(masked, key), data)
