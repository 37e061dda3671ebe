"""
Tests for L{aero.rtc.guard}. The packets were made by scapy.
"""

from __future__ import annotations

import contextlib
import struct
import sys
from types import FrameType
from typing import Any

from aiortc.rtcsctptransport import decode_params
from google_crc32c import value as crc32c
from twisted.trial.unittest import SynchronousTestCase

from aero.rtc import guard
from aero.testing.properties import given
from aero.testing.properties import strategies as st

DATA = "1388138801020304e644f7a00003001500000010000300000000003568656c6c6f000000"
SACK = "1388138800000007a61b52aa03000018000000200010000000010001000200030000001f"
INIT = "1388138800000000dda547a401000020aabbccdd00020000ffffffff00000010c000000480080006c0820000"


def packet(*chunks: bytes, tag: int = 7) -> bytes:
    """
    A packet with a checksum that is right.
    """
    header = struct.pack("!HHL", 5000, 5000, tag)
    body = b"".join(chunk + bytes(-len(chunk) % 4) for chunk in chunks)
    return header + struct.pack("<L", crc32c(header + bytes(4) + body)) + body


def chunk(kind: int, value: bytes, flags: int = 0) -> bytes:
    """
    A chunk with a length that is right.
    """
    return struct.pack("!BBH", kind, flags, 4 + len(value)) + value


class GuardTests(SynchronousTestCase):
    """
    L{guard.splitPacket}.
    """

    def test_scapy(self) -> None:
        """
        Packets of another implementation are split where it put them together.
        """
        self.assertEqual(guard.splitPacket(bytes.fromhex(DATA)), [(guard.DATA, 3, 12, 33)])
        self.assertEqual(guard.splitPacket(bytes.fromhex(SACK)), [(guard.SACK, 0, 12, 36)])
        self.assertEqual(guard.splitPacket(bytes.fromhex(INIT)), [(guard.INIT, 0, 12, 44)])

    def test_severalChunks(self) -> None:
        """
        Padding between chunks is skipped.
        """
        spans = guard.splitPacket(packet(chunk(10, b"cookie"), chunk(11, b"")))
        self.assertEqual(spans, [(10, 0, 12, 22), (11, 0, 24, 28)])

    def test_truncated(self) -> None:
        """
        A packet cut anywhere is refused: its checksum no longer fits.
        """
        for whole in (DATA, SACK, INIT):
            data = bytes.fromhex(whole)
            for cut in range(len(data)):
                self.assertRaises(guard.MalformedPacket, guard.splitPacket, data[:cut])

    def test_truncatedWithChecksum(self) -> None:
        """
        So is one that was cut by somebody who can compute a checksum; at most a whole chunk
        may be missing.
        """
        for whole in (DATA, SACK, INIT):
            body = bytes.fromhex(whole)[12:]
            size = struct.unpack_from("!H", body, 2)[0]
            for cut in range(4, size, 4):
                self.assertRaises(guard.MalformedPacket, guard.splitPacket, packet(body[:cut]))

    def test_badChunks(self) -> None:
        """
        Chunks whose lengths lie are refused.
        """
        for bad in (
            struct.pack("!BBH", 6, 0, 0),
            struct.pack("!BBH", 6, 0, 3),
            struct.pack("!BBH", 6, 0, 5),
            chunk(guard.DATA, bytes(12)),
            chunk(guard.INIT, bytes(15)),
            chunk(guard.SACK, struct.pack("!LLHH", 0, 0, 1, 0)),
            chunk(guard.SACK, struct.pack("!LLHH", 0, 0, 65_535, 65_535)),
            chunk(guard.FORWARD_TSN, bytes(6)),
            chunk(guard.SHUTDOWN, b""),
        ):
            self.assertRaises(guard.MalformedPacket, guard.splitPacket, packet(bad))

    def test_parameterOfLengthZero(self) -> None:
        """
        The parameter on which aiortc stays for ever is refused wherever parameters are.
        """
        zero = struct.pack("!HH", 0xC000, 0)
        for bad in (
            chunk(guard.INIT, bytes(16) + zero),
            chunk(guard.INIT_ACK, bytes(16) + zero),
            chunk(guard.HEARTBEAT, zero),
            chunk(guard.HEARTBEAT_ACK, zero),
            chunk(guard.ABORT, zero),
            chunk(guard.ERROR, zero),
            chunk(guard.RECONFIG, zero),
        ):
            self.assertRaises(guard.MalformedPacket, guard.splitPacket, packet(bad))

    def test_badParameters(self) -> None:
        """
        Parameters that are shorter than their header, longer than their chunk, too many, or
        too short for what re-configuration reads in them are refused.
        """
        for bad in (
            chunk(guard.HEARTBEAT, struct.pack("!HH", 1, 3)),
            chunk(guard.HEARTBEAT, struct.pack("!HH", 1, 9) + bytes(4)),
            chunk(guard.HEARTBEAT, struct.pack("!HH", 1, 4) * 65),
            chunk(guard.RECONFIG, struct.pack("!HH", 13, 12) + bytes(8)),
            chunk(guard.RECONFIG, struct.pack("!HH", 13, 17) + bytes(13)),
            chunk(guard.RECONFIG, struct.pack("!HH", 16, 8) + bytes(4)),
            chunk(guard.RECONFIG, struct.pack("!HH", 17, 8) + bytes(4)),
        ):
            self.assertRaises(guard.MalformedPacket, guard.splitPacket, packet(bad))

    def test_manyChunks(self) -> None:
        """
        A packet of nothing but tiny chunks is refused.
        """
        self.assertRaises(guard.MalformedPacket, guard.splitPacket, packet(*[chunk(11, b"")] * 600))

    @given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=20))
    def test_anything(self, chunks: list[tuple[int, bytes]]) -> None:
        """
        Whatever is in a packet, it is split into spans that follow each other inside it, or
        refused.
        """
        data = packet(*(chunk(kind, value) for kind, value in chunks))
        try:
            spans = guard.splitPacket(data)
        except guard.MalformedPacket:
            return
        at = 12
        for span in spans:
            self.assertEqual(span.start, at)
            self.assertLessEqual(span.end, len(data))
            at = span.end + -(span.end - span.start) % 4

    @given(st.binary(max_size=64))
    def test_noise(self, data: bytes) -> None:
        """
        Bytes with a good checksum never raise anything else.
        """
        body = data + bytes(-len(data) % 4)
        with contextlib.suppress(guard.MalformedPacket):
            guard.splitPacket(packet(body))


class _Stopped(Exception):
    """
    A function took more steps than it may.
    """


class UpstreamTests(SynchronousTestCase):
    """
    Why the guard is there.
    """

    def test_aiortcStillLoops(self) -> None:
        """
        aiortc's own parser does not come back from a parameter of length zero. When this
        fails it does, and C{setup.cfg} may allow the versions from there on.
        """
        steps = 0

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > 10_000:
                raise _Stopped
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            self.assertRaises(_Stopped, decode_params, struct.pack("!HH", 1, 0))
        finally:
            sys.settrace(before)
