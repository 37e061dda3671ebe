"""
Tests for L{aero.wire.tcpmux}.
"""

from __future__ import annotations

import base64
import itertools
from typing import Any, Iterable

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import DecodeError
from aero.testing import vectors
from aero.testing.properties import given, strategies
from aero.wire.tcpmux import (
    CLOSE,
    DATA,
    ERROR,
    FIN,
    OPEN,
    PING,
    PONG,
    RST,
    Error,
    Frame,
    FrameDecoder,
    Open,
    decodeClose,
    encodeClose,
    encodeFrame,
    frameHeader,
)

LIMIT = 1 << 24


def whole(frames: Iterable[Frame]) -> list[tuple[int, int, bytes]]:
    """
    Put the pieces of DATA frames together again.
    """
    found: list[tuple[int, int, bytes]] = []
    for frame in frames:
        if frame.begins:
            found.append((frame.kind, frame.streamId, frame.payload))
        else:
            kind, streamId, payload = found.pop()
            assert (kind, streamId) == (frame.kind, frame.streamId), "a piece of nothing"
            found.append((kind, streamId, payload + frame.payload))
    return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """
    Cut bytes at these places.
    """
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


def decode(chunks: Iterable[bytes], limit: int = LIMIT, **how: Any) -> list[Frame]:
    decoder = FrameDecoder(limit, **how)
    frames = [frame for chunk in chunks for frame in decoder.receive(chunk)]
    decoder.finish()
    return frames


FRAMES = strategies.lists(
    strategies.tuples(
        strategies.integers(0, 255),
        strategies.integers(0, 0xFFFFFFFF),
        strategies.binary(max_size=40),
    ).map(lambda fields: Frame(*fields)),
    max_size=8,
)
PLACES = strategies.lists(strategies.integers(0, 10_000), max_size=12)


