# -*- test-case-name: aero.tls.test.test_contexts -*-
"""
The parts of OpenSSL that pyOpenSSL has no method for, kept in this one place.

They go through the same bindings that pyOpenSSL is made of, as L{twisted.internet.ssl} does for
elliptic curves.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from OpenSSL import SSL
from OpenSSL._util import ffi, lib

#: Keys that TLS can sign with.
PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)

_lib: Any = lib
_ffi: Any = ffi

#: C{SSL_MODE_ENABLE_PARTIAL_WRITE}, which pyOpenSSL sets and has no name for.
MODE_ENABLE_PARTIAL_WRITE = 0x1

#: C{SSL_OP_PRIORITIZE_CHACHA}, which pyOpenSSL has no name for either.
OP_PRIORITIZE_CHACHA = 0x200000

#: The most that L{drain} gives at once; a bigger buffer falls out of the processor's cache.
DRAIN_BYTES = 262_144

# One for all connections, because a new one for each read costs more than the reading itself.
_buffer = _ffi.new("char[]", DRAIN_BYTES)
_view = memoryview(_ffi.buffer(_buffer)).toreadonly()


def useCertificate(
    context: SSL.Context, key: PrivateKey, chain: Sequence[x509.Certificate]
) -> None:
    """
    Have a context present a certificate chain.

    @raise ValueError: OpenSSL does not accept them, usually because the key is too short.
    """
    try:
        context.use_certificate(chain[0])
        for each in chain[1:]:
            context.add_extra_chain_cert(each)
        context.use_privatekey(key)
        context.check_privatekey()
    except SSL.Error as error:
        reasons = ", ".join(reason for _, _, reason in error.args[0]) if error.args else "unknown"
        raise ValueError(f"OpenSSL does not accept it: {reasons}") from error


def setGroups(context: SSL.Context, *names: str) -> None:
    """
    Say which key exchange groups a context accepts, the preferred one first.

    Names that this OpenSSL does not know are left out, as long as one remains.

    @raise ValueError: It knows none of them.
    """
    known = [name for name in names if _groupIsKnown(name)]
    # SSL_CTX_set1_groups_list() under its older name.
    if not known or not _lib.SSL_CTX_set1_curves_list(context._context, ":".join(known).encode()):
        _lib.ERR_clear_error()
        raise ValueError(f"this OpenSSL knows none of the groups {names!r}")


def _groupIsKnown(name: str) -> bool:
    probe = SSL.Context(SSL.TLS_SERVER_METHOD)
    known = bool(_lib.SSL_CTX_set1_curves_list(probe._context, name.encode()))
    _lib.ERR_clear_error()
    return known


def onServerName(context: SSL.Context, accepts: Callable[[SSL.Connection], bool]) -> None:
    """
    Have a function decide about each client's server name, also when there is none.

    A refusal ends the handshake with the fatal alert C{unrecognized_name} (RFC 6066 section 3).
    pyOpenSSL's own method can only refuse by an exception, for which it writes a traceback to
    standard error.

    @param accepts: Given the connection; it may switch its context. It must not raise.
    """

    def servername(ssl: Any, alert: Any, _: Any) -> int:
        connection = SSL.Connection._reverse_mapping.get(ssl)
        if connection is not None and accepts(connection):
            return int(_lib.SSL_TLSEXT_ERR_OK)
        # The alert is unrecognized_name unless said otherwise.
        return int(_lib.SSL_TLSEXT_ERR_ALERT_FATAL)

    callback = _ffi.callback(
        "int (*)(SSL *, int *, void *)", servername, error=_lib.SSL_TLSEXT_ERR_ALERT_FATAL
    )
    # pyOpenSSL keeps its own callback alive in the same attribute.
    context._tlsext_servername_callback = callback
    _lib.SSL_CTX_set_tlsext_servername_callback(context._context, callback)


def offerProtocols(context: SSL.Context, protocols: Sequence[bytes]) -> None:
    """
    Choose the first of these protocols that a client offers by ALPN.

    A client that offers others only is refused with the fatal alert C{no_application_protocol}
    (RFC 7301 section 3.2), which pyOpenSSL's own method cannot send. One that offers none is let
    in.
    """
    choices = [(each, _ffi.new("unsigned char[]", each)) for each in protocols]

    def select(_: Any, out: Any, outLength: Any, offered: Any, length: int, __: Any) -> int:
        names, at = bytes(_ffi.buffer(offered, length)), 0
        found = set()
        # OpenSSL has checked the lengths.
        while at < length:
            end = at + 1 + names[at]
            found.add(names[at + 1 : end])
            at = end
        for name, pointer in choices:
            if name in found:
                out[0], outLength[0] = pointer, len(name)
                return int(_lib.SSL_TLSEXT_ERR_OK)
        return int(_lib.SSL_TLSEXT_ERR_ALERT_FATAL)

    callback = _ffi.callback(
        "int (*)(SSL *, unsigned char **, unsigned char *, const unsigned char *, unsigned int,"
        " void *)",
        select,
        error=_lib.SSL_TLSEXT_ERR_ALERT_FATAL,
    )
    # pyOpenSSL keeps its own callback alive in the same attribute.
    context._alpn_select_callback = callback
    _lib.SSL_CTX_set_alpn_select_cb(context._context, callback, _ffi.NULL)


def wasResumed(connection: SSL.Connection) -> bool:
    """
    Whether a finished handshake resumed an earlier session.
    """
    return bool(_lib.SSL_session_reused(connection._ssl))


def drain(connection: SSL.Connection) -> memoryview:
    """
    Take what a connection wants to send, up to L{DRAIN_BYTES}; empty where there is nothing.

    C{bio_read} does the same with a buffer made for each call, two more copies, and an exception
    where there is nothing.

    @return: Good until the next call of this function or of L{receive}, for any connection.
    """
    count = _lib.BIO_read(connection._from_ssl, _buffer, DRAIN_BYTES)
    return _view[: max(0, count)]


def receive(connection: SSL.Connection) -> tuple[bytes, SSL.Error | None]:
    """
    Take what arrived and could be decrypted, up to L{DRAIN_BYTES}.

    C{recv} gives one record at a time, and an exception at the end of each network read.

    @return: The data, which may be empty, and what ended the reading: C{None} if it goes on once
        more arrives, L{SSL.ZeroReturnError} if the peer will send no more.
    """
    got = 0
    while got < DRAIN_BYTES:
        count = _lib.SSL_read(connection._ssl, _buffer + got, DRAIN_BYTES - got)
        if count <= 0:
            return bytes(_ffi.buffer(_buffer, got)), _error(connection, count)
        got += count
    return bytes(_ffi.buffer(_buffer, got)), None


def _error(connection: SSL.Connection, result: int) -> SSL.Error | None:
    if _lib.SSL_get_error(connection._ssl, result) == _lib.SSL_ERROR_WANT_READ:
        return None
    try:
        connection._raise_ssl_error(connection._ssl, result)
    except SSL.WantReadError:
        return None
    except SSL.Error as error:
        return error
    return None
