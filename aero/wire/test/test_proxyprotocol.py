"""
Tests for L{aero.wire.proxyprotocol}. The bytes are what HAProxy 2.6.12 sent.
"""

from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import DecodeError
from aero.testing.properties import given
from aero.testing.properties import strategies as st

from ..proxyprotocol import (
    MAX_V1,
    MAX_V2,
    SIGNATURE,
    ProxyHeader,
    beginsHeader,
    parseProxyHeader,
)

#: C{send-proxy}.
V1 = b"PROXY TCP4 127.0.0.9 127.0.0.1 40001 18101\r\n"

#: C{send-proxy-v2}, over IPv4 and IPv6.
V2 = bytes.fromhex("0d0a0d0a000d0a515549540a2111000c7f0000097f0000019c4246b6")
V2_SIX = bytes.fromhex(
    "0d0a0d0a000d0a515549540a21210024"
    "00000000000000000000000000000001000000000000000000000000000000019864" + "46b8"
)

#: C{send-proxy-v2-ssl} with C{crc32c,unique-id,authority}, for a client over TLS 1.3.
V2_TLS = bytes.fromhex(
    "0d0a0d0a000d0a515549540a2111003a7f0000097f0000019c4346b70300045bc0d74e02000f"
    "70632e6578616d706c652e7465737405000020000f0100000000210007544c5376312e33"
)

CASES = {
    V1: ProxyHeader(len(V1), 1, ("127.0.0.9", 40001), ("127.0.0.1", 18101)),
    V2: ProxyHeader(len(V2), 2, ("127.0.0.9", 40002), ("127.0.0.1", 18102)),
    V2_SIX: ProxyHeader(len(V2_SIX), 2, ("::1", 39012), ("::1", 18104)),
    V2_TLS: ProxyHeader(len(V2_TLS), 2, ("127.0.0.9", 40003), ("127.0.0.1", 18103), True),
}


def v2(command: int, family: int, body: bytes) -> bytes:
    """
    A header of version 2.
    """
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


class ParseTests(SynchronousTestCase):
    """
    Tests for L{parseProxyHeader}.
    """

    def test_haproxy(self) -> None:
        """
        Headers are read, and what follows them is not.
        """
        for data, expected in CASES.items():
            self.assertEqual(parseProxyHeader(data), expected)
            self.assertEqual(parseProxyHeader(data + b"\x16\x03\x01PROXY "), expected)

    def test_pieces(self) -> None:
        """
        A header may come in any pieces; until it is complete there is none.
        """
        for data in CASES:
            for length in range(len(data)):
                self.assertIs(parseProxyHeader(data[:length]), None, data[:length])

    def test_forItself(self) -> None:
        """
        A proxy may speak for itself, for nobody it knows, and for a socket in its file system.
        """
        for data in (
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n",
            v2(0x20, 0x00, b""),
            v2(0x20, 0x11, bytes(12)),
            v2(0x21, 0x00, b""),
            v2(0x21, 0x31, bytes(216)),
        ):
            found = parseProxyHeader(data)
            assert found is not None
            self.assertEqual((found.source, found.secure, found.size), (None, False, len(data)))

    def test_withoutTLS(self) -> None:
        """
        A client without TLS is said to be one.
        """
        plain = v2(0x21, 0x11, bytes(12) + b"\x20\x00\x05\x00\x00\x00\x00\x00")
        found = parseProxyHeader(plain)
        assert found is not None
        self.assertFalse(found.secure)

    def test_bad(self) -> None:
        """
        What is no header, or says what cannot be, is refused.
        """
        for data in (
            b"GET / HTTP/1.1\r\n",
            b"\x16\x03\x01",
            b"PROXX",
            b"\r\n\r\n\x00\r\nQUIX",
            b"proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
            b"PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 ::1 ::1 1 1\r\n",
            b"PROXY TCP6 1.2.3.4 ::1 1 1\r\n",
            b"PROXY TCP6 fe80::1%1 ::1 1 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 \xb2 1\r\n",
            b"PROXY TCP4 1.2.3.\xff 1.2.3.4 1 1\r\n",
            b"PROXY \r\n",
            b"PROXY " + b"x" * MAX_V1,
            v2(0x11, 0x11, bytes(12)),
            v2(0x22, 0x11, bytes(12)),
            v2(0x21, 0x12, bytes(12)),
            v2(0x21, 0x99, bytes(12)),
            v2(0x21, 0x11, bytes(11)),
            v2(0x21, 0x21, bytes(35)),
            v2(0x21, 0x31, bytes(215)),
            v2(0x21, 0x11, bytes(MAX_V2)),
            v2(0x21, 0x11, bytes(12) + b"\x04"),
            v2(0x21, 0x11, bytes(12) + b"\x04\x00\x02x"),
            v2(0x21, 0x11, bytes(12) + b"\x20\x00\x04\x01\x00\x00\x00"),
        ):
            self.assertRaises(DecodeError, parseProxyHeader, data)

    def test_longest(self) -> None:
        """
        The longest header of version 1 is accepted, one byte more is not.
        """
        longest = b"PROXY UNKNOWN ".ljust(MAX_V1 - 2, b"x") + b"\r\n"
        found = parseProxyHeader(longest)
        assert found is not None
        self.assertEqual(found.size, MAX_V1)
        longer = b"PROXY UNKNOWN ".ljust(MAX_V1 - 1, b"x") + b"\r\n"
        self.assertRaises(DecodeError, parseProxyHeader, longer)

    @given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE]), st.binary(max_size=300))
    def test_anything(self, start: bytes, rest: bytes) -> None:
        """
        Any bytes are a header within them, not enough, or refused.
        """
        data = start + rest
        try:
            found = parseProxyHeader(data)
        except DecodeError:
            return
        if found is not None:
            self.assertLessEqual(found.size, len(data))
            for end in (found.source, found.destination):
                if end is not None:
                    ipaddress.ip_address(end[0])
                    self.assertTrue(0 <= end[1] <= 65_535)

    def test_beginnings(self) -> None:
        """
        The first bytes tell whether more of them may become a header.
        """
        for data in (b"P", b"PROXY ", b"\r\n", SIGNATURE, V1, V2):
            self.assertTrue(beginsHeader(data))
        for data in (b"", b"PUT", b"\r\nGET", b"\x16"):
            self.assertFalse(beginsHeader(data))
