"""
Tests for L{aero.tls.acme.client}.
"""

from __future__ import annotations

import base64
import email.utils
import io
import json
from typing import Any, Mapping

import requests
from cryptography.hazmat.primitives.asymmetric import ec
from requests.adapters import BaseAdapter
from twisted.trial.unittest import SynchronousTestCase

from ..account import Account
from ..authority import ACMEError, Challenge, Order, Window
from ..client import LONGEST_WAIT, NONCE_ATTEMPTS, ACMEClient
from .fixtures import EPOCH

DIRECTORY = {
    "newNonce": "https://ca.test/nonce",
    "newAccount": "https://ca.test/new-account",
    "newOrder": "https://ca.test/new-order",
    "renewalInfo": "https://ca.test/renewal",
    "meta": {"termsOfService": "https://ca.test/terms"},
}

ORDER = {
    "status": "pending",
    "authorizations": ["https://ca.test/authorization/1"],
    "finalize": "https://ca.test/finalize/1",
}

AUTHORIZATION = {
    "identifier": {"type": "dns", "value": "example.com"},
    "status": "invalid",
    "challenges": [
        {
            "type": "http-01",
            "url": "https://ca.test/challenge/1",
            "token": "the-token",
            "error": {"type": "urn:ietf:params:acme:error:connection", "detail": "refused"},
        },
        {"type": "dns-account-01", "url": "https://ca.test/challenge/2"},
    ],
}


