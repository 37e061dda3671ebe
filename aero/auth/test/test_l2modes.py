"""
Tests for L{aero.auth.l2modes}: l2.md section 6, case by case.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.jwt import mintRelayToken
from aero.auth.l2modes import (
    BAD_COOKIE,
    BAD_JWT,
    BAD_KEY,
    MISSING,
    WRONG_ORIGIN,
    Credentials,
    Denied,
    L2Authenticator,
    bearerToken,
    protocolToken,
    queryToken,
    tokenCandidates,
)
from aero.auth.sessions import Session, Sessions
from aero.policy.origin import normalizeOrigin
from aero.testing.vectors import load

NOW = 1_700_000_000.0
KEY = "sekrit"
JWT_SECRET = "test-jwt-secret"
SESSION_SECRET = "test-session-secret"

# l2.md section 6.5.
GOOD = (
    "eyJ2IjoxLCJzaWQiOiJzaWQtMTIzNDU2Nzg5MCIsImV4cCI6MTcwMDAwMDA2MH0"
    ".zcesNltUxXmW1SpDGWoATMZj1GLX1LMz0TIdVRzO8l8"
)
EXPIRED = (
    "eyJ2IjoxLCJzaWQiOiJzaWQtMTIzNDU2Nzg5MCIsImV4cCI6MTY5OTk5OTk5OX0"
    ".CwC51wLWfrZdFrFA-3E4JSPLbDjqYrgcJe6dgUU0eYI"
)
JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMDA2MCwic2lkIjoic"
    "2lkLTEyMzQ1Njc4OTAiLCJvcmlnaW4iOiJodHRwczovL2FwcC5leGFtcGxlLnRlc3QiLCJhdWQiOiJhZXJvLXVkcC1yZWx"
    "heSIsImlzcyI6ImFlcm8tZ2F0ZXdheSJ9.tVuxJptb-YWFqluNxv89qG0sd_jFcDIzVGn2ojD9wGg"
)
APP = b"https://app.example.test"


def cookie(token: str) -> bytes:
    """
    A C{Cookie} line.
    """
    return b"aero_session=" + token.encode()


def authenticator(mode: str, **options: Any) -> L2Authenticator:
    """
    A mode with all keys.
    """
    given: dict[str, Any] = {
        "sessions": Sessions([SESSION_SECRET], 3_600, "Lax"),
        "apiKey": KEY,
        "jwtSecret": JWT_SECRET,
        "normalizeOrigin": normalizeOrigin,
    }
    return L2Authenticator(mode, **given | options)


class ModeTests(SynchronousTestCase):
    """
    Each mode, and what it says about each way to fail (section 6.4).
    """

    def result(self, mode: str, options: dict[str, Any] | None = None, **given: Any) -> Any:
        return authenticator(mode, **options or {}).authenticate(Credentials(**given), NOW)

    def denied(self, mode: str, **given: Any) -> tuple[str, str]:
        result = self.result(mode, **given)
        assert isinstance(result, Denied), result
        return result.body, result.reason

    def test_none(self) -> None:
        """
        Everybody may come in, as nobody.
        """
        self.assertIsNone(self.result("none"))
        self.assertIsNone(self.result("none", cookies=[cookie(GOOD)]))

    def test_session(self) -> None:
        """
        A good cookie is a session; a bad, expired or empty one, and none, are refusals.
        """
        session = self.result("session", cookies=[cookie(GOOD)])
        self.assertEqual(session, Session("sid-1234567890", 1_700_000_060))
        body = "missing or expired session"
        self.assertEqual(self.denied("session"), (body, MISSING))
        self.assertEqual(self.denied("session", cookies=[b"aero_session="]), (body, MISSING))
        for token in (EXPIRED, GOOD[:-1] + "A", "x"):
            self.assertEqual(
                self.denied("session", cookies=[cookie(token)]), (body, BAD_COOKIE), token
            )

    def test_cookieParsing(self) -> None:
        """
        The first cookie of the name decides over all lines, good or bad (S18).
        """
        self.assertIsInstance(self.result("session", cookies=[b"foo; " + cookie(GOOD)]), Session)
        self.assertIsInstance(
            self.result("session", cookies=[b"a=b", b"c=d; " + cookie(GOOD)]), Session
        )
        self.assertEqual(
            self.denied("session", cookies=[cookie("bad"), cookie(GOOD)])[1], BAD_COOKIE
        )
        self.assertEqual(
            self.denied("session", cookies=[b"aero_session=; " + cookie(GOOD)])[1], MISSING
        )

    def test_token(self) -> None:
        """
        The key comes in the query or in a subprotocol; a wrong one in the query is not made good
        by another (section 6.3).
        """
        good = b"aero-l2-tunnel-v1, aero-l2-token.sekrit"
        for given in ({"query": "token=sekrit"}, {"query": "apiKey=sekrit"}, {"protocols": [good]}):
            self.assertIsNone(self.result("token", **given))
        self.assertEqual(self.denied("token"), ("invalid token", MISSING))
        self.assertEqual(self.denied("token", query="token="), ("invalid token", MISSING))
        for query in ("token=wrong", "apiKey=sekri", "token=sekrit2"):
            self.assertEqual(
                self.denied("token", query=query, protocols=[good]), ("invalid token", BAD_KEY)
            )

    def test_jwt(self) -> None:
        """
        Each carrier is tried, the first token that verifies wins; who it is for counts then.
        """
        protocols = [b"aero-l2-tunnel-v1, aero-l2-token." + JWT.encode()]
        for given in (
            {"query": f"token={JWT}"},
            {"query": f"apiKey={JWT}"},
            {"protocols": protocols},
            {"authorization": [b"Bearer " + JWT.encode()]},
            {"authorization": [b"bearer bad"], "query": f"token={JWT}"},
            {"query": "token=bad", "protocols": protocols},
        ):
            session = self.result("jwt", origins=[APP], **given)
            self.assertEqual(session, Session("sid-1234567890", 1_700_000_060), given)
        self.assertEqual(self.denied("jwt"), ("invalid jwt", MISSING))
        self.assertEqual(self.denied("jwt", query="token=garbage"), ("invalid jwt", BAD_JWT))
        self.assertEqual(self.denied("jwt", query=f"token={KEY}"), ("invalid jwt", BAD_JWT))

    def test_audienceAndIssuer(self) -> None:
        """
        Where an audience or issuer is asked for, the token names exactly that (S14).
        """
        given: dict[str, Any] = {"query": f"token={JWT}", "origins": [APP]}
        for options, why in (
            ({"audience": "aero-udp-relay", "issuer": "aero-gateway"}, None),
            ({"audience": "l2"}, "audience"),
            ({"issuer": "gateway"}, "issuer"),
        ):
            result = self.result("jwt", options, **given)
            if why is None:
                self.assertIsInstance(result, Session)
            else:
                self.assertEqual(result, Denied("invalid jwt", BAD_JWT, why))

    def test_originClaim(self) -> None:
        """
        A token that names an origin is for that page; where origins are checked later, a missing
        one is left to that check (section 6.6).
        """
        given: dict[str, Any] = {"query": f"token={JWT}"}
        for origins, isOpen, good in (
            ([APP], False, True),
            ([b"HTTPS://APP.example.test:443"], False, True),
            ([b"https://other.test"], False, False),
            ([], False, True),
            ([b"nonsense"], False, True),
            ([], True, False),
            ([b"nonsense"], True, False),
            ([APP, b"https://other.test"], False, True),
        ):
            result = self.result("jwt", {"isOpen": isOpen}, origins=origins, **given)
            if good:
                self.assertIsInstance(result, Session, origins)
            else:
                self.assertEqual(result, Denied("invalid jwt", WRONG_ORIGIN), origins)

    def test_originClaimThatIsNone(self) -> None:
        """
        A claim that is no origin is not for any page.
        """
        token, _ = mintRelayToken(JWT_SECRET, "sid", now=NOW, ttl=60, origin="not an origin")
        result = self.result("jwt", query=f"token={token}", origins=[APP])
        self.assertEqual(result, Denied("invalid jwt", BAD_JWT, "origin claim"))

    def test_cookieOrJWT(self) -> None:
        """
        Either does, the cookie first; what failed is said of the last thing there was (S15).
        """
        mode = "cookie_or_jwt"
        self.assertIsInstance(self.result(mode, cookies=[cookie(GOOD)]), Session)
        self.assertIsInstance(
            self.result(mode, cookies=[cookie(EXPIRED)], query=f"token={JWT}", origins=[APP]),
            Session,
        )
        body = "missing or invalid auth"
        self.assertEqual(self.denied(mode), (body, MISSING))
        self.assertEqual(self.denied(mode, cookies=[cookie(EXPIRED)]), (body, BAD_COOKIE))
        self.assertEqual(self.denied(mode, query="token=x"), ("invalid jwt", BAD_JWT))
        self.assertEqual(
            self.denied(mode, query=f"token={JWT}", origins=[b"https://other.test"]),
            ("invalid jwt", WRONG_ORIGIN),
        )

    def test_sessionOrToken(self) -> None:
        """
        Either does, also where the other is bad (S16, S17). Without a key no token is right.
        """
        mode, body = "session_or_token", "missing or invalid auth"
        self.assertIsInstance(self.result(mode, cookies=[cookie(GOOD)], query="token=x"), Session)
        self.assertIsNone(self.result(mode, query=f"apiKey={KEY}"))
        self.assertIsNone(self.result(mode, cookies=[cookie("x")], query=f"apiKey={KEY}"))
        self.assertEqual(self.denied(mode), (body, MISSING))
        self.assertEqual(self.denied(mode, cookies=[cookie("x")]), (body, BAD_COOKIE))
        self.assertEqual(self.denied(mode, cookies=[cookie("x")], query="token=x"), (body, BAD_KEY))
        without = self.result(mode, {"apiKey": ""}, query="token=x")
        self.assertEqual(without, Denied(body, BAD_KEY))

    def test_sessionAndToken(self) -> None:
        """
        Both or nothing (S17).
        """
        mode, body = "session_and_token", "missing or invalid auth"
        good = [cookie(GOOD)]
        self.assertIsInstance(self.result(mode, cookies=good, query=f"token={KEY}"), Session)
        self.assertEqual(self.denied(mode), (body, MISSING))
        self.assertEqual(self.denied(mode, cookies=good), (body, MISSING))
        self.assertEqual(self.denied(mode, query=f"token={KEY}"), (body, MISSING))
        self.assertEqual(self.denied(mode, cookies=good, query="token=x"), (body, BAD_KEY))
        self.assertEqual(
            self.denied(mode, cookies=[cookie("x")], query=f"token={KEY}"), (body, BAD_COOKIE)
        )

    def test_needs(self) -> None:
        """
        A mode without its key cannot be made.
        """
        for mode, option in (
            ("session", {"sessions": None}),
            ("cookie_or_jwt", {"sessions": None}),
            ("cookie_or_jwt", {"jwtSecret": ""}),
            ("token", {"apiKey": ""}),
            ("session_and_token", {"apiKey": ""}),
            ("jwt", {"jwtSecret": ""}),
        ):
            with self.assertRaises(ValueError):
                authenticator(mode, **option)


class VectorTests(SynchronousTestCase):
    """
    The shared tokens C{auth-tokens.json}, as a tunnel is asked with them.
    """

    def test_tokens(self) -> None:
        """
        Each session token and each JSON Web Token is taken exactly where the vectors say so.
        """
        vectors = load("auth-tokens.json")
        for name, mode in (("sessionTokens", "session"), ("jwtTokens", "jwt")):
            entries = vectors[name]
            secret, cases = entries["testSecret"], entries["vectors"]
            self.assertGreaterEqual(len(cases), 25)
            modeOf = authenticator(
                mode, sessions=Sessions([secret], 3_600, "Lax"), jwtSecret=secret
            )
            for case in cases:
                given = (
                    Credentials(cookies=[cookie(case["token"])])
                    if mode == "session"
                    else Credentials(query=f"token={case['token']}")
                )
                now = case["nowMs"] / 1000 if mode == "session" else case["nowSec"]
                result = modeOf.authenticate(given, now)
                valid = not case.get("expectError")
                self.assertEqual(isinstance(result, Session), valid, case["name"])


class CarrierTests(SynchronousTestCase):
    """
    Where credentials are looked for.
    """

    def test_query(self) -> None:
        """
        C{token} before C{apiKey}, each by its first occurrence and its raw name, percent-decoded,
        with plus signs kept.
        """
        for query, expected in (
            ("", None),
            ("token", None),
            ("token=&apiKey=", None),
            ("token=a&apiKey=b", "a"),
            ("token=&apiKey=b", "b"),
            ("apiKey=b", "b"),
            ("token=a&token=b", "a"),
            ("token=&token=b", None),
            ("Token=a&%74oken=b", None),
            ("x=1&token=a%2Bb+c%20d", "a+b+c d"),
            ("token=a=b", "a=b"),
            ("token=%zz%ff", "%zz\N{REPLACEMENT CHARACTER}"),
        ):
            self.assertEqual(queryToken(query), expected, query)

    def test_subprotocol(self) -> None:
        """
        The first line counts, and in it the first entry that has a token.
        """
        for lines, expected in (
            ([], None),
            ([b"aero-l2-tunnel-v1"], None),
            ([b"aero-l2-token."], None),
            ([b"aero-l2-token., aero-l2-token.a,aero-l2-token.b"], "a"),
            ([b"aero-l2-tunnel-v1", b"aero-l2-token.a"], None),
            ([b" aero-l2-token.a.b "], "a.b"),
            ([b",,aero-l2-tunnel-v1, ,aero-l2-token.a,"], "a"),
            ([b"AERO-L2-TOKEN.a"], None),
        ):
            self.assertEqual(protocolToken(lines), expected, lines)

    def test_bearer(self) -> None:
        """
        Two words, the first of which is C{bearer}.
        """
        for lines, expected in (
            ([], None),
            ([b"Bearer a"], "a"),
            ([b"  bEARER   a "], "a"),
            ([b"Bearer"], None),
            ([b"Bearer a b"], None),
            ([b"Basic a"], None),
            ([b"Basic a", b"Bearer b"], None),
        ):
            self.assertEqual(bearerToken(lines), expected, lines)

    def test_order(self) -> None:
        """
        A token is tried from C{Authorization}, then the query, then the subprotocols.
        """
        given = Credentials(
            query="token=q", protocols=[b"aero-l2-token.p"], authorization=[b"Bearer b"]
        )
        self.assertEqual(tokenCandidates(given), ["b", "q", "p"])
