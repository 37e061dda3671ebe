"""
Tests for L{aero.auth.jwt}.
"""

from __future__ import annotations

import hmac
import json
import warnings
from typing import Any

import jwt
from twisted.trial.unittest import SynchronousTestCase

from aero.auth import base64url
from aero.auth.jwt import (
    RelayToken,
    mintRelayToken,
    verifyRelayToken,
)
from aero.testing import vectors
from aero.testing.properties import given, strategies

_SECRET = "test-jwt-secret"
_NOW = 1_700_000_000
_HEADER = b'{"alg":"HS256","typ":"JWT"}'
_CLAIMS = {"iat": _NOW, "exp": _NOW + 60, "sid": "a"}


def signed(header: bytes, payload: bytes, secret: str = _SECRET) -> str:
    """
    Sign any two parts.
    """
    text = f"{base64url.encode(header)}.{base64url.encode(payload)}"
    mac = hmac.digest(secret.encode("utf-8"), text.encode("ascii"), "sha256")
    return f"{text}.{base64url.encode(mac)}"


def claiming(**claims: object) -> str:
    """
    Sign the usual claims, some of them changed; C{None} is JSON's.
    """
    return signed(_HEADER, json.dumps({**_CLAIMS, **claims}).encode("utf-8"))


class VectorTests(SynchronousTestCase):
    """
    The shared vectors (gateway.md section 17.1).
    """

    def load(self) -> list[dict[str, Any]]:
        """
        The vectors of relay tokens.
        """
        listed: list[dict[str, Any]] = vectors.load("auth-tokens.json")["jwtTokens"]["vectors"]
        self.assertEqual(len(listed), 44)
        return listed

    def test_verify(self) -> None:
        """
        Every vector is believed or refused as it should be.
        """
        for vector in self.load():
            token = verifyRelayToken(vector["secret"], vector["token"], vector["nowSec"])
            if vector.get("expectError"):
                self.assertIsNone(token, vector["name"])
            else:
                expected = RelayToken(
                    sid=vector["sid"],
                    issued=vector["iat"],
                    expires=vector["exp"],
                    origin=vector.get("origin"),
                    audience=vector.get("aud"),
                    issuer=vector.get("iss"),
                )
                self.assertEqual(token, expected, vector["name"])

    def test_mint(self) -> None:
        """
        The vectors that a gateway made are made again to the letter.
        """
        accepted = [vector for vector in self.load() if not vector.get("expectError")]
        self.assertEqual(len(accepted), 5)
        for vector in accepted:
            token, said = mintRelayToken(
                vector["secret"],
                vector["sid"],
                now=vector["iat"] + 0.999,
                ttl=vector["exp"] - vector["iat"],
                origin=vector.get("origin"),
                audience=vector.get("aud"),
                issuer=vector.get("iss"),
            )
            self.assertEqual(token, vector["token"], vector["name"])
            self.assertEqual(said, verifyRelayToken(vector["secret"], token, vector["nowSec"]))


