"""
Tests for L{aero.wire.udprelay}.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given
from aero.testing.properties import strategies as st
from aero.testing.vectors import load
from aero.wire.udprelay import (
    Datagram,
    UDPRelayError,
    canonical,
    decode,
    encode,
    parseHeader,
)

REMOTES = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
PORTS = st.integers(0, 65_535)


class VectorTests(SynchronousTestCase):
    """
    The shared vectors C{udp-relay.json}.
    """

    def test_everyVector(self) -> None:
        """
        A valid frame is read as written down and encodes to the same bytes; any other is
        refused with the words written down.
        """
        entries = load("udp-relay.json")["vectors"]
        self.assertGreaterEqual(len(entries), 9)
        for entry in entries:
            frame = base64.b64decode(entry["frame_b64"])
            if entry.get("expectError"):
                error = self.assertRaises(UDPRelayError, decode, frame, 1200)
                self.assertIn(entry["errorContains"], str(error), entry["name"])
                continue
            expected = Datagram(
                entry["version"],
                entry["guestPort"],
                ipaddress.ip_address(entry["remoteIp"]).packed,
                entry["remotePort"],
                base64.b64decode(entry["payload_b64"]),
            )
            self.assertEqual(decode(frame, 1200), expected, entry["name"])
            self.assertEqual(encode(*expected), frame, entry["name"])


class DecodeTests(SynchronousTestCase):
    """
    L{decode}.
    """

    def test_payloadLimit(self) -> None:
        """
        A payload of exactly the limit is taken; one more byte is oversized, which is another
        thing than malformed.
        """
        fits = encode(1, 1, b"\x08\x08\x08\x08", 53, bytes(10))
        self.assertEqual(len(decode(fits, 10).payload), 10)
        error = self.assertRaises(UDPRelayError, decode, fits + b"x", 10)
        self.assertTrue(error.oversized)
        self.assertIn("payload too large", str(error))

    def test_emptyPayload(self) -> None:
        """
        An empty datagram is one, and so is one from port 0 to port 0.
        """
        self.assertEqual(
            decode(encode(1, 0, b"\x08\x08\x08\x08", 0, b""), 0),
            Datagram(1, 0, b"\x08\x08\x08\x08", 0, b""),
        )

    def test_messageTypeBeforeFamily(self) -> None:
        """
        With both wrong, the message type is what the error names.
        """
        error = self.assertRaises(UDPRelayError, decode, b"\xa2\x02\xff\x01" + bytes(20), 1200)
        self.assertIn("message type", str(error))

    def test_everyTruncation(self) -> None:
        """
        A header cut anywhere is malformed, never anything else.
        """
        for remote in (bytes(4), bytes(16)):
            whole = encode(2, 7, remote, 9, b"")
            for length in range(2, len(whole)):
                error = self.assertRaises(UDPRelayError, decode, whole[:length], 1200)
                self.assertFalse(error.oversized)

    @given(st.sampled_from([1, 2]), PORTS, REMOTES, PORTS, st.binary(max_size=64))
    def test_roundTrip(
        self, version: int, guestPort: int, remote: bytes, remotePort: int, payload: bytes
    ) -> None:
        """
        What was encoded is decoded again, but for the one guest port that version 1 cannot
        say.
        """
        message = encode(version, guestPort, remote, remotePort, payload)
        if message[:2] == b"\xa2\x02" and version == 1 and len(remote) == 4:
            return
        expected = 2 if len(remote) == 16 else version
        self.assertEqual(
            decode(message, 64), Datagram(expected, guestPort, remote, remotePort, payload)
        )

    @given(st.binary(max_size=80))
    def test_garbage(self, message: bytes) -> None:
        """
        Anything is a datagram or a L{UDPRelayError}.
        """
        with contextlib.suppress(UDPRelayError):
            decode(message, 48)


class CanonicalTests(SynchronousTestCase):
    """
    L{canonical}.
    """

    def test_mapped(self) -> None:
        """
        An IPv4-mapped address is the IPv4 address; others stay what they are.
        """
        mapped = ipaddress.ip_address("::ffff:192.0.2.1").packed
        self.assertEqual(canonical(mapped), bytes([192, 0, 2, 1]))
        six = ipaddress.ip_address("2001:db8::1").packed
        self.assertEqual(canonical(six), six)
        self.assertEqual(canonical(b"\x01\x02\x03\x04"), b"\x01\x02\x03\x04")


class HeaderTests(SynchronousTestCase):
    """
    L{parseHeader}.
    """

    def check(self, message: bytes) -> None:
        """
        It finds what L{decode} finds.
        """
        isV2 = message[:2] == b"\xa2\x02"
        size = 8 if not isV2 else 24 if message[2:3] == b"\x06" else 12
        try:
            expected: object = tuple(decode(message, 65_535))[:4]
        except UDPRelayError:
            expected = None
        self.assertEqual(parseHeader(message[:size]), expected)

    @given(st.integers(1, 2), PORTS, REMOTES, PORTS, st.binary(max_size=40))
    def test_valid(
        self, version: int, guestPort: int, remote: bytes, port: int, payload: bytes
    ) -> None:
        """
        Of valid messages, whole and cut at every length.
        """
        message = encode(version, guestPort, remote, port, payload)
        for length in range(len(message) + 1):
            self.check(message[:length])

    @given(st.sampled_from([b"", b"\xa2\x02", b"\xa2\x02\x04", b"\xa2\x02\x06"]), st.binary())
    def test_anything(self, start: bytes, rest: bytes) -> None:
        """
        Of any bytes.
        """
        self.check(start + rest)
