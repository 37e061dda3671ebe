# -*- test-case-name: aero.tls.test.test_certificates -*-
"""
Certificates with their keys, and where they come from.

A L{CertificateSource} answers one question, "which certificate for this server name?",
and tells when its answers change. L{aero.tls.ca.InternalSource} issues certificates itself,
L{aero.tls.files.FileSource} reads them from files. A source that talks to an ACME server
fits the same shape: C{certificateFor} gives C{None} until the first certificate is there, and
C{challengeFor} gives the certificate that proves control over a name while the server asks
for it over C{acme-tls/1} (RFC 8737).
"""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Callable, Iterable, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from aero.settings import isInternalName

from .openssl import PrivateKey, useCertificate

#: Certificates sent in one handshake; a real chain has four at most.
MAX_CHAIN = 10


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CertifiedKey:
    """
    A private key and the certificate chain that vouches for it.

    Two of them are the same only if they are one object, which is what the cache of TLS
    contexts goes by.

    @ivar key: The private key.
    @ivar chain: The certificate of the key first, then those that lead to the root.
    """

    key: PrivateKey = dataclasses.field(repr=False)
    chain: tuple[x509.Certificate, ...]

    @classmethod
    def fromPEM(cls, certificates: bytes, key: bytes) -> CertifiedKey:
        """
        Read both from PEM.

        @raise ValueError: One of them is not PEM, the key is encrypted, too short or of a kind
            TLS has no use for, or the two do not belong together. The text says which, and
            repeats nothing.
        """
        try:
            chain = tuple(x509.load_pem_x509_certificates(certificates))
        except ValueError:
            raise ValueError("there is no PEM certificate in it") from None
        if len(chain) > MAX_CHAIN:
            raise ValueError(f"it holds more than {MAX_CHAIN} certificates")
        try:
            loaded = serialization.load_pem_private_key(key, None)
        except TypeError:
            raise ValueError("the private key is encrypted") from None
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("there is no PEM private key that can be used") from None
        if not isinstance(loaded, PrivateKey):
            raise ValueError("TLS cannot sign with this kind of private key")
        if loaded.public_key() != chain[0].public_key():
            raise ValueError("the private key does not belong to the first certificate")
        useCertificate(SSL.Context(SSL.TLS_SERVER_METHOD), loaded, chain)
        return cls(loaded, chain)

    def certificatesPEM(self) -> bytes:
        """
        The chain in PEM.
        """
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in self.chain)

    def keyPEM(self) -> bytes:
        """
        The private key in PEM, not encrypted.
        """
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def notBefore(self) -> float:
        """
        When it becomes valid, in seconds since 1970.
        """
        return self.chain[0].not_valid_before_utc.timestamp()

    @property
    def notAfter(self) -> float:
        """
        When it expires, in seconds since 1970.
        """
        return self.chain[0].not_valid_after_utc.timestamp()

    @property
    def fingerprint(self) -> str:
        """
        The SHA-256 of the certificate, in hexadecimal.
        """
        return self.chain[0].fingerprint(hashes.SHA256()).hex()

    @property
    def names(self) -> tuple[str, ...]:
        """
        The DNS names and addresses that it is good for, in lower case.

        A certificate without alternative names counts by its common name, which no browser
        does any more (RFC 9525 section 6.3) but machines inside a cluster still may.
        """
        try:
            found = self.chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except (x509.ExtensionNotFound, ValueError):
            common = self.chain[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return tuple(str(each.value).lower() for each in common)
        dnsNames = found.value.get_values_for_type(x509.DNSName)
        addresses = found.value.get_values_for_type(x509.IPAddress)
        return tuple(name.lower() for name in dnsNames) + tuple(str(each) for each in addresses)


class CertificateSource(Protocol):
    """
    Where the TLS listener gets certificates from.
    """

    def start(self) -> None:
        """
        Begin to look after certificates: timers, renewal.

        @raise aero.errors.AeroError: There is no usable certificate, and that is not going to
            change by itself.
        """

    def stop(self) -> None:
        """
        End all timers. Certificates that were given out stay valid.
        """

    def reload(self) -> None:
        """
        Look again now, as an operator asks for with SIGHUP. It never raises.
        """

    def certificateFor(self, serverName: str | None) -> CertifiedKey | None:
        """
        The certificate for a client.

        @param serverName: The name in the client's hello, in lower case; C{None} where it sent
            none.
        @return: The same object each time until it changes; C{None} refuses the client with the
            alert C{unrecognized_name}.
        """

    def challengeFor(self, serverName: str) -> CertifiedKey | None:
        """
        The certificate for a client that offers nothing but C{acme-tls/1} (RFC 8737 section 3).
        """

    def current(self) -> Iterable[CertifiedKey]:
        """
        The certificates in use now, for building contexts ahead and for metrics.
        """

    def onChange(self, changed: Callable[[], None]) -> None:
        """
        Have a function called each time after answers changed.
        """


class ServedNames:
    """
    Which server names a listener answers to.

    A public name is answered to by name only, as a scanner that knows nothing but the address
    has no business here (edge.md section 2.1). Under an internal name, people connect to
    C{localhost} and to addresses too, and a client that connects to an address sends no name
    (RFC 6066 section 3) or, against the rules, that address.
    """

    def __init__(self, domain: str) -> None:
        """
        @param domain: The site name, in lower case.
        """
        self.domain = domain
        self._internal = isInternalName(domain)

    def accepts(self, serverName: str | None, certified: Iterable[str] = ()) -> bool:
        """
        @param serverName: As in L{CertificateSource.certificateFor}.
        @param certified: Further names, those of the certificate at hand; C{*.} stands for one
            label (RFC 9525 section 6.3).
        """
        if serverName is None:
            return self._internal
        if serverName == self.domain:
            return True
        if self._internal and (serverName == "localhost" or _isAddress(serverName)):
            return True
        return covers(certified, serverName)


def covers(certified: Iterable[str], name: str) -> bool:
    """
    Whether one of the names of a certificate stands for this name.
    """
    _, dot, parent = name.partition(".")
    return any(each == name or (bool(dot) and each == f"*.{parent}") for each in certified)


class Changes:
    """
    The functions that want to know of a change.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def onChange(self, changed: Callable[[], None]) -> None:
        """
        Have a function called after each change.
        """
        self._listeners.append(changed)

    def changed(self) -> None:
        """
        Call them all.
        """
        for each in self._listeners:
            each()


def _isAddress(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
