# -*- test-case-name: aero.tls.test.test_contexts -*-
"""
TLS for servers: which versions, ciphers and groups, which certificate for which name.

Goals: exactly the clients that look for our names get a certificate; a renewed certificate
serves the next handshake while open connections stay as they are; sessions can be resumed
across that renewal.

Each connection starts in the I{front} context, which has no certificate. OpenSSL asks there for
a decision about the client's server name, and the connection either moves on to the context of
one certificate or the handshake ends. The keys of session tickets belong to the front context
and stay its own when a connection moves, so a new certificate makes no ticket void. Front
contexts are replaced now and then because that is the only way to new ticket keys: whoever steals
one can read the TLS 1.2 sessions resumed with it (RFC 5077 section 5.5).
"""

from __future__ import annotations

from typing import Callable, Sequence

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from aero.metrics import Metrics
from aero.metrics import tls as rows
from aero.policy.hostname import normalizeHost

from .certificates import CertificateSource, CertifiedKey
from .hello import protocolsOffered
from .openssl import (
    MODE_ENABLE_PARTIAL_WRITE,
    OP_PRIORITIZE_CHACHA,
    offerProtocols,
    onServerName,
    setGroups,
    useCertificate,
)

#: Mozilla's "intermediate" recommendation, version 5.8
#: (https://ssl-config.mozilla.org/guidelines/5.8.json): forward secrecy and authenticated
#: encryption only. The server's order decides, but a client whose first choice is ChaCha20 gets
#: that, because it has no AES hardware.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
CIPHERSUITES_1_3 = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
)
#: Of the same recommendation; the first needs OpenSSL 3.5.
GROUPS = ("X25519MLKEM768", "X25519", "P-256", "P-384")

HTTP_PROTOCOLS = (b"h2", b"http/1.1")

#: What an ACME server offers, alone, when it checks TLS-ALPN-01 (RFC 8737 section 6.2).
ACME_PROTOCOL = b"acme-tls/1"

#: Seconds that one set of ticket keys is used for new connections.
TICKET_KEY_LIFE = 86_400.0

#: Seconds that a session may be resumed after its first handshake.
SESSION_LIFE = 43_200

#: The most of a client's first bytes that are kept in L{Greeting.hello}.
MAX_HELLO_BYTES = 16_384

_SESSION_ID_CONTEXT = b"aero"


