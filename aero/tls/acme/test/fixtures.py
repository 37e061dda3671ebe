"""
An authority that lives in memory, and what the tests of this package share.
"""

from __future__ import annotations

import datetime
from typing import Any, Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.defer import Deferred, execute

from ..authority import KINDS, ACMEError, Authorization, Challenge, Order, Window

#: 2026-01-01T00:00:00Z, when the tests' wall clocks begin.
EPOCH = 1_767_225_600.0

DAY = 86_400.0


class FakeAuthority:
    """
    An authority that does as it is told.

    @ivar life: Seconds that its certificates last.
    @ivar ahead: Seconds that its clock is ahead of ours.
    @ivar obstacle: Raised by the exchange of this name, or C{None}.
    @ivar offered: The kinds of challenges it offers.
    @ivar judge: Decides about a challenge that was answered: C{None} believes it.
    @ivar asked: What was asked, in order: the exchange and its arguments.
    @ivar slow: How often an authorization or order is still undecided when it is looked at.
    @ivar window: What it says about renewal.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.life = 90 * DAY
        self.ahead = 0.0
        self.obstacle: dict[str, ACMEError] = {}
        self.offered: tuple[str, ...] = KINDS
        self.judge: Callable[[Challenge], ACMEError | None] = lambda challenge: None
        self.asked: list[tuple[Any, ...]] = []
        self.slow = 0
        self.retryAfter: float | None = None
        self.window: Window | None = None
        self.issuedFor: tuple[str, ...] | None = None
        self.junk = b""
        self.proven: dict[str, str] = {}
        self._errors: dict[str, ACMEError] = {}
        self._names: tuple[str, ...] = ()
        self._looks = 0
        self._request = b""
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake")])

    def times(self, exchange: str) -> int:
        """
        How often something was asked.
        """
        return sum(each[0] == exchange for each in self.asked)

    def enrol(self) -> str:
        """
        There is an account.
        """
        self._ask("enrol")
        return "https://ca.test/account/1"

    def terms(self) -> str:
        """
        The terms.
        """
        return "https://ca.test/terms"

    def order(self, names: tuple[str, ...], replaces: str) -> Order:
        """
        A new order; nothing is proven yet.
        """
        self._ask("order", names, replaces)
        self._names, self.proven, self._looks, self._request = names, {}, 0, b""
        self._errors = {}
        return self._order("pending")

    def orderAt(self, url: str) -> Order:
        """
        How the order stands.
        """
        self._ask("orderAt", url)
        if self._looks < self.slow:
            self._looks += 1
            return self._order("processing")
        return self._order("valid")

    def authorization(self, url: str) -> Authorization:
        """
        How one name stands.
        """
        self._ask("authorization", url)
        name = url.rpartition("/")[2]
        status = self.proven.get(name, "pending")
        if status == "looking":
            self._looks += 1
            status = "pending" if self._looks <= self.slow else "valid"
            if status == "valid":
                self._looks = 0
                self.proven[name] = status
        return Authorization(
            url,
            name,
            status,
            tuple(
                Challenge(
                    kind,
                    f"{url}/{kind}",
                    tokenFor(name),
                    f"{tokenFor(name)}.thumbprint",
                    self._errors.get(name),
                )
                for kind in self.offered
            ),
            self.retryAfter,
        )

    def answer(self, challenge: Challenge) -> None:
        """
        Look at an answer.
        """
        self._ask("answer", challenge.kind)
        name = next(each for each in self._names if tokenFor(each) == challenge.token)
        error = self.judge(challenge)
        if error is not None:
            self._errors[name] = error
        self.proven[name] = "looking" if error is None else "invalid"

    def finalize(self, order: Order, request: bytes) -> Order:
        """
        Take the request.
        """
        self._ask("finalize")
        self._request = request
        self._looks = 0
        return self._order("processing")

    def certificate(self, url: str) -> bytes:
        """
        The certificate.
        """
        self._ask("certificate")
        return self.junk or self.sign(x509.load_der_x509_csr(self._request).public_key())

    def renewalWindow(self, certificate: str) -> Window | None:
        """
        When to renew.
        """
        self._ask("renewalWindow", certificate)
        return self.window

    def sign(self, key: Any) -> bytes:
        """
        A certificate for a public key, in PEM.
        """
        begin = datetime.datetime.fromtimestamp(self._now() + self.ahead, datetime.UTC)
        names = self._names if self.issuedFor is None else self.issuedFor
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + datetime.timedelta(seconds=self.life))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def _order(self, status: str) -> Order:
        return Order(
            "https://ca.test/order/1",
            status,
            tuple(f"https://ca.test/authorization/{name}" for name in self._names),
            "https://ca.test/finalize/1",
            "https://ca.test/certificate/1" if status == "valid" else "",
            None,
            self.retryAfter,
        )

    def _ask(self, exchange: str, *arguments: Any) -> None:
        self.asked.append((exchange, *arguments))
        if exchange in self.obstacle:
            raise self.obstacle[exchange]


def tokenFor(name: str) -> str:
    """
    The token of the challenges for a name, in the characters of RFC 8555 section 8.1.
    """
    return "token-" + name.replace(".", "_")


def runHere(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """
    Run what would block in a thread.
    """
    return execute(function, *arguments)


def wait(clock: Any, seconds: float, step: float = 1.0) -> None:
    """
    Let time pass in steps, so that what one timer sets going another one finishes.
    """
    for _ in range(int(seconds / step)):
        clock.advance(step)
