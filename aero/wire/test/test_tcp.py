"""
Tests for L{aero.wire.tcp}. The segments were made by scapy.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given
from aero.testing.properties import strategies as st
from aero.wire import tcp
from aero.wire.checksum import pseudoHeader

#: From 10.0.2.15 to 203.0.113.10.
PSEUDO = pseudoHeader(0x0A00020F, 0xCB00710A, 6, 0)

SYN = bytes.fromhex(
    "9c4100500000138800000000a002ffff4bc70000020405b40402080a010203040000000001030307"
)
SYN_ACK = bytes.fromhex("00509c41fffffffe00001389601203e89f97000002040218")
DATA = bytes.fromhex("9c410050000013890000004d80180200384c00000101080a000000090000000868656c6c6f")
SACK = bytes.fromhex(
    "9c410050000013890000004da01002005dff00000101051200000064000000c8fffffff000000010"
)
ALL = SYN, SYN_ACK, DATA, SACK

SYN_OPTIONS = tcp.Options(1460, 7, True, (0x01020304, 0), ())
SACK_OPTIONS = tcp.Options(sack=((100, 200), (0xFFFFFFF0, 16)))


class SegmentTests(SynchronousTestCase):
    """
    Whole segments.
    """

    def test_build(self) -> None:
        """
        The segments are made byte for byte.
        """
        build = tcp.build
        options = tcp.buildOptions
        self.assertEqual(
            build(40_001, 80, 5000, 0, tcp.SYN, 65_535, PSEUDO, options(SYN_OPTIONS)), SYN
        )
        self.assertEqual(
            build(
                80,
                40_001,
                0xFFFFFFFE,
                5001,
                tcp.SYN | tcp.ACK,
                1000,
                PSEUDO,
                options(tcp.Options(mss=536)),
            ),
            SYN_ACK,
        )
        stamps = tcp.TIMESTAMP_STRUCT.pack(tcp.TIMESTAMP_PREFIX, 9, 8)
        self.assertEqual(stamps, options(tcp.Options(timestamp=(9, 8))))
        flags = tcp.PSH | tcp.ACK
        self.assertEqual(build(40_001, 80, 5001, 77, flags, 512, PSEUDO, stamps, b"hello"), DATA)
        self.assertEqual(
            build(40_001, 80, 5001, 77, tcp.ACK, 512, PSEUDO, options(SACK_OPTIONS)), SACK
        )

    def test_verify(self) -> None:
        """
        They are right wherever they lie; with any bit changed, or with other addresses, they
        are not.
        """
        for segment in ALL:
            packet = b"before" + segment + b"behind"
            end = 6 + len(segment)
            self.assertEqual(tcp.verify(packet, 6, end, PSEUDO), "")
            self.assertEqual(tcp.verify(packet, 6, end, PSEUDO + 1), "checksum")
            for bit in range(len(segment) * 8):
                changed = bytearray(segment)
                changed[bit // 8] ^= 1 << bit % 8
                self.assertNotEqual(tcp.verify(bytes(changed), 0, len(changed), PSEUDO), "")

    def test_truncated(self) -> None:
        """
        A segment cut anywhere is refused, for a reason.
        """
        for segment in ALL:
            header = (segment[12] >> 4) * 4
            for length in range(len(segment)):
                expected = "short" if length < 20 else "length" if length < header else "checksum"
                self.assertEqual(tcp.verify(segment, 0, length, PSEUDO), expected)

    def test_offset(self) -> None:
        """
        A header of less than twenty bytes is refused (RFC 9293 section 3.1).
        """
        for words in range(5):
            changed = DATA[:12] + bytes((words << 4,)) + DATA[13:]
            self.assertEqual(tcp.verify(changed, 0, len(changed), PSEUDO), "length")

    @given(st.binary(max_size=70), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
    def test_ownIsRight(self, data: bytes, sequence: int, acknowledgment: int) -> None:
        """
        Whatever the numbers and the length, the checksum made is one that is believed.
        """
        made = tcp.build(1, 2, sequence, acknowledgment, tcp.ACK, 3, PSEUDO, b"\1\1\1\1", data)
        self.assertEqual(tcp.verify(made, 0, len(made), PSEUDO), "")
        fields = tcp.HEADER_STRUCT.unpack_from(made)
        self.assertEqual(fields[:6], (1, 2, sequence, acknowledgment, 0x6010, 3))


class OptionTests(SynchronousTestCase):
    """
    Options.
    """

    def test_parse(self) -> None:
        """
        Each kind is read.
        """
        self.assertEqual(tcp.parseOptions(SYN, 20, 40), SYN_OPTIONS)
        self.assertEqual(tcp.parseOptions(SYN_ACK, 20, 24), tcp.Options(mss=536))
        self.assertEqual(tcp.parseOptions(DATA, 20, 32), tcp.Options(timestamp=(9, 8)))
        self.assertEqual(tcp.parseOptions(SACK, 20, 40), SACK_OPTIONS)

    def test_truncated(self) -> None:
        """
        Options that are cut anywhere give what is whole, and never raise.
        """
        for end in range(20, 40):
            options = tcp.parseOptions(SYN[:end], 20, end)
            self.assertEqual(options.mss, 1460 if end >= 24 else None)
            self.assertEqual(options.sackPermitted, end >= 26)
            self.assertEqual(options.timestamp is not None, end >= 36)
            self.assertIsNone(options.shift)

    def test_malformed(self) -> None:
        """
        A length that is too small ends them; one that is wrong for its kind passes that over.
        """
        for data in (b"\x02\x00\x05\xb4", b"\x02\x01\x05\xb4", b"\x02", b"\x05\x22" + bytes(8)):
            self.assertEqual(tcp.parseOptions(data, 0, len(data)), tcp.Options())
        wrong = b"\x02\x03\x05" + b"\x05\x09" + bytes(7) + b"\x08\x02" + b"\x02\x04\x01\x00"
        self.assertEqual(tcp.parseOptions(wrong, 0, len(wrong)), tcp.Options(mss=256))

    def test_unknown(self) -> None:
        """
        Unknown ones are skipped, and nothing counts behind the end of the list.
        """
        data = b"\xfd\x06abcd" + b"\x01" + b"\x03\x03\x04" + b"\x00" + b"\x02\x04\x01\x00"
        self.assertEqual(tcp.parseOptions(data, 0, len(data)), tcp.Options(shift=4))

    def test_shift(self) -> None:
        """
        A window is not shifted by more than fourteen (RFC 7323 section 2.3).
        """
        self.assertEqual(tcp.parseOptions(b"\x03\x03\xff", 0, 3).shift, 14)

    @given(st.binary(max_size=40))
    def test_anything(self, data: bytes) -> None:
        """
        Nothing raises, and there are never more than four blocks.
        """
        self.assertLessEqual(len(tcp.parseOptions(data, 0, len(data)).sack), 4)

    def test_padded(self) -> None:
        """
        What is written is a multiple of four bytes, and reads the same.
        """
        for mss in (None, 1460):
            for shift in (None, 7):
                for permitted in (False, True):
                    for stamp in (None, (1, 2)):
                        options = tcp.Options(mss, shift, permitted, stamp, ())
                        made = tcp.buildOptions(options)
                        self.assertEqual(len(made) % 4, 0)
                        self.assertEqual(tcp.parseOptions(made, 0, len(made)), options)