class FrameDecoderTests(SynchronousTestCase):
    """
    Frames in a byte stream.
    """

    def test_layout(self) -> None:
        """
        A frame is a type, a stream id and a length in network order, and the payload.
        """
        self.assertEqual(
            encodeFrame(DATA, 0x01020304, b"hi"), b"\x02\x01\x02\x03\x04\x00\x00\x00\x02hi"
        )
        self.assertEqual(Frame(PING, 1, b"x").encode(), frameHeader(PING, 1, 1) + b"x")

    @given(FRAMES, PLACES, strategies.booleans())
    def test_anyCut(self, frames: list[Frame], places: list[int], stream: bool) -> None:
        """
        Any sequence of frames survives any chunking.
        """
        data = b"".join(frame.encode() for frame in frames)
        self.assertEqual(whole(decode(cut(data, places), stream=stream)), whole(frames))
        self.assertEqual(whole(decode([data], stream=stream)), whole(frames))
        self.assertEqual(
            whole(decode([data[at : at + 1] for at in range(len(data))], stream=stream)),
            whole(frames),
        )

    @given(strategies.binary(max_size=200), PLACES, strategies.booleans())
    def test_garbage(self, data: bytes, places: list[int], stream: bool) -> None:
        """
        Random bytes never raise, and no more is kept than was fed.
        """
        decoder = FrameDecoder(64, stream=stream)
        fed = 0
        for chunk in cut(data, places):
            fed += len(chunk)
            decoder.receive(chunk)
            self.assertLessEqual(decoder.bufferedBytes, min(fed, 9 + 64))

    def test_tooLong(self) -> None:
        """
        A header that announces more than the limit is fatal as soon as its nine bytes are in,
        the limit itself is fine, and complete frames before it come first.
        """
        decoder = FrameDecoder(16)
        good = encodeFrame(PING, 1, b"p" * 16)
        self.assertEqual(
            decoder.receive(good + frameHeader(DATA, 1, 17)), [(PING, 1, b"p" * 16, True)]
        )
        self.assertTrue(decoder.failed)
        self.assertEqual(decoder.receive(good), [])

        decoder = FrameDecoder(16)
        header = frameHeader(DATA, 1, 17)
        decoder.receive(header[:8])
        self.assertFalse(decoder.failed)
        decoder.receive(header[8:])
        self.assertTrue(decoder.failed)

    def test_pieces(self) -> None:
        """
        The payload of DATA comes as it arrives, and none of it is kept.
        """
        decoder = FrameDecoder(LIMIT, stream=True)
        self.assertEqual(decoder.receive(frameHeader(DATA, 7, LIMIT)), [])
        self.assertEqual(decoder.receive(b"abc"), [Frame(DATA, 7, b"abc", True)])
        self.assertEqual(decoder.receive(b"de"), [Frame(DATA, 7, b"de", False)])
        self.assertEqual(decoder.bufferedBytes, 0)

    def test_emptyData(self) -> None:
        """
        A DATA frame without payload is a frame all the same.
        """
        frames = decode([encodeFrame(DATA, 7)], stream=True)
        self.assertEqual(frames, [Frame(DATA, 7, b"", True)])

    def test_oversizedControl(self) -> None:
        """
        What no OPEN can need is not kept, and such an OPEN stays invalid.
        """
        decoder = FrameDecoder(LIMIT, stream=True)
        size = 1 << 20
        data = encodeFrame(OPEN, 1, Open("a", 1).encode() + bytes(size))
        frames: list[Frame] = []
        for at in range(0, len(data), 4_096):
            frames += decoder.receive(data[at : at + 4_096])
            self.assertLess(decoder.bufferedBytes, 6_000)
        self.assertEqual(len(frames), 1)
        self.assertRaises(DecodeError, Open.decode, frames[0].payload)

    def test_linear(self) -> None:
        """
        A frame of 16 MiB in small pieces is put together without copying what is there over
        and over.
        """
        decoder = FrameDecoder(LIMIT)
        piece = bytes(64)
        self.assertEqual(decoder.receive(frameHeader(PING, 0, LIMIT)), [])
        found: list[Frame] = []
        for _ in range(LIMIT // len(piece)):
            found += decoder.receive(piece)
        self.assertEqual([len(frame.payload) for frame in found], [LIMIT])

    def test_truncated(self) -> None:
        """
        A stream that ends inside a header or a payload is an error, one between frames is not.
        """
        data = encodeFrame(DATA, 1, b"hi")
        for size in range(1, len(data)):
            decoder = FrameDecoder(LIMIT, stream=True)
            decoder.receive(data[:size])
            problem = self.assertRaises(DecodeError, decoder.finish)
            self.assertIn("truncated tcp-mux frame stream", str(problem))
        FrameDecoder(LIMIT).finish()


class OpenTests(SynchronousTestCase):
    """
    The payload of OPEN.
    """

    @given(
        strategies.text(
            strategies.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp", "Cf"]),
            min_size=1,
            max_size=60,
        ),
        strategies.integers(0, 65_535),
        strategies.text(strategies.characters(exclude_categories=["Cs"]), max_size=60),
    )
    def test_roundTrip(self, host: str, port: int, metadata: str) -> None:
        """
        What is encoded decodes to the same.
        """
        value = Open(host, port, metadata)
        self.assertEqual(Open.decode(value.encode()), value)

    @given(strategies.binary(max_size=60))
    def test_garbage(self, data: bytes) -> None:
        """
        Random bytes are refused, or are exactly what encodes to them.
        """
        try:
            value = Open.decode(data)
        except DecodeError:
            return
        self.assertEqual(value.encode(), data)

    def raw(self, host: bytes, metadata: bytes = b"") -> bytes:
        return (
            len(host).to_bytes(2, "big")
            + host
            + b"\x00\x50"
            + len(metadata).to_bytes(2, "big")
            + metadata
        )

    def test_limits(self) -> None:
        """
        A host of 1024 bytes and metadata of 4096 are taken, one more of either is not.
        """
        self.assertEqual(len(Open.decode(self.raw(b"h" * 1_024, b"m" * 4_096)).host), 1_024)
        for payload in (self.raw(b"h" * 1_025), self.raw(b"h", b"m" * 4_097)):
            self.assertRaises(DecodeError, Open.decode, payload)
        self.assertRaises(DecodeError, Open("h" * 1_025, 1).encode)
        self.assertRaises(DecodeError, Open("h", 1, "m" * 4_097).encode)
        self.assertRaises(DecodeError, Open("h", 65_536).encode)

    def test_hosts(self) -> None:
        """
        A host that is empty, not UTF-8, or has white space or control characters in it is
        refused.
        """
        for host in (b"", b"\xc0\xaf", b"\xff", b"\xed\xa0\x80"):
            self.assertRaises(DecodeError, Open.decode, self.raw(host))
        for (
            character
        ) in " \t\n\r\0\x1f\x7f\x80\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\ufeff":
            name = f"a{character}b"
            self.assertRaises(DecodeError, Open.decode, self.raw(name.encode()))
            self.assertRaises(DecodeError, Open(name, 1).encode)
        self.assertRaises(DecodeError, Open.decode, self.raw(b"a", b"\xff"))

    def test_lengths(self) -> None:
        """
        Lengths that do not add up are refused, whichever byte is missing or too much.
        """
        payload = self.raw(b"host", b"meta")
        for size in range(len(payload)):
            self.assertRaises(DecodeError, Open.decode, payload[:size])
        self.assertRaises(DecodeError, Open.decode, payload + b"x")


class ErrorTests(SynchronousTestCase):
    """
    The payloads of ERROR and CLOSE.
    """

    def test_strict(self) -> None:
        """
        A message that is too long, cut, followed by something or not UTF-8 is refused.
        """
        for payload in (
            b"",
            b"\0\1\0",
            b"\0\1\0\1",
            b"\0\1\0\1ab",
            b"\0\1\0\1\xff",
            b"\0\1\x04\x01" + b"m" * 1_025,
        ):
            self.assertRaises(DecodeError, Error.decode, payload)
        problem = self.assertRaises(DecodeError, Error.decode, b"\0\1\0\4nop")
        self.assertIn("length mismatch", str(problem))

    def test_oneLine(self) -> None:
        """
        A message is sent as one line of at most 1024 bytes, whole characters only.
        """
        self.assertEqual(Error.decode(Error(2, "a\r\n b").encode()), Error(2, "a b"))
        sent = Error.decode(Error(2, "é" * 600).encode())
        self.assertEqual(sent.message, "é" * 512)

    def test_close(self) -> None:
        """
        CLOSE is one byte.
        """
        self.assertEqual(decodeClose(encodeClose(FIN | RST)), 3)
        for payload in (b"", b"\1\1"):
            self.assertRaises(DecodeError, decodeClose, payload)


class VectorTests(SynchronousTestCase):
    """
    The shared conformance vectors.
    """

    def setUp(self) -> None:
        self.vectors = vectors.load("tcp-mux-v1.json")

    def test_frames(self) -> None:
        """
        Every frame encodes and decodes.
        """
        self.assertEqual(
            {vector["msgType"] for vector in self.vectors["frames"]},
            {OPEN, DATA, CLOSE, ERROR, PING, PONG},
        )
        for vector in self.vectors["frames"]:
            payload = base64.b64decode(vector["payload_b64"])
            frame = base64.b64decode(vector["frame_b64"])
            self.assertEqual(encodeFrame(vector["msgType"], vector["streamId"], payload), frame)
            self.assertEqual(
                whole(decode([frame], stream=True)),
                [(vector["msgType"], vector["streamId"], payload)],
            )

    def test_payloads(self) -> None:
        """
        Every payload of OPEN, CLOSE and ERROR encodes and decodes, or is refused with the
        text that it should be.
        """
        for vector in self.vectors["openPayloads"]:
            payload = base64.b64decode(vector["payload_b64"])
            value = Open(vector["host"], vector["port"], vector.get("metadata", ""))
            self.assertEqual((Open.decode(payload), value.encode()), (value, payload))
        for vector in self.vectors["closePayloads"]:
            payload = base64.b64decode(vector["payload_b64"])
            self.assertEqual(decodeClose(payload), vector["flags"])
            self.assertEqual(encodeClose(vector["flags"]), payload)
        for vector in self.vectors["errorPayloads"]:
            payload = base64.b64decode(vector["payload_b64"])
            if vector.get("expectError"):
                problem = self.assertRaises(DecodeError, Error.decode, payload)
                self.assertIn(vector["errorContains"], str(problem))
            else:
                error = Error(vector["code"], vector["message"])
                self.assertEqual((Error.decode(payload), error.encode()), (error, payload))

    def test_streams(self) -> None:
        """
        Every cut stream decodes to its frames, or fails with the text that it should.
        """
        for vector in self.vectors["parserStreams"]:
            chunks = [base64.b64decode(chunk) for chunk in vector["chunks_b64"]]
            if vector.get("expectError"):
                problem = self.assertRaises(DecodeError, decode, chunks)
                self.assertIn(vector["errorContains"], str(problem))
                continue
            wanted = [
                (frame["msgType"], frame["streamId"], base64.b64decode(frame["payload_b64"]))
                for frame in vector["expectFrames"]
            ]
            self.assertEqual(whole(decode(chunks)), wanted)
            self.assertEqual(whole(decode(chunks, stream=True)), wanted)
