# -*- test-case-name: aero.tls.acme.test.test_order -*-
"""
What is asked of a certificate authority, and what it answers.

Everything in L{CertificateAuthority} is one exchange and may block, so it runs in a thread; the
waiting in between belongs to the reactor's clock. L{aero.tls.acme.client} speaks to a real one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

#: The two ways of proving control over a name that a server by itself has
#: (RFC 8555 section 8.3, RFC 8737).
HTTP_01 = "http-01"
TLS_ALPN_01 = "tls-alpn-01"
KINDS = (HTTP_01, TLS_ALPN_01)


class ACMEError(Exception):
    """
    A certificate authority could not be reached, or refused.

    @ivar kind: What is wrong: an error type of RFC 8555 section 6.7 without its prefix, such as
        C{rateLimited}; or C{unreachable} and C{malfunction} for what the authority has no words
        for itself, C{timeout} where it never came to a decision.
    @ivar detail: A sentence about it.
    @ivar retryAfter: The seconds to wait that the authority asked for, or C{None}.
    """

    def __init__(self, kind: str, detail: str, retryAfter: float | None = None) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail
        self.retryAfter = retryAfter

    def __str__(self) -> str:
        return f"{self.detail} ({self.kind})"


@dataclass(frozen=True, slots=True)
class Challenge:
    """
    One way to prove control over a name.

    @ivar kind: C{http-01}, C{tls-alpn-01} or another.
    @ivar keyAuthorization: What the proof consists of (RFC 8555 section 8.1).
    @ivar error: Why it failed, or C{None}.
    """

    kind: str
    url: str
    token: str
    keyAuthorization: str
    error: ACMEError | None = None


@dataclass(frozen=True, slots=True)
class Authorization:
    """
    Whether the authority believes that a name is ours (RFC 8555 section 7.1.4).

    @ivar status: C{pending}, C{valid}, C{invalid} or another.
    @ivar retryAfter: Seconds until it makes sense to look again, or C{None}.
    """

    url: str
    name: str
    status: str
    challenges: tuple[Challenge, ...]
    retryAfter: float | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """
    A certificate on its way (RFC 8555 section 7.1.3).

    @ivar status: C{pending}, C{ready}, C{processing}, C{valid} or C{invalid}.
    @ivar certificate: Where the certificate is; empty until the order is valid.
    @ivar error: Why it failed, or C{None}.
    """

    url: str
    status: str
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str = ""
    error: ACMEError | None = None
    retryAfter: float | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """
    When the authority wants a certificate to be renewed (RFC 9773 section 4.2).

    @ivar begin: Seconds since 1970.
    @ivar end: Seconds since 1970.
    @ivar retryAfter: Seconds until it should be asked again, or C{None}.
    """

    begin: float
    end: float
    retryAfter: float | None = None


class CertificateAuthority(Protocol):
    """
    The exchanges with one authority, for one account. All of them may block and raise
    L{ACMEError}; never two at once.
    """

    def enrol(self) -> str:
        """
        Find the authority's resources, and have an account there.

        @return: The URL of the account, to be remembered.
        """

    def terms(self) -> str:
        """
        The URL of the terms that having an account means to agree to, or nothing.
        """

    def order(self, names: tuple[str, ...], replaces: str) -> Order:
        """
        Ask for a certificate.

        @param replaces: The L{renewalID} of the certificate that this one is going to replace,
            or nothing.
        """

    def orderAt(self, url: str) -> Order:
        """
        How an order stands.
        """

    def authorization(self, url: str) -> Authorization:
        """
        How an authorization stands.
        """

    def answer(self, challenge: Challenge) -> None:
        """
        Say that a challenge is ready to be looked at.
        """

    def finalize(self, order: Order, request: bytes) -> Order:
        """
        Hand in the signing request, in DER, once all names are proven.
        """

    def certificate(self, url: str) -> bytes:
        """
        The chain in PEM.
        """

    def renewalWindow(self, certificate: str) -> Window | None:
        """
        When the authority wants a certificate renewed; C{None} if it never says.

        @param certificate: Its L{renewalID}.
        """
