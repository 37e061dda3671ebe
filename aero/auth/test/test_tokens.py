"""
Tests for L{aero.auth.tokens}.
"""

from __future__ import annotations

import hmac

from twisted.trial.unittest import SynchronousTestCase

from aero.auth import base64url
from aero.auth.tokens import SessionToken, mintToken, verifyToken
from aero.testing import vectors
from aero.testing.properties import given, strategies

_SECRET = "test-session-secret"
_NOW = 1_700_000_000.0

#: The known answer of gateway.md section 4.1.
_KNOWN = (
    "eyJ2IjoxLCJzaWQiOiJzaWQtMTIzNDU2Nzg5MCIsImV4cCI6MTcwMDAwMDA2MH0"
    ".zcesNltUxXmW1SpDGWoATMZj1GLX1LMz0TIdVRzO8l8"
)


def signed(payload: str | bytes, secret: str = _SECRET) -> str:
    """
    Sign text as a token, or bytes after encoding them, whatever they say.
    """
    text = base64url.encode(payload) if isinstance(payload, bytes) else payload
    mac = hmac.digest(secret.encode("utf-8"), text.encode("utf-8"), "sha256")
    return f"{text}.{base64url.encode(mac)}"


class VectorTests(SynchronousTestCase):
    """
    The shared vectors (gateway.md section 17.1).
    """

    def test_verify(self) -> None:
        """
        Every vector is believed or refused as it should be.
        """
        listed = vectors.load("auth-tokens.json")["sessionTokens"]["vectors"]
        self.assertEqual(len(listed), 25)
        accepted = 0
        for vector in listed:
            token = verifyToken([vector["secret"]], vector["token"], vector["nowMs"] / 1000)
            if vector.get("expectError"):
                self.assertIsNone(token, vector["name"])
            else:
                accepted += 1
                self.assertEqual(token, SessionToken(vector["sid"], vector["exp"]), vector["name"])
        self.assertEqual(accepted, 2)

    def test_mint(self) -> None:
        """
        The vector that a gateway made is made again to the letter.
        """
        listed = vectors.load("auth-tokens.json")["sessionTokens"]["vectors"]
        [vector] = [vector for vector in listed if vector["name"] == "valid"]
        self.assertEqual(mintToken(vector["secret"], vector["sid"], vector["exp"]), vector["token"])


class MintTokenTests(SynchronousTestCase):
    """
    L{mintToken}.
    """

    def test_known(self) -> None:
        """
        A token has the bytes that other gateways give it.
        """
        self.assertEqual(mintToken(_SECRET, "sid-1234567890", 1_700_000_060), _KNOWN)

    def test_tooLong(self) -> None:
        """
        A session that no verifier would take is not signed.
        """
        error = self.assertRaises(ValueError, mintToken, _SECRET, "a" * 50_000, 1)
        self.assertEqual(str(error), "Session token payload too long")

    def test_refused(self) -> None:
        """
        Nothing is signed without a secret, without a session, or that cannot be written.
        """
        self.assertRaises(ValueError, mintToken, "", "sid", 1)
        self.assertRaises(ValueError, mintToken, _SECRET, "", 1)
        self.assertRaises(ValueError, mintToken, _SECRET, "\ud800", 1)

    @given(strategies.text(min_size=1), strategies.text(min_size=1), strategies.integers(1, 2**50))
    def test_roundTrip(self, secret: str, sid: str, expires: int) -> None:
        """
        Every token that is made is believed until it ends, and under its own secret only.
        """
        token = mintToken(secret, sid, expires)
        self.assertEqual(verifyToken([secret], token, expires - 1), SessionToken(sid, expires))
        self.assertIsNone(verifyToken([secret], token, expires))
        self.assertIsNone(verifyToken([secret + "x"], token, expires - 1))