class Answer:
    """
    What the authority says to one request.
    """

    def __init__(self, status: int, body: Any, **headers: str) -> None:
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = {"Replay-Nonce": "bm9uY2U", "Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }


class Wire(BaseAdapter):
    """
    The network: answers by URL, the last one of several again and again.
    """

    def __init__(self, answers: dict[str, list[Answer]]) -> None:
        super().__init__()
        self.answers = answers
        self.sent: list[tuple[str, dict[str, Any], Any]] = []

    def send(self, request: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        """
        Answer.
        """
        if request.body:
            signed = json.loads(request.body)
            protected = _decoded(signed["protected"])
            payload = _decoded(signed["payload"]) if signed["payload"] else None
            self.sent.append((request.url, protected, payload))
        answers = self.answers.get(request.url)
        if answers is None:
            raise requests.ConnectionError("nobody is there")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers)
        response.raw = io.BytesIO(answer.body)
        response.url = request.url
        response.request = request
        return response

    def close(self) -> None:
        """
        Nothing to do.
        """


def _decoded(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def problem(kind: str, status: int = 400, **headers: str) -> Answer:
    """
    An error in the authority's words.
    """
    body = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": f"this is {kind}"}
    return Answer(status, body, **headers)


class ACMEClientTests(SynchronousTestCase):
    """
    Tests for L{ACMEClient}.
    """

    key = ec.generate_private_key(ec.SECP256R1())

    def client(self, answers: Mapping[str, Answer | list[Answer]] = {}, **account: Any) -> Any:
        """
        A client, and an authority that answers so.
        """
        usual: dict[str, Answer | list[Answer]] = {
            "https://ca.test/directory": Answer(200, DIRECTORY),
            "https://ca.test/nonce": Answer(200, b""),
            "https://ca.test/new-account": Answer(201, {}, Location="https://ca.test/account/1"),
        }
        self.wire = Wire(
            {
                url: given if isinstance(given, list) else [given]
                for url, given in {**usual, **answers}.items()
            }
        )
        client = ACMEClient(
            "https://ca.test/directory", Account(self.key, **account), now=lambda: EPOCH
        )
        client._network.session.mount("https://", self.wire)
        return client

    def error(self, client: Any, url: str = "https://ca.test/order/1") -> ACMEError:
        """
        What becomes of a look at an order.
        """
        error: ACMEError = self.assertRaises(ACMEError, client.orderAt, url)
        return error

    def test_enrol(self) -> None:
        """
        A new account agrees to the terms, has the mail address, and is used from then on.
        """
        client = self.client(
            {"https://ca.test/order/1": Answer(200, ORDER)}, email="me@example.com"
        )
        self.assertEqual(client.enrol(), "https://ca.test/account/1")
        self.assertEqual(client.terms(), "https://ca.test/terms")
        (_, protected, payload) = self.wire.sent[0]
        self.assertEqual(
            payload, {"termsOfServiceAgreed": True, "contact": ["mailto:me@example.com"]}
        )
        self.assertIn("jwk", protected)
        self.assertEqual(protected["alg"], "ES256")
        client.orderAt("https://ca.test/order/1")
        self.assertEqual(self.wire.sent[1][1]["kid"], "https://ca.test/account/1")
        self.assertIs(self.wire.sent[1][2], None)

    def test_known(self) -> None:
        """
        A known account is not registered again; another mail address is told to the authority.
        """
        url = "https://ca.test/account/7"
        self.assertEqual(self.client(url=url).enrol(), url)
        self.assertEqual(self.wire.sent, [])
        client = self.client({url: Answer(200, {})}, url=url, changed=True, email="me@example.com")
        self.assertEqual(client.enrol(), url)
        self.assertEqual(self.wire.sent[0][2], {"contact": ["mailto:me@example.com"]})

    def test_forgotten(self) -> None:
        """
        An account that the authority does not know any more is made anew.
        """
        url = "https://ca.test/account/7"
        client = self.client({url: problem("accountDoesNotExist")}, url=url, changed=True)
        self.assertEqual(client.enrol(), "https://ca.test/account/1")

    def test_external(self) -> None:
        """
        An account elsewhere is proven with its key.
        """
        client = self.client(externalID="kid-1", externalKey="c2VjcmV0LXNlY3JldC1zZWNyZXQ")
        client.enrol()
        bound = self.wire.sent[0][2]["externalAccountBinding"]
        self.assertEqual(_decoded(bound["protected"])["kid"], "kid-1")

    def test_order(self) -> None:
        """
        An order names the names, the profile and what it replaces, the latter only where the
        authority knows what that means.
        """
        answers = {"https://ca.test/new-order": Answer(201, ORDER, Location="https://ca.test/o/1")}
        client = self.client(answers)
        order = client.order(("a.example", "b.example"), "aki.serial")
        self.assertEqual(order.url, "https://ca.test/o/1")
        self.assertEqual(order.authorizations, ("https://ca.test/authorization/1",))
        self.assertEqual(
            self.wire.sent[0][2],
            {
                "identifiers": [
                    {"type": "dns", "value": "a.example"},
                    {"type": "dns", "value": "b.example"},
                ],
                "replaces": "aki.serial",
            },
        )
        plain = {name: url for name, url in DIRECTORY.items() if name != "renewalInfo"}
        client = self.client({**answers, "https://ca.test/directory": Answer(200, plain)})
        client.order(("a.example",), "aki.serial")
        self.assertNotIn("replaces", self.wire.sent[0][2])
        self.assertIs(client.renewalWindow("aki.serial"), None)

    def test_authorization(self) -> None:
        """
        Challenges are read with what they are proven by and why they failed; those of unknown kinds
        do no harm.
        """
        url = "https://ca.test/authorization/1"
        client = self.client({url: Answer(200, AUTHORIZATION, Retry_After="7")})
        found = client.authorization(url)
        self.assertEqual(
            (found.name, found.status, found.retryAfter), ("example.com", "invalid", 7)
        )
        first = found.challenges[0]
        token, _, thumbprint = first.keyAuthorization.partition(".")
        self.assertEqual((token, len(thumbprint)), ("the-token", 43))
        assert first.error is not None
        self.assertEqual(str(first.error), "refused (connection)")

    def test_rest(self) -> None:
        """
        Answering, finalizing and fetching say what RFC 8555 section 7.4 and 7.5.1 want.
        """
        client = self.client(
            {
                "https://ca.test/challenge/1": Answer(200, {}),
                "https://ca.test/finalize/1": Answer(200, {**ORDER, "status": "processing"}),
                "https://ca.test/certificate/1": Answer(
                    200, b"-----PEM-----", Content_Type="application/pem-certificate-chain"
                ),
            }
        )
        client.answer(Challenge("http-01", "https://ca.test/challenge/1", "t", "t.k"))
        self.assertEqual(self.wire.sent[0][2], {})
        order = Order("https://ca.test/order/1", "ready", (), "https://ca.test/finalize/1")
        self.assertEqual(client.finalize(order, b"\xfb\xff").status, "processing")
        self.assertEqual(self.wire.sent[1][2], {"csr": "-_8"})
        self.assertEqual(client.certificate("https://ca.test/certificate/1"), b"-----PEM-----")

    def test_window(self) -> None:
        """
        The renewal window is read with its zones; one that makes no sense is an error.
        """
        window = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T02:00:00+01:00"}
        url = "https://ca.test/renewal/aki.serial"
        client = self.client({url: Answer(200, {"suggestedWindow": window}, Retry_After="60")})
        self.assertEqual(client.renewalWindow("aki.serial"), Window(EPOCH, EPOCH + 3_600, 60))
        for start, end in (("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), ("x", "y"), ("", "")):
            said = {"suggestedWindow": {"start": start, "end": end}}
            client = self.client({url: Answer(200, said)})
            error = self.assertRaises(ACMEError, client.renewalWindow, "aki.serial")
            self.assertEqual(error.kind, "malfunction")

    def test_retryAfter(self) -> None:
        """
        C{Retry-After} is kept, as seconds or as a date, in bounds; nonsense counts as nothing.
        """
        date = email.utils.formatdate(EPOCH + 90, usegmt=True)
        past = email.utils.formatdate(EPOCH - 90, usegmt=True)
        for said, expected in (
            ("120", 120),
            ("9" * 400, LONGEST_WAIT),
            (date, 90),
            (past, 0),
            ("-5", None),
            ("soon", None),
            ("", None),
        ):
            limited = problem("rateLimited", 429, Retry_After=said)
            error = self.error(self.client({"https://ca.test/order/1": limited}))
            self.assertEqual((error.kind, error.retryAfter), ("rateLimited", expected), said)

    def test_badNonce(self) -> None:
        """
        A request whose nonce is refused is made again with another one, but not for ever.
        """
        bad = problem("badNonce")
        answers = [bad] * (2 * NONCE_ATTEMPTS - 1) + [Answer(200, ORDER)]
        client = self.client({"https://ca.test/order/1": answers})
        self.assertEqual(client.orderAt("https://ca.test/order/1").status, "pending")
        client = self.client({"https://ca.test/order/1": bad})
        self.assertEqual(self.error(client).kind, "badNonce")
        self.assertEqual(len(self.wire.sent), 2 * NONCE_ATTEMPTS)

    def test_unreachable(self) -> None:
        """
        An authority that is away is an error in a sentence, and the directory is read once it is
        back.
        """
        client = self.client()
        del self.wire.answers["https://ca.test/directory"]
        error = self.assertRaises(ACMEError, client.enrol)
        self.assertEqual((error.kind, error.detail), ("unreachable", "nobody is there"))
        self.wire.answers["https://ca.test/directory"] = [Answer(200, DIRECTORY)]
        client.enrol()

    def test_malfunction(self) -> None:
        """
        Whatever an authority or something before it says, there is one kind of error.
        """
        for answer in (
            Answer(502, b"<html>Bad Gateway</html>", Content_Type="text/html"),
            Answer(503, b"", Retry_After="30"),
            Answer(200, b"nonsense"),
            Answer(200, []),
            Answer(200, {"status": "valid"}),
            Answer(200, {**ORDER, "authorizations": 7}),
        ):
            error = self.error(self.client({"https://ca.test/order/1": answer}))
            self.assertEqual(error.kind, "malfunction", answer.body)
        directories: list[Any] = [[], {}, {"newNonce": 7}]
        for directory in directories:
            client = self.client({"https://ca.test/directory": Answer(200, directory)})
            self.assertEqual(self.error(client).kind, "malfunction")

    def test_unknownProblem(self) -> None:
        """
        An error without a type, or of a type of its own, is kept as far as it goes.
        """
        for body, kind in (({}, "about:blank"), ({"type": "urn:x:y:strange"}, "strange")):
            error = self.error(self.client({"https://ca.test/order/1": Answer(400, body)}))
            self.assertEqual(error.kind, kind.rpartition(":")[2])