class MintRelayTokenTests(SynchronousTestCase):
    """
    L{mintRelayToken}.
    """

    def test_bytes(self) -> None:
        """
        Header and claims are compact, in the order other gateways write them.
        """
        token, _ = mintRelayToken(
            _SECRET, "s\xe4", now=1.5, ttl=2, issuer="i", audience="u", origin="null"
        )
        header, payload, _ = token.split(".")
        self.assertEqual(base64url.decode(header), _HEADER)
        self.assertEqual(
            base64url.decode(payload),
            b'{"iat":1,"exp":3,"sid":"s\xc3\xa4","origin":"null","aud":"u","iss":"i"}',
        )

    def test_empty(self) -> None:
        """
        Empty claims are left out.
        """
        token, said = mintRelayToken(_SECRET, "a", now=1, ttl=2, origin="", audience="", issuer="")
        self.assertEqual(base64url.decode(token.split(".")[1]), b'{"iat":1,"exp":3,"sid":"a"}')
        self.assertEqual(said, RelayToken(sid="a", issued=1, expires=3))

    def test_refused(self) -> None:
        """
        Nothing is signed without a secret or a session, or that no verifier would take.
        """
        self.assertRaises(ValueError, mintRelayToken, "", "a", now=1, ttl=1)
        self.assertRaises(ValueError, mintRelayToken, _SECRET, "", now=1, ttl=1)
        self.assertRaises(ValueError, mintRelayToken, _SECRET, "\ud800", now=1, ttl=1)
        self.assertRaises(ValueError, mintRelayToken, _SECRET, "a" * 50_000, now=1, ttl=1)

    def test_longest(self) -> None:
        """
        The longest token that is made is believed, and one character more is not signed.
        """
        sid = "a" * (16_384 // 4 * 3 - len('{"iat":1,"exp":3,"sid":""}'))
        token, said = mintRelayToken(_SECRET, sid, now=1, ttl=2)
        self.assertEqual(len(token.split(".")[1]), 16_384)
        self.assertEqual(verifyRelayToken(_SECRET, token, 1), said)
        self.assertRaises(ValueError, mintRelayToken, _SECRET, sid + "a", now=1, ttl=2)

    def test_quiet(self) -> None:
        """
        A short secret is taken as it is, with no warning for every token.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            token, said = mintRelayToken("s", "a", now=_NOW, ttl=60)
            self.assertEqual(verifyRelayToken("s", token, _NOW), said)

    def test_certificateAsSecret(self) -> None:
        """
        A secret that looks like a key of another kind is only a secret.
        """
        secret = "-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----"
        token, said = mintRelayToken(secret, "a", now=_NOW, ttl=60)
        self.assertEqual(verifyRelayToken(secret, token, _NOW), said)

    @given(
        strategies.text(min_size=1),
        strategies.text(min_size=1),
        strategies.integers(1, 10**6),
        strategies.text(),
        strategies.text(),
        strategies.text(),
    )
    def test_roundTrip(
        self, secret: str, sid: str, ttl: int, origin: str, audience: str, issuer: str
    ) -> None:
        """
        Every token that is made is believed until it ends, and under its own secret only.
        """
        token, said = mintRelayToken(
            secret, sid, now=_NOW, ttl=ttl, origin=origin, audience=audience, issuer=issuer
        )
        self.assertEqual(verifyRelayToken(secret, token, _NOW + ttl - 1), said)
        self.assertIsNone(verifyRelayToken(secret, token, _NOW + ttl))
        self.assertIsNone(verifyRelayToken(secret + "x", token, _NOW))


class VerifyRelayTokenTests(SynchronousTestCase):
    """
    L{verifyRelayToken}, where the vectors say nothing.
    """

    def test_claims(self) -> None:
        """
        Claims of the wrong kind, or that other languages cannot hold, are not believed.
        """
        self.assertIsNotNone(verifyRelayToken(_SECRET, claiming(), _NOW))
        wrong: dict[str, tuple[object, ...]] = {
            "sid": ("", None, 1, True, ["a"], "\ud800"),
            "iat": (None, True, "1", [1], 2**63, -(2**63) - 1, 10**400, 1e19),
            "exp": (None, True, "1800000000", 2**63, 1e300, _NOW + 60.5, -1.0),
            "nbf": (None, True, "1", _NOW + 1, 1.5, -(2**63) - 1, -1e19),
            "origin": (None, 1, True, [], "\udc00"),
            "aud": (None, 1, {}, ["a", 1], [None], [["a"]], ["\udc00"]),
            "iss": (None, 1, {}),
        }
        for name, values in wrong.items():
            for value in values:
                token = claiming(**{name: value})
                self.assertIsNone(verifyRelayToken(_SECRET, token, _NOW), (name, ascii(value)))

    def test_moreClaims(self) -> None:
        """
        Claims that mean nothing here, and odd but legal ones, are fine.
        """
        odd: tuple[dict[str, object], ...] = (
            {"nbf": _NOW},
            {"nbf": -(2**63)},
            {"exp": 2**63 - 1},
            {"iat": _NOW + 1_000},
            {"iat": -1},
            {"jti": 1, "sub": None, "x": [{}]},
            {"origin": "", "aud": "", "iss": ""},
            {"iat": -1.0, "exp": 1.8e9, "nbf": 1.0},
            {"aud": ["a", "b"]},
            {"aud": []},
        )
        for claims in odd:
            self.assertIsNotNone(verifyRelayToken(_SECRET, claiming(**claims), _NOW), claims)

    def test_numbers(self) -> None:
        """
        A whole number of seconds may have an exponent or a fraction of zero. A part of a second,
        NaN, and what is infinite or too large are refused.
        """
        for text, isValid in (
            ("18e8", True),
            ("1.8E+9", True),
            ("1800000000.000", True),
            ("1800000000.5", False),
            ("1800000000.0001", False),
            ("true", False),
            ("NaN", False),
            ("Infinity", False),
            ("-Infinity", False),
            ("1e400", False),
            ("18e18", False),
        ):
            payload = b'{"iat":1,"sid":"a","exp":%s}' % text.encode()
            found = verifyRelayToken(_SECRET, signed(_HEADER, payload), _NOW)
            self.assertEqual(found is not None, isValid, text)

    def test_audiences(self) -> None:
        """
        A token for several is for each of them; one for nobody is for no one.
        """
        for told, audience, expected in (
            ("a", "a", True),
            ("a", "b", False),
            ("ab", "a", False),
            (["b", "a"], "a", True),
            (["b", "ac"], "a", False),
            ([], "a", False),
        ):
            found = verifyRelayToken(_SECRET, claiming(aud=told), _NOW)
            assert found is not None
            self.assertEqual(found.isFor(audience), expected, (told, audience))

    def test_time(self) -> None:
        """
        Time counts in whole seconds, without leeway.
        """
        token = claiming(exp=_NOW + 1)
        self.assertIsNotNone(verifyRelayToken(_SECRET, token, _NOW + 0.999))
        self.assertIsNone(verifyRelayToken(_SECRET, token, _NOW + 1))
        token = claiming(nbf=_NOW + 1)
        self.assertIsNone(verifyRelayToken(_SECRET, token, _NOW + 0.999))
        self.assertIsNotNone(verifyRelayToken(_SECRET, token, _NOW + 1))

    def test_headers(self) -> None:
        """
        No header but one of HS256 is believed, whatever else it asks for.
        """
        payload = json.dumps(_CLAIMS).encode("ascii")
        for header in (b'{"alg":"HS256"}', b' {"typ":"x","alg":"HS256","x":1}'):
            self.assertIsNotNone(verifyRelayToken(_SECRET, signed(header, payload), _NOW), header)
        for header in (
            b'{"alg":"none"}',
            b'{"alg":"hs256"}',
            b'{"alg":"HS384"}',
            b'{"alg":"RS256"}',
            b'{"alg":["HS256"]}',
            b'{"alg":null}',
            b'{"alg":"HS256","typ":null}',
            b'{"alg":"HS256","b64":false}',
            b'{"alg":"HS256","b64":false,"crit":["b64"]}',
            b'{"alg":"HS256","crit":["x"]}',
            b'{"alg":"HS256","kid":1}',
            b'{"alg":"HS256","x":NaN}',
            b'{"alg":"HS256"}{}',
            b"[" * 3_000,
            b'"HS256"',
        ):
            self.assertIsNone(verifyRelayToken(_SECRET, signed(header, payload), _NOW), header[:50])

    def test_otherAlgorithms(self) -> None:
        """
        Tokens that the library itself makes with another algorithm, or none, are refused.
        """
        secret = "s" * 64
        self.assertIsNotNone(
            verifyRelayToken(secret, jwt.encode(_CLAIMS, secret, algorithm="HS256"), _NOW)
        )
        for algorithm in ("HS384", "HS512"):
            token = jwt.encode(_CLAIMS, secret, algorithm=algorithm)
            self.assertIsNone(verifyRelayToken(secret, token, _NOW))
        unsigned = jwt.encode(_CLAIMS, "", algorithm="none")
        self.assertIsNone(verifyRelayToken(secret, unsigned, _NOW))
        self.assertIsNone(verifyRelayToken(secret, unsigned + "A" * 43, _NOW))

    def test_otherVerifier(self) -> None:
        """
        A plain library reads the tokens made here.
        """
        secret = "s" * 32
        token, _ = mintRelayToken(secret, "a", now=_NOW, ttl=60, audience="u", issuer="i")
        claims = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            audience="u",
            issuer="i",
            options={"verify_exp": False, "verify_iat": False},
        )
        self.assertEqual(claims, {**_CLAIMS, "aud": "u", "iss": "i"})

    def test_everyCharacter(self) -> None:
        """
        A token in which any character is another one is not believed.
        """
        token = claiming()
        for position, char in enumerate(token):
            for other in "AB.=\xe9":
                if other != char:
                    broken = token[:position] + other + token[position + 1 :]
                    self.assertIsNone(verifyRelayToken(_SECRET, broken, _NOW), broken)

    def test_everyLength(self) -> None:
        """
        A token that was cut or continued is not believed.
        """
        token = claiming()
        for length in range(len(token)):
            self.assertIsNone(verifyRelayToken(_SECRET, token[:length], _NOW))
        for tail in ("A", ".", ".A", "=", " ", "\n"):
            self.assertIsNone(verifyRelayToken(_SECRET, token + tail, _NOW))
            self.assertIsNone(verifyRelayToken(_SECRET, tail + token, _NOW))

    def test_longest(self) -> None:
        """
        Header and payload each have their bound, to the character.
        """
        payload = json.dumps(_CLAIMS).encode("ascii")
        widest = payload + b" " * (16_384 // 4 * 3 - len(payload))
        tallest = _HEADER + b" " * (4_096 // 4 * 3 - len(_HEADER))
        self.assertIsNotNone(verifyRelayToken(_SECRET, signed(tallest, widest), _NOW))
        for token in (signed(tallest + b" ", payload), signed(_HEADER, widest + b" ")):
            self.assertIsNone(verifyRelayToken(_SECRET, token, _NOW))
        self.assertIsNone(verifyRelayToken(_SECRET, "." * 1_000_000, _NOW))

    def test_noSecret(self) -> None:
        """
        Without a secret nothing is believed, also what was signed without one.
        """
        token = signed(_HEADER, json.dumps(_CLAIMS).encode("ascii"), "")
        self.assertIsNone(verifyRelayToken("", token, _NOW))

    @given(
        strategies.text(max_size=60),
        strategies.one_of(strategies.just(_HEADER), strategies.binary(max_size=40)),
        strategies.binary(max_size=40),
    )
    def test_anything(self, text: str, header: bytes, payload: bytes) -> None:
        """
        Whatever is sent, and whatever is signed, is a token or not.
        """
        for token in (text, f"{text}.{text}.{'A' * 43}", signed(header, payload)):
            self.assertIsNone(verifyRelayToken(_SECRET, token, _NOW))