class VerifyTokenTests(SynchronousTestCase):
    """
    L{verifyToken}, where the vectors say nothing.
    """

    def test_signedNonsense(self) -> None:
        """
        A signature makes no payload valid that is not one.
        """
        for payload in (
            b'{"v":1,"sid":"\xff","exp":1800000000}',
            b'{"v":1,"sid":"\\ud800","exp":1800000000}',
            b'{"v":true,"sid":"a","exp":1800000000}',
            b'{"v":2,"sid":"a","exp":1800000000}',
            b'{"v":1.5,"sid":"a","exp":1800000000}',
            b'{"v":null,"sid":"a","exp":1800000000}',
            b'{"sid":"a","exp":1800000000}',
            b'{"v":1,"sid":["a"],"exp":1800000000}',
            b'{"v":1,"sid":true,"exp":1800000000}',
            b'{"v":1,"sid":"a","exp":true}',
            b'{"v":1,"sid":"a","exp":null}',
            b'{"v":1,"sid":"a","exp":NaN}',
            b'{"v":1,"sid":"a","exp":Infinity}',
            b'{"v":1,"sid":"a","exp":1e400}',
            b'{"v":1,"sid":"a","exp":1' + b"0" * 400 + b"}",
            b'{"v":1,"sid":"a","exp":1' + b"0" * 5_000 + b"}",
            b'{"v":1,"sid":"a","exp":-1e400}',
            b'{"v":1,"sid":"a","exp":1800000000,"sid":""}',
            b'{"v":1,"sid":"a","exp":1800000000}{}',
            b'{"v":1,"sid":"a","exp":1800000000',
            b'\xef\xbb\xbf{"v":1,"sid":"a","exp":1800000000}',
            b"[" * 12_000,
            b"null",
            b"{}",
        ):
            self.assertIsNone(verifyToken([_SECRET], signed(payload), _NOW), payload[:60])
        for text in ("e30=", "e31", "e3", "a", "\xe9\xe9\xe9\xe9", "e30\n"):
            self.assertIsNone(verifyToken([_SECRET], signed(text), _NOW), ascii(text))

    def test_signedSense(self) -> None:
        """
        White space, fractions, and members that mean nothing here are fine.
        """
        for payload, expires in (
            (b' {"v" : 1.0, "sid" : "a", "exp" : 1800000000.5, "x" : [null]} ', 1_800_000_000.5),
            (b'{"exp":1.8e9,"sid":"a","v":1}', 1.8e9),
            (b'{"v":1,"sid":"b","sid":"a","exp":1800000000}', 1.8e9),
        ):
            self.assertEqual(
                verifyToken([_SECRET], signed(payload), _NOW), SessionToken("a", expires)
            )

    def test_everyCharacter(self) -> None:
        """
        A token in which any character is another one is not believed.
        """
        self.assertIsNotNone(verifyToken([_SECRET], _KNOWN, _NOW))
        for position, char in enumerate(_KNOWN):
            for other in "A-.=\xe9" if char != "A" else "B-.=\xe9":
                if other != char:
                    broken = _KNOWN[:position] + other + _KNOWN[position + 1 :]
                    self.assertIsNone(verifyToken([_SECRET], broken, _NOW), broken)

    def test_everyLength(self) -> None:
        """
        A token that was cut or continued is not believed.
        """
        for length in range(len(_KNOWN)):
            self.assertIsNone(verifyToken([_SECRET], _KNOWN[:length], _NOW))
        for tail in ("A", ".", ".A", "=", " ", "\n"):
            self.assertIsNone(verifyToken([_SECRET], _KNOWN + tail, _NOW))
            self.assertIsNone(verifyToken([_SECRET], tail + _KNOWN, _NOW))

    def test_longest(self) -> None:
        """
        The longest payload is 16384 characters, and a longer token is not looked at.
        """
        fixed = len(b'{"v":1,"sid":"","exp":1800000000}')
        sid = "a" * (16_384 // 4 * 3 - fixed)
        token = mintToken(_SECRET, sid, 1_800_000_000)
        self.assertEqual(len(token), 16_384 + 1 + 43)
        self.assertEqual(verifyToken([_SECRET], token, _NOW), SessionToken(sid, 1.8e9))
        longer = b'{"v":1,"sid":"%sa","exp":1800000000}' % sid.encode("ascii")
        self.assertIsNone(verifyToken([_SECRET], signed(longer), _NOW))
        self.assertIsNone(verifyToken([_SECRET], "a" * 20_000, _NOW))

    def test_secrets(self) -> None:
        """
        Any of the secrets may have signed, an empty one never did.
        """
        for secrets in ([_SECRET], ["new", _SECRET], [_SECRET, "old"], ["", _SECRET, ""]):
            self.assertIsNotNone(verifyToken(secrets, _KNOWN, _NOW), secrets)
        payload = _KNOWN.partition(".")[0]
        for secrets in ([], [""], ["other"], [_SECRET.upper()], [f" {_SECRET}"]):
            self.assertIsNone(verifyToken(secrets, _KNOWN, _NOW), secrets)
            self.assertIsNone(verifyToken(["", "x"], signed(payload, ""), _NOW), secrets)

    @given(strategies.text(max_size=60))
    def test_anything(self, text: str) -> None:
        """
        Whatever is sent, and whatever is signed, is a token or not.
        """
        self.assertIsNone(verifyToken([_SECRET], text, _NOW))
        try:
            made = signed(text.encode("utf-8"))
        except UnicodeEncodeError:
            return
        self.assertIsNone(verifyToken([_SECRET], made, _NOW))
