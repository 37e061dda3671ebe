# -*- test-case-name: aero.tls.acme.test.test_answers -*-
"""
The answers to the challenges that are open now, for the listeners that the authority asks.
"""

from __future__ import annotations

import datetime
import hashlib
from typing import Callable, Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.logger import Logger

from aero.errors import StartError

from ..certificates import CertifiedKey
from .authority import HTTP_01, KINDS, TLS_ALPN_01, Challenge
from .board import MAX_ANSWERS, Answer, Board

#: C{id-pe-acmeIdentifier} (RFC 8737 section 3).
_ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")

#: The DER of an OCTET STRING of 32 bytes begins with these.
_OCTET_STRING_32 = b"\x04\x20"


class Answers:
    """
    What to say to an authority that looks whether a name is ours.

    They are on the board too, where the other processes of the site look; what those put up is
    answered here.
    """

    _log = Logger()

    def __init__(self, now: Callable[[], float], board: Board) -> None:
        """
        @param now: The wall clock, in seconds since 1970.
        """
        self._now = now
        self._board = board
        self._mine: list[Answer] = []
        #: Made when they are asked for, as each costs a signature.
        self._certificates: dict[Answer, CertifiedKey] = {}

    def offer(self, name: str, challenge: Challenge) -> None:
        """
        Answer a challenge from now on.

        @raise ValueError: There is no answer to challenges of this kind.
        """
        if challenge.kind not in KINDS:
            raise ValueError(f"no answer to {challenge.kind}")
        self._mine.append(
            Answer(challenge.kind, name.lower(), challenge.token, challenge.keyAuthorization)
        )
        self._post()

    def clear(self) -> None:
        """
        Answer nothing any more.
        """
        if self._mine:
            self._mine = []
            self._post()

    def tidy(self) -> None:
        """
        Remove what a process left that ended in the middle of an order. It is for the one whose
        turn it is.
        """
        self._mine = []
        self._post()

    def keyAuthorization(self, token: str) -> str | None:
        """
        See L{aero.http.redirect.Challenges}.
        """
        for answer in self._all():
            if answer.kind == HTTP_01 and answer.token == token:
                return answer.keyAuthorization
        return None

    def challengeFor(self, serverName: str) -> CertifiedKey | None:
        """
        See L{aero.tls.certificates.CertificateSource.challengeFor}.
        """
        for answer in self._all():
            if answer.kind == TLS_ALPN_01 and answer.name == serverName:
                return self._certificate(answer)
        return None

    def _all(self) -> Iterable[Answer]:
        """
        Those that are open now. What this process offers counts even where it cannot be written.
        """
        return self._mine or self._board.read()

    def _certificate(self, answer: Answer) -> CertifiedKey:
        found = self._certificates.get(answer)
        if found is None:
            if len(self._certificates) >= MAX_ANSWERS:
                self._certificates.clear()
            found = challengeCertificate(answer.name, answer.keyAuthorization, self._now())
            self._certificates[answer] = found
        return found

    def _post(self) -> None:
        try:
            self._board.post(self._mine)
        except StartError as error:
            self._log.error("Other processes do not know the answers: {error}", error=str(error))


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
