"""
Tests for L{aero.tls.hello}.
"""

from __future__ import annotations

import contextlib

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given, strategies
from aero.tls.hello import protocolsOffered


def hello(protocols: list[bytes]) -> bytes:
    """
    The first flight of an OpenSSL client.
    """
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    connection.set_connect_state()
    connection.set_tlsext_host_name(b"example.com")
    if protocols:
        connection.set_alpn_protos(protocols)
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(1 << 16)


def fragmented(data: bytes, size: int) -> bytes:
    """
    The same hello in records of C{size} bytes.
    """
    message = data[5:]
    return b"".join(
        data[:3] + len(piece).to_bytes(2) + piece
        for piece in (message[at : at + size] for at in range(0, len(message), size))
    )


class OfferedTests(SynchronousTestCase):
    """
    Tests for L{protocolsOffered}.
    """

    def test_offered(self) -> None:
        """
        The protocols are found, in the client's order.
        """
        for protocols in ([b"acme-tls/1"], [b"h2", b"http/1.1"], []):
            self.assertEqual(protocolsOffered(hello(protocols)), tuple(protocols))

    def test_trailing(self) -> None:
        """
        What follows the hello does not matter.
        """
        self.assertEqual(protocolsOffered(hello([b"h2"]) + b"\x17\x03\x03"), (b"h2",))

    def test_truncated(self) -> None:
        """
        A hello that is not all there offers nothing.
        """
        data = hello([b"h2"])
        for end in range(len(data)):
            self.assertEqual(protocolsOffered(data[:end]), ())

    def test_fragmented(self) -> None:
        """
        A hello may be spread over records of any size.
        """
        data = hello([b"acme-tls/1"])
        for size in (1, 3, 100, 1 << 14):
            self.assertEqual(protocolsOffered(fragmented(data, size)), (b"acme-tls/1",))

    def test_emptyRecord(self) -> None:
        """
        An empty record does not make it wait for ever.
        """
        self.assertEqual(protocolsOffered(b"\x16\x03\x01\x00\x00" * 10), ())

    @given(strategies.binary(max_size=400))
    def test_noise(self, data: bytes) -> None:
        """
        Anything else offers nothing, without an error.
        """
        self.assertEqual(protocolsOffered(b"\x16\x03\x01" + data)[1:], ())
        self.assertIsInstance(protocolsOffered(data), tuple)

    @given(strategies.data())
    def test_damaged(self, data: strategies.DataObject) -> None:
        """
        A hello with one byte changed is read or not, but never an error.
        """
        whole = bytearray(hello([b"h2"]))
        whole[data.draw(strategies.integers(0, len(whole) - 1))] = data.draw(
            strategies.integers(0, 255)
        )
        self.assertIsInstance(protocolsOffered(bytes(whole)), tuple)
