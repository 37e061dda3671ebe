"""
Certificates, clients and in-memory connections for the TLS tests.
"""

from __future__ import annotations

import datetime
import ipaddress
from functools import cache
from typing import Any, Callable, Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol

from aero.metrics import Metrics
from aero.metrics import tls as rows
from aero.settings.tls import TLSSettings
from aero.tls.certificates import CertifiedKey, Changes, ServedNames
from aero.tls.contexts import HTTP_PROTOCOLS, ServerTLS
from aero.tls.openssl import PrivateKey
from aero.tls.protocol import TLSServerFactory, TLSServerProtocol

#: 2026-01-01T00:00:00Z, when the tests' wall clocks begin.
EPOCH = 1_767_225_600.0

DAY = 86_400.0


@cache
def certified(*names: str, serial: int = 1, bits: int = 0) -> CertifiedKey:
    """
    A self-signed certificate for these names, valid for a hundred years.

    @param bits: The length of an RSA key; 0 takes P-256.
    """
    key: PrivateKey = (
        rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
    )
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    begin = datetime.datetime(2020, 1, 1)
    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    return CertifiedKey(key, (certificate,))


def metricsForTLS() -> Metrics:
    """
    The metrics of TLS.
    """
    return Metrics(
        (
            rows.HANDSHAKES,
            rows.CERTIFICATE_NOT_AFTER,
            rows.CERTIFICATE_NOT_BEFORE,
            rows.RELOADS,
        )
    )


class FakeSource:
    """
    A source whose one certificate a test exchanges.
    """

    def __init__(self, domain: str = "example.com") -> None:
        self.names = ServedNames(domain)
        self.certified = certified(domain)
        self.challenges: dict[str, CertifiedKey] = {}
        self.changes = Changes()

    def start(self) -> None:
        """
        Nothing to do.
        """

    def stop(self) -> None:
        """
        Nothing to do.
        """

    def reload(self) -> None:
        """
        Nothing to do.
        """

    def replace(self, fresh: CertifiedKey) -> None:
        """
        Exchange the certificate.
        """
        self.certified = fresh
        self.changes.changed()

    def certificateFor(self, serverName: str | None) -> CertifiedKey | None:
        """
        The certificate, if the name is served.
        """
        return self.certified if self.names.accepts(serverName) else None

    def challengeFor(self, serverName: str) -> CertifiedKey | None:
        """
        The certificate for C{acme-tls/1}.
        """
        return self.challenges.get(serverName)

    def current(self) -> Iterable[CertifiedKey]:
        """
        The certificate.
        """
        return (self.certified,)

    def onChange(self, changed: Callable[[], None]) -> None:
        """
        Remember who wants to know.
        """
        self.changes.onChange(changed)


class Application(Protocol):
    """
    Remembers what it hears.
    """

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.lost: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        """
        Remember it.
        """
        self.received.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        """
        Remember it.
        """
        self.lost.append(reason)


class TCP(StringTransport):
    """
    A transport that remembers how it was ended.
    """

    aborted = False

    def abortConnection(self) -> None:
        """
        Remember it.
        """
        self.aborted = True
        super().abortConnection()


def clientContext(*, version: int | None = None, ciphers: bytes | None = None) -> SSL.Context:
    """
    A client that trusts everybody.

    @param version: The only protocol version it speaks.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    # As old and weak as this OpenSSL lets it be.
    context.set_cipher_list(ciphers or b"ALL:@SECLEVEL=0")
    if version is not None:
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    return context


class Client:
    """
    A TLS client of one server protocol, both in memory.

    @ivar tls: The client's OpenSSL connection.
    @ivar alert: The text of the error that ended it, empty if none did.
    @ivar wire: What the server wrote to the network since the beginning.
    """

    def __init__(
        self,
        server: TLSMemoryBIOProtocol,
        name: bytes | None = b"example.com",
        *,
        context: SSL.Context | None = None,
        protocols: list[bytes] | None = None,
        session: Any = None,
    ) -> None:
        self.server = server
        self.tls = SSL.Connection(context or clientContext())
        self.tls.set_connect_state()
        if name is not None:
            self.tls.set_tlsext_host_name(name)
        if protocols:
            self.tls.set_alpn_protos(protocols)
        if session is not None:
            self.tls.set_session(session)
        self.received = b""
        self.alert = ""
        self.ended = False
        self.wire = b""
        self.finished = False

    def exchange(self, step: int = 1 << 20) -> Client:
        """
        Carry bytes in both directions until nobody has any.

        @param step: The bytes that the server is given at once.
        """
        while True:
            self._advance()
            moved = self._fromServer()
            try:
                data = self.tls.bio_read(1 << 20)
            except SSL.WantReadError:
                if not moved:
                    return self
                continue
            for at in range(0, len(data), step):
                self.server.dataReceived(data[at : at + step])

    def send(self, data: bytes) -> None:
        """
        Send application data.
        """
        self.tls.sendall(data)
        self.exchange()

    def _advance(self) -> None:
        try:
            if not self.finished:
                self.tls.do_handshake()
                self.finished = True
            while True:
                self.received += self.tls.recv(1 << 16)
        except SSL.WantReadError:
            return
        except SSL.ZeroReturnError:
            self.ended = True
        except SSL.Error as error:
            self.alert = self.alert or str(error)

    def _fromServer(self) -> bool:
        tcp: Any = self.server.transport
        data = tcp.value()
        tcp.clear()
        self.wire += data
        if data:
            self.tls.bio_write(data)
        return bool(data)


class Listener:
    """
    A TLS listener in memory.
    """

    def __init__(
        self,
        source: FakeSource | None = None,
        *,
        clock: Clock | None = None,
        protocols: tuple[bytes, ...] = HTTP_PROTOCOLS,
    ) -> None:
        self.source = source or FakeSource()
        self.clock = clock or Clock()
        self.metrics = metricsForTLS()
        self.tls = ServerTLS(
            self.source, seconds=self.clock.seconds, metrics=self.metrics, protocols=protocols
        )
        self.factory = TLSServerFactory(
            self.tls,
            Factory.forProtocol(Application),
            settings=TLSSettings(handshakeTimeout=10),
            metrics=self.metrics,
            clock=self.clock,
        )

    def accept(self) -> TLSServerProtocol:
        """
        A new connection.
        """
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, TLSServerProtocol)
        protocol.makeConnection(TCP())
        return protocol

    def connect(self, name: bytes | None = b"example.com", **options: Any) -> Client:
        """
        A client that has done what it can of its handshake.
        """
        return Client(self.accept(), name, **options).exchange()

    def handshakes(self, version: str, outcome: str) -> float:
        """
        How many handshakes ended so.
        """
        return self.metrics.value(rows.HANDSHAKES, version, outcome)
