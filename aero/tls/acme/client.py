# -*- test-case-name: aero.tls.acme.test.test_client -*-
"""
The exchanges with a real certificate authority, over certbot's C{acme} library.

The library does the signing, the nonces and HTTPS; what is asked in which order, how long to wait
and what to make of an error is decided elsewhere, because the library's own way blocks a thread
for minutes, forgets C{Retry-After} and repeats a request that met a bad nonce only once.
"""

from __future__ import annotations

import datetime
import email.utils
import json
import time
from typing import Any, Callable, Mapping

import requests
from acme import errors, messages
from acme.client import ClientNetwork
from josepy.b64 import b64encode
from josepy.errors import DeserializationError
from josepy.jwa import ES256
from josepy.jwk import JWKEC

import aero

from .account import Account
from .authority import ACMEError, Authorization, Challenge, Order, Window

#: Seconds for one exchange.
TIMEOUT = 30

#: How often a request is made in all while the authority rejects its nonces (RFC 8555 section
#: 6.5); each counts for the two that the library makes.
NONCE_ATTEMPTS = 5

#: The longest wait that an authority is believed, in seconds.
LONGEST_WAIT = 7 * 86_400.0


class _Payload:
    """
    What the library signs: JSON, by the one method that it calls.
    """

    def __init__(self, value: Mapping[str, Any]) -> None:
        self._value = value

    def json_dumps(self, **options: Any) -> str:
        """
        The text.
        """
        return json.dumps(self._value)