class Greeting:
    """
    What passes between a listener's protocol and L{ServerTLS} during a handshake, as the
    connection's application data.

    @ivar hello: The first bytes of the client.
    @ivar refused: Whether there was no certificate for the name in them.
    """

    __slots__ = ("hello", "refused")

    def __init__(self) -> None:
        self.hello = bytearray()
        self.refused = False


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """
    Makes the OpenSSL connections of a TLS listener.

    It works with any L{twisted.protocols.tls.TLSMemoryBIOFactory};
    L{aero.tls.protocol.TLSServerFactory} adds a handshake timeout, metrics and speed, and
    is needed for C{acme-tls/1}.
    """

    def __init__(
        self,
        source: CertificateSource,
        *,
        seconds: Callable[[], float],
        metrics: Metrics,
        protocols: Sequence[bytes] = HTTP_PROTOCOLS,
    ) -> None:
        """
        @param seconds: The monotonic clock, C{reactor.seconds}.
        @param protocols: The application protocols to offer by ALPN, the preferred one first. A
            client that speaks ALPN and none of these is refused (RFC 7301 section 3.2).
        """
        self._source = source
        self._seconds = seconds
        self._metrics = metrics
        self._protocols = tuple(protocols)
        self._contexts: dict[CertifiedKey, SSL.Context] = {}
        self._front = self._makeFront()
        self._frontUntil = seconds() + TICKET_KEY_LIFE
        source.onChange(self._changed)
        self._changed()

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """
        A connection that waits for a client's hello.

        @see: L{IOpenSSLServerConnectionCreator}
        """
        if self._seconds() >= self._frontUntil:
            self._front = self._makeFront()
            self._frontUntil = self._seconds() + TICKET_KEY_LIFE
        connection = SSL.Connection(self._front)
        connection.set_accept_state()
        return connection

    def _makeFront(self) -> SSL.Context:
        context = self._makeContext()
        onServerName(context, self._chooseContext)
        return context

    def _makeContext(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_max_proto_version(SSL.TLS1_3_VERSION)
        context.set_cipher_list(":".join(CIPHERS).encode())
        context.set_tls13_ciphersuites(":".join(CIPHERSUITES_1_3).encode())
        setGroups(context, *GROUPS)
        context.set_options(
            SSL.OP_NO_COMPRESSION
            | SSL.OP_NO_RENEGOTIATION
            | SSL.OP_CIPHER_SERVER_PREFERENCE
            | OP_PRIORITIZE_CHACHA
        )
        # A memory BIO takes everything, so a write need not stop after each record.
        context.clear_mode(MODE_ENABLE_PARTIAL_WRITE)
        # Most connections are idle most of the time.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        # Tickets keep sessions with the clients; a cache here would be memory for strangers.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_session_id(_SESSION_ID_CONTEXT)
        context.set_timeout(SESSION_LIFE)
        if self._protocols:
            offerProtocols(context, self._protocols)
        return context

    def _contextFor(self, certified: CertifiedKey) -> SSL.Context:
        context = self._makeContext()
        useCertificate(context, certified.key, certified.chain)
        return context

    def _changed(self) -> None:
        """
        Prepare a context for each certificate in use and forget those of earlier ones, which live
        on as long as their connections do.
        """
        certificates = tuple(self._source.current())
        self._contexts = {
            each: self._contexts.get(each) or self._contextFor(each) for each in certificates
        }
        for each in certificates:
            for name in each.names:
                self._metrics.gauge(rows.CERTIFICATE_NOT_AFTER, name).set(each.notAfter)
                self._metrics.gauge(rows.CERTIFICATE_NOT_BEFORE, name).set(each.notBefore)

    def _chooseContext(self, connection: SSL.Connection) -> bool:
        """
        Move a connection to the context of its certificate.

        @return: False if there is none for this client.
        """
        greeting = connection.get_app_data()
        context = self._contextNamed(serverName(connection), greeting)
        if context is None:
            if greeting is not None:
                greeting.refused = True
            return False
        connection.set_context(context)
        return True

    def _contextNamed(self, name: str | None, greeting: Greeting | None) -> SSL.Context | None:
        if name == "":
            return None
        if name is not None and greeting is not None:
            challenge = self._source.challengeFor(name)
            if challenge is not None and _isChallenge(greeting):
                return self._contextForChallenge(challenge)
        certified = self._source.certificateFor(name)
        if certified is None:
            return None
        context = self._contexts.get(certified)
        if context is None:
            context = self._contexts[certified] = self._contextFor(certified)
        return context

    def _contextForChallenge(self, challenge: CertifiedKey) -> SSL.Context:
        """
        An ACME server asks a few times in all, so that nothing is kept.
        """
        context = self._contextFor(challenge)
        offerProtocols(context, (ACME_PROTOCOL,))
        return context


#: The longest name that DNS has, with its root dot.
_MAX_NAME = 255


def serverName(connection: SSL.Connection) -> str | None:
    """
    The server name that a client asks for, in its one spelling and an IPv6 address without
    brackets; C{None} where it sent none and empty where no host can have that name.
    """
    raw = connection.get_servername()
    if raw is None:
        return None
    try:
        name = raw.decode("ascii")
    except UnicodeDecodeError:
        return ""
    if len(name) > _MAX_NAME:
        return ""
    # No client may send an address (RFC 6066 section 3), and some do.
    host = normalizeHost(f"[{name}]" if ":" in name else name)
    return "" if host is None else host.strip("[]")


def _isChallenge(greeting: Greeting) -> bool:
    return protocolsOffered(bytes(greeting.hello)) == (ACME_PROTOCOL,)
