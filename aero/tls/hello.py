# -*- test-case-name: aero.tls.test.test_hello -*-
"""
What a client's hello says before OpenSSL tells: the application protocols it offers.

The choice of a certificate depends on them for TLS-ALPN-01 (RFC 8737 section 3), and OpenSSL
hands them out only after that choice.
"""

from __future__ import annotations

#: Record and handshake numbers (RFC 8446 sections 5.1 and 4, RFC 7301 section 3.1).
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_ALPN = 16


def protocolsOffered(data: bytes) -> tuple[bytes, ...]:
    """
    The protocols in the ALPN extension of a hello.

    @param data: The first bytes that a client sent, record headers included. More may follow the
        hello.
    @return: Nothing where there is no such extension, or no whole and well-formed hello.
    """
    try:
        return _protocols(_body(data))
    except _Malformed:
        return ()


class _Malformed(ValueError):
    """
    A length leads out of what surrounds it.
    """


def _body(data: bytes) -> bytes:
    """
    The hello without record and handshake headers; it may be spread over several records.
    """
    message, at = b"", 0
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4]):
        header, at = _take(data, at, 5)
        fragment, at = _take(data, at, int.from_bytes(header[3:5]))
        if header[0] != _HANDSHAKE or not fragment:
            raise _Malformed
        message += fragment
    if message[0] != _CLIENT_HELLO:
        raise _Malformed
    return message[4 : 4 + int.from_bytes(message[1:4])]


def _protocols(body: bytes) -> tuple[bytes, ...]:
    _, at = _take(body, 0, 2 + 32)
    for width in (1, 2, 1):
        # The session, the cipher suites, the compression methods.
        _, at = _vector(body, at, width)
    extensions, _ = _vector(body, at, 2)
    at = 0
    while at < len(extensions):
        kind, at = _take(extensions, at, 2)
        content, at = _vector(extensions, at, 2)
        if int.from_bytes(kind) == _ALPN:
            names, _ = _vector(content, 0, 2)
            return _names(names)
    return ()


def _names(names: bytes) -> tuple[bytes, ...]:
    found, at = [], 0
    while at < len(names):
        name, at = _vector(names, at, 1)
        found.append(name)
    return tuple(found)


def _vector(data: bytes, at: int, width: int) -> tuple[bytes, int]:
    """
    The bytes after a length of C{width} bytes, and where they end.
    """
    length, at = _take(data, at, width)
    return _take(data, at, int.from_bytes(length))


def _take(data: bytes, at: int, count: int) -> tuple[bytes, int]:
    end = at + count
    if end > len(data):
        raise _Malformed
    return data[at:end], end