class ACMEClient:
    """
    One authority and one account.

    @see: L{aero.tls.acme.authority.CertificateAuthority}
    """

    def __init__(
        self,
        directory: str,
        account: Account,
        *,
        roots: str = "",
        profile: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param directory: The URL of the authority's directory.
        @param roots: A PEM file of the roots that sign the authority's own HTTPS; empty for the
            usual ones.
        @param profile: The kind of certificate to ask for, by the authority's name for it.
        """
        self._directoryURL = directory
        self._account = account
        self._profile = profile
        self._now = now
        self._key = JWKEC(key=account.key)
        self._network = ClientNetwork(
            self._key, alg=ES256, user_agent=f"aero/{aero.__version__}", timeout=TIMEOUT
        )
        if roots:
            trusting: Any = self._network
            trusting.verify_ssl = roots
        self._network.session.hooks["response"].append(self._responded)
        self._last: requests.Response | None = None
        self._directory: dict[str, Any] = {}
        if account.url:
            self._useAccount(account.url)

    # -- the account

    def enrol(self) -> str:
        """
        See L{CertificateAuthority.enrol<aero.tls.acme.authority.CertificateAuthority.enrol>}.
        """
        self._open()
        if self._account.url and not self._account.changed:
            return self._account.url
        account: dict[str, Any] = {"termsOfServiceAgreed": True}
        if self._account.email:
            account["contact"] = [f"mailto:{self._account.email}"]
        if self._account.url:
            try:
                self._post(self._account.url, {"contact": account.get("contact", [])})
            except ACMEError as error:
                if error.kind != "accountDoesNotExist":
                    raise
            else:
                return self._account.url
        if self._account.externalKey:
            account["externalAccountBinding"] = messages.ExternalAccountBinding.from_data(
                self._key.public_key(),
                self._account.externalID,
                self._account.externalKey,
                messages.Directory.from_json(self._directory),
            )
        self._network.account = None
        response = self._post(self._resource("newAccount"), account)
        return self._useAccount(_location(response))

    def terms(self) -> str:
        """
        See L{CertificateAuthority.terms<aero.tls.acme.authority.CertificateAuthority.terms>}.
        """
        self._open()
        return str(self._meta().get("termsOfService", ""))

    # -- orders

    def order(self, names: tuple[str, ...], replaces: str) -> Order:
        """
        See L{CertificateAuthority.order<aero.tls.acme.authority.CertificateAuthority.order>}.
        """
        target = self._resource("newOrder")
        asked: dict[str, Any] = {"identifiers": [{"type": "dns", "value": name} for name in names]}
        if self._profile:
            asked["profile"] = self._profile
        if replaces and "renewalInfo" in self._directory:
            asked["replaces"] = replaces
        response = self._post(target, asked)
        return self._readOrder(response, _location(response))

    def orderAt(self, url: str) -> Order:
        """
        See L{CertificateAuthority.orderAt<aero.tls.acme.authority.CertificateAuthority.orderAt>}.
        """
        return self._readOrder(self._post(url, None), url)

    def authorization(self, url: str) -> Authorization:
        """
        See L{aero.tls.acme.authority.CertificateAuthority.authorization}.
        """
        response = self._post(url, None)
        with _Understood():
            found = response.json()
            return Authorization(
                url,
                str(found["identifier"]["value"]),
                str(found["status"]),
                tuple(self._readChallenge(each) for each in found["challenges"]),
                self._retryAfter(response),
            )

    def answer(self, challenge: Challenge) -> None:
        """
        See L{CertificateAuthority.answer<aero.tls.acme.authority.CertificateAuthority.answer>}.
        """
        self._post(challenge.url, {})

    def finalize(self, order: Order, request: bytes) -> Order:
        """
        See L{CertificateAuthority.finalize<aero.tls.acme.authority.CertificateAuthority.finalize>}.
        """
        response = self._post(order.finalize, {"csr": _base64(request)})
        return self._readOrder(response, order.url)

    def certificate(self, url: str) -> bytes:
        """
        See L{aero.tls.acme.authority.CertificateAuthority.certificate}.
        """
        return self._post(url, None).content

    def renewalWindow(self, certificate: str) -> Window | None:
        """
        See L{aero.tls.acme.authority.CertificateAuthority.renewalWindow}.
        """
        self._open()
        if "renewalInfo" not in self._directory:
            return None
        response = self._exchange(
            lambda: self._network.get(f"{self._directory['renewalInfo']}/{certificate}")
        )
        with _Understood():
            window = response.json()["suggestedWindow"]
            begin, end = _timestamp(window["start"]), _timestamp(window["end"])
            if end < begin:
                raise ValueError("the window ends before it begins")
            return Window(begin, end, self._retryAfter(response))

    # -- exchanges

    def _open(self) -> None:
        if self._directory:
            return
        response = self._exchange(lambda: self._network.get(self._directoryURL))
        with _Understood():
            found = response.json()
            if not isinstance(found, dict):
                raise TypeError("no object")
            self._directory = found

    def _meta(self) -> dict[str, Any]:
        meta = self._directory.get("meta")
        return meta if isinstance(meta, dict) else {}

    def _resource(self, name: str) -> str:
        self._open()
        found = self._directory.get(name)
        if not isinstance(found, str):
            raise ACMEError("malfunction", f"the directory has no {name}")
        return found

    def _post(self, url: str, payload: Mapping[str, Any] | None) -> requests.Response:
        """
        Send a signed request; C{None} as the payload is POST-as-GET (RFC 8555 section 6.3).
        """
        nonces = self._resource("newNonce")
        signed: Any = None if payload is None else _Payload(payload)
        for _ in range(NONCE_ATTEMPTS - 1):
            try:
                return self._exchange(lambda: self._network.post(url, signed, new_nonce_url=nonces))
            except ACMEError as error:
                if error.kind != "badNonce":
                    raise
        return self._exchange(lambda: self._network.post(url, signed, new_nonce_url=nonces))

    def _exchange(self, exchange: Callable[[], requests.Response]) -> requests.Response:
        """
        Do one exchange, and put what goes wrong in our terms.
        """
        self._last = None
        try:
            return exchange()
        except messages.Error as error:
            kind = str(error.typ).rpartition(":")[2] or "malfunction"
            raise ACMEError(kind, str(error.detail or error.title), self._wait()) from None
        except requests.RequestException as error:
            raise ACMEError("unreachable", _reason(error)) from None
        except (errors.Error, DeserializationError, ValueError) as error:
            said = self._last
            status = "" if said is None else f"status {said.status_code}, "
            raise ACMEError(
                "malfunction", f"{status}{type(error).__name__}", self._wait()
            ) from None

    def _responded(self, response: requests.Response, **options: Any) -> None:
        self._last = response

    def _wait(self) -> float | None:
        return None if self._last is None else self._retryAfter(self._last)

    def _useAccount(self, url: str) -> str:
        self._network.account = messages.RegistrationResource(uri=url, body=messages.Registration())
        return url

    # -- answers

    def _readOrder(self, response: requests.Response, url: str) -> Order:
        with _Understood():
            found = response.json()
            return Order(
                url,
                str(found["status"]),
                tuple(str(each) for each in found["authorizations"]),
                str(found["finalize"]),
                str(found.get("certificate", "")),
                _problem(found.get("error")),
                self._retryAfter(response),
            )

    def _readChallenge(self, found: Mapping[str, Any]) -> Challenge:
        token = str(found.get("token", ""))
        thumbprint = _base64(self._key.thumbprint())
        return Challenge(
            str(found["type"]),
            str(found["url"]),
            token,
            f"{token}.{thumbprint}",
            _problem(found.get("error")),
        )

    def _retryAfter(self, response: requests.Response) -> float | None:
        """
        The seconds of C{Retry-After} (RFC 9110 section 10.2.3).
        """
        said = response.headers.get("Retry-After", "").strip()
        if said.isascii() and said.isdigit():
            return min(float(said[:12]), LONGEST_WAIT)
        try:
            when = email.utils.parsedate_to_datetime(said).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None
        return min(max(when - self._now(), 0.0), LONGEST_WAIT)


class _Understood:
    """
    Turns what goes wrong while an answer is read into one error.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, (KeyError, TypeError, ValueError, AttributeError)):
            raise ACMEError("malfunction", f"an answer makes no sense: {error!r}") from None


def _problem(found: Any) -> ACMEError | None:
    if not isinstance(found, dict):
        return None
    kind = str(found.get("type", "")).rpartition(":")[2] or "malfunction"
    return ACMEError(kind, str(found.get("detail", "no reason given")))


def _location(response: requests.Response) -> str:
    found: str = response.headers.get("Location", "")
    if not found:
        raise ACMEError("malfunction", "an answer lacks its Location")
    return found


def _timestamp(text: object) -> float:
    """
    Seconds since 1970 from RFC 3339.
    """
    when = datetime.datetime.fromisoformat(str(text))
    if when.tzinfo is None:
        raise ValueError("a time without its zone")
    return when.timestamp()


def _base64(data: bytes) -> str:
    found: bytes = b64encode(data)
    return found.decode("ascii")


def _reason(error: BaseException) -> str:
    """
    The innermost sentence, without the library's wrappings.
    """
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__
