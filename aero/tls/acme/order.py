# -*- test-case-name: aero.tls.acme.test.test_order -*-
"""
From names to a certificate: one order, from its beginning to its end (RFC 8555 section 7.1).
"""

from __future__ import annotations

from typing import Any, Callable, Generator, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ..certificates import CertifiedKey, covers
from .answers import Answers
from .authority import ACMEError, Authorization, CertificateAuthority, Order

_T = TypeVar("_T")

#: Runs a function that blocks, somewhere else.
Runner = Callable[..., Deferred[Any]]

#: Seconds that an authority has to look at one challenge, and to issue.
PATIENCE = 180.0

#: Seconds between two looks where the authority does not say.
LOOKS = (1.0, 1.0, 2.0, 3.0, 5.0)

#: The longest that is waited for one look, whatever the authority says.
LONGEST_LOOK = 30.0


class OrderProcess:
    """
    One attempt to get a certificate.
    """

    def __init__(
        self,
        authority: CertificateAuthority,
        answers: Answers,
        *,
        run: Runner,
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        """
        @param answers: Where the listeners look for what to say to the authority.
        @param run: Calls a function of the authority, with arguments, in a thread.
        @param now: The wall clock, in seconds since 1970.
        """
        self._authority = authority
        self._answers = answers
        self._run = run
        self._clock = clock
        self._now = now

    @inlineCallbacks
    def issue(
        self, names: tuple[str, ...], kind: str, replaces: str = ""
    ) -> Generator[Deferred[Any], Any, CertifiedKey]:
        """
        Order, prove, and fetch.

        @param kind: How to prove control over the names.
        @param replaces: See L{CertificateAuthority.order}.
        @return: A L{Deferred} that fires with a certificate that is good for all names now, or
            fails with L{ACMEError}.
        """
        order: Order = yield self._run(self._authority.order, names, replaces)
        try:
            for url in order.authorizations:
                yield self._prove(url, kind)
        finally:
            self._answers.clear()
        key = ec.generate_private_key(ec.SECP256R1())
        order = yield self._run(self._authority.finalize, order, signingRequest(names, key))
        order = yield self._settled(
            order, lambda: self._run(self._authority.orderAt, order.url), ("valid", "invalid")
        )
        if order.status != "valid" or not order.certificate:
            raise order.error or ACMEError("malfunction", f"the order is {order.status}")
        chain: bytes = yield self._run(self._authority.certificate, order.certificate)
        return self._checked(chain, key, names)

    @inlineCallbacks
    def _prove(self, url: str, kind: str) -> Generator[Deferred[Any], Any, None]:
        """
        Show that one name is ours.
        """
        found: Authorization = yield self._run(self._authority.authorization, url)
        if found.status == "valid":
            return
        challenge = next((each for each in found.challenges if each.kind == kind), None)
        if challenge is None:
            raise ACMEError("unsupported", f"no {kind} challenge was offered for {found.name}")
        self._answers.offer(found.name, challenge)
        yield self._run(self._authority.answer, challenge)
        found = yield self._settled(
            found,
            lambda: self._run(self._authority.authorization, url),
            ("valid", "invalid", "deactivated", "expired", "revoked"),
        )
        if found.status != "valid":
            reasons = [each.error for each in found.challenges if each.error is not None]
            error = reasons[0] if reasons else ACMEError("unauthorized", found.status)
            raise ACMEError(error.kind, f"{found.name} by {kind}: {error.detail}")

    @inlineCallbacks
    def _settled(
        self, found: Any, look: Callable[[], Deferred[Any]], ends: tuple[str, ...]
    ) -> Generator[Deferred[Any], Any, Any]:
        """
        Look until an order or an authorization is decided.
        """
        deadline = self._clock.seconds() + PATIENCE
        looks = 0
        while found.status not in ends:
            wait = found.retryAfter
            if wait is None:
                wait = LOOKS[min(looks, len(LOOKS) - 1)]
            wait = min(max(wait, LOOKS[0]), LONGEST_LOOK)
            if self._clock.seconds() + wait > deadline:
                raise ACMEError("timeout", f"still {found.status} after {PATIENCE:g} s")
            yield deferLater(self._clock, wait)
            looks += 1
            found = yield look()
        return found

    def _checked(
        self, chain: bytes, key: ec.EllipticCurvePrivateKey, names: tuple[str, ...]
    ) -> CertifiedKey:
        """
        Only what a browser would accept today may take the place of what there is.
        """
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        try:
            certified = CertifiedKey.fromPEM(chain, pem)
        except ValueError as error:
            raise ACMEError("malfunction", f"the certificate cannot be used: {error}") from None
        missing = [name for name in names if not covers(certified.names, name)]
        if missing:
            raise ACMEError("malfunction", f"the certificate is not good for {missing[0]}")
        if self._now() >= certified.notAfter:
            raise ACMEError("malfunction", "the certificate has expired already")
        return certified


def signingRequest(names: tuple[str, ...], key: ec.EllipticCurvePrivateKey) -> bytes:
    """
    A request for a certificate, in DER, without a subject: that is for the authority to choose.
    """
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
