# -*- test-case-name: aero.net.acme.test.test_answers -*-
"""
The answers to the challenges that are open now, for the listeners that the authority asks.
"""

from __future__ import annotations

import datetime
import hashlib
from typing import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ..certificates import CertifiedKey
from .authority import HTTP_01, TLS_ALPN_01, Challenge

#: C{id-pe-acmeIdentifier} (RFC 8737 section 3).
_ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")

#: The DER of an OCTET STRING of 32 bytes begins with these.
_OCTET_STRING_32 = b"\x04\x20"


class Answers:
    """
    What to say to an authority that looks whether a name is ours.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """
        @param now: The wall clock, in seconds since 1970.
        """
        self._now = now
        self._byToken: dict[str, str] = {}
        self._byName: dict[str, CertifiedKey] = {}

    def offer(self, name: str, challenge: Challenge) -> None:
        """
        Answer a challenge from now on.

        @raise ValueError: There is no answer to challenges of this kind.
        """
        if challenge.kind == HTTP_01:
            self._byToken[challenge.token] = challenge.keyAuthorization
        elif challenge.kind == TLS_ALPN_01:
            self._byName[name.lower()] = challengeCertificate(
                name, challenge.keyAuthorization, self._now()
            )
        else:
            raise ValueError(f"no answer to {challenge.kind}")

    def clear(self) -> None:
        """
        Answer nothing any more.
        """
        self._byToken.clear()
        self._byName.clear()

    def keyAuthorization(self, token: str) -> str | None:
        """
        See L{aero.web.redirect.Challenges}.
        """
        return self._byToken.get(token)

    def challengeFor(self, serverName: str) -> CertifiedKey | None:
        """
        See L{aero.net.certificates.CertificateSource.challengeFor}.
        """
        return self._byName.get(serverName)


def challengeCertificate(name: str, keyAuthorization: str, now: float) -> CertifiedKey:
    """
    The certificate that proves control over a name to who asks for C{acme-tls/1}
    (RFC 8737 section 3).
    """
    digest = hashlib.sha256(keyAuthorization.encode("ascii")).digest()
    proof = x509.UnrecognizedExtension(_ACME_IDENTIFIER, _OCTET_STRING_32 + digest)
    return selfSigned((name,), now, datetime.timedelta(days=1), proof)


def selfSigned(
    names: tuple[str, ...],
    now: float,
    life: datetime.timedelta,
    extension: x509.ExtensionType | None = None,
) -> CertifiedKey:
    """
    A new key, and a certificate by nobody else than itself.

    @param extension: One more extension, which is critical.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    begin = datetime.datetime.fromtimestamp(now, datetime.UTC) - datetime.timedelta(hours=1)
    nobody = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "aero placeholder")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(nobody)
        .issuer_name(nobody)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + life)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return CertifiedKey(key, (builder.sign(key, hashes.SHA256()),))
