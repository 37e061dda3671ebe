"""
Every way to be refused for one's credentials at C{/l2}, and which of several credentials counts
(l2.md sections 6.3, 6.4 and 6.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from twisted.trial.unittest import SynchronousTestCase

from tests.support.l2 import PROTOCOL, Guest, l2Options
from tests.support.l2case import JWT_SECRET, SECRET, L2Case, cookie, jsonWebToken, sessionToken
from tests.support.metrics import samples
from tests.support.server import Aero

#: A key that shows whether a plus sign stays one.
KEY = "sek+rit"
PAGE = "https://app.test"

MISSING, BAD_KEY = "missing_credentials", "invalid_api_key"
BAD_COOKIE, BAD_JWT = "invalid_cookie", "invalid_jwt"
WRONG_ORIGIN = "jwt_origin_mismatch"
COUNTERS = (
    "l2_upgrade_reject_auth_missing_total",
    "l2_upgrade_reject_auth_invalid_total",
    "l2_auth_failures_total",
    "l2_upgrade_rejected_total",
)
REASONS = (MISSING, BAD_KEY, BAD_COOKIE, BAD_JWT, WRONG_ORIGIN)


@dataclass(frozen=True)
class Given:
    """
    The credentials of a request.

    @ivar query: The query string.
    @ivar protocols: Offered beside the tunnel's.
    @ivar cookies: Lines of C{Cookie}.
    @ivar bearer: The value of C{Authorization}; empty for none.
    @ivar origin: The C{Origin}; empty for none.
    """

    query: str = ""
    protocols: str = ""
    cookies: tuple[str, ...] = ()
    bearer: str = ""
    origin: str = ""

    def ask(self, server: Aero) -> Guest:
        """
        Ask for a tunnel.
        """
        headers = [("Cookie", line) for line in self.cookies]
        if self.bearer:
            headers.append(("Authorization", self.bearer))
        if self.origin:
            headers.append(("Origin", self.origin))
        target = f"/l2?{self.query}" if self.query else "/l2"
        offered = f"{PROTOCOL}, {self.protocols}" if self.protocols else PROTOCOL
        return Guest(server, target, *headers, protocols=offered)


def carried(token: str) -> str:
    """
    A token as a subprotocol.
    """
    return f"aero-l2-token.{token}"


def claims(*, ttl: int = 300, aud: str = "l2", iss: str = "gateway", **more: str) -> str:
    """
    A JSON Web Token for the server under test.
    """
    return jsonWebToken(ttl=ttl, aud=aud, iss=iss, **more)


@cache
def server(mode: str) -> Aero:
    """
    A server in a mode, with everything that any mode wants. Those for tokens of pages look at
    the origin too, by the one rule or the other.
    """
    variables = {
        "AERO_L2_AUTH_MODE": mode,
        "AERO_L2_API_KEY": KEY,
        "AERO_L2_JWT_SECRET": JWT_SECRET,
        "AERO_L2_JWT_AUDIENCE": "l2",
        "AERO_L2_JWT_ISSUER": "gateway",
        "AERO_L2_MAX_CONNECTIONS": "0",
        "SESSION_SECRET": SECRET,
    }
    if mode == "cookie_or_jwt":
        variables["AERO_L2_ALLOWED_ORIGINS"] = PAGE
    else:
        variables["AERO_L2_OPEN"] = "1"
    return Aero(*l2Options(), state=None, runDir=None, **variables)


class MatrixTests(L2Case, SynchronousTestCase):
    """
    Each mode. Of all counters the right ones grow, by one.
    """

    def check(
        self,
        mode: str,
        refused: list[tuple[Given, str, str]],
        accepted: list[Given],
    ) -> None:
        """
        Ask with everything.

        @param refused: What is given, what is said, what is counted.
        """
        where = server(mode)
        expected = self.counters(where)
        for given, body, reason in refused:
            with given.ask(where) as guest:
                self.assertEqual((guest.response.status, guest.body), (401, body), given)
                self.assertEqual(guest.response.all("Sec-WebSocket-Protocol"), [])
            kind = "missing" if reason == MISSING else "invalid"
            for name in (
                reason,
                f"l2_upgrade_reject_auth_{kind}_total",
                "l2_auth_failures_total",
                "l2_upgrade_rejected_total",
            ):
                expected[name] += 1
            self.assertEqual(self.counters(where), expected, given)
        for given in accepted:
            with given.ask(where) as guest:
                self.assertTrue(guest.accepted, f"{given} {guest.response} {guest.body}")
                self.assertEqual(guest.response.one("Sec-WebSocket-Protocol"), PROTOCOL)
        self.assertEqual(self.counters(where), expected)

    def counters(self, where: Aero) -> dict[str, float]:
        """
        What there is to be counted.
        """
        page = samples(where)
        found = {name: page[name] for name in COUNTERS}
        for reason in REASONS:
            found[reason] = page[f'l2_auth_reject_total{{reason="{reason}"}}']
        return found

    def test_none(self) -> None:
        """
        C{none} takes everybody, whatever they show.
        """
        accepted = [
            Given(),
            Given(query="token=wrong"),
            Given(protocols=carried("wrong")),
            Given(cookies=("aero_session=wrong",)),
            Given(bearer="Bearer wrong"),
        ]
        self.check("none", [], accepted)

    def test_token(self) -> None:
        """
        C{token} takes the key from the query, by its first name that has a value, else from
        the first subprotocol that carries one; a wrong one is the end of it.
        """
        body = "invalid token"
        missing = [
            Given(),
            Given(query="token="),
            Given(query="token=&apiKey="),
            Given(query=f"Token={KEY}&APIKEY={KEY}"),
            Given(query=f"token=&token={KEY}"),
            Given(protocols="aero-l2-token."),
            Given(bearer=f"Bearer {KEY}"),
            Given(cookies=(cookie(),)),
        ]
        wrong = [
            Given(query="token=wrong"),
            Given(query="apiKey=wrong"),
            Given(protocols=carried("wrong")),
            Given(query=f"token={KEY}x"),
            Given(query=f"token={KEY[:-1]}"),
            Given(query="token=sek%20rit"),
            # No way from a wrong one to the next.
            Given(query="token=wrong", protocols=carried(KEY)),
            Given(query=f"token=wrong&apiKey={KEY}"),
            Given(query="token=&apiKey=wrong", protocols=carried(KEY)),
            Given(query=f"token=wrong&token={KEY}"),
            Given(protocols=f"{carried('wrong')}, {carried(KEY)}"),
        ]
        accepted = [
            Given(query=f"token={KEY}"),
            Given(query=f"apiKey={KEY}"),
            Given(query="token=sek%2Brit"),
            Given(protocols=carried(KEY)),
            Given(query=f"token=&apiKey={KEY}"),
            Given(query=f"apiKey=wrong&token={KEY}"),
            Given(query=f"token={KEY}&token=wrong"),
            Given(query=f"token={KEY}", protocols=carried("wrong")),
            Given(query="token=&apiKey=", protocols=carried(KEY)),
            Given(protocols=f"aero-l2-token., {carried(KEY)}"),
        ]
        self.check(
            "token",
            [(given, body, MISSING) for given in missing]
            + [(given, body, BAD_KEY) for given in wrong],
            accepted,
        )

    def test_session(self) -> None:
        """
        C{session} takes the first cookie of the name, over all lines, and no other.
        """
        body = "missing or expired session"
        good, bad = cookie(), cookie(secret="another")
        missing = [
            Given(),
            Given(cookies=("aero_session=",)),
            Given(cookies=(f"Aero_Session={sessionToken()}; aero_session",)),
            Given(cookies=(f"aero_session=; {good}",)),
            Given(cookies=("aero_session=", good)),
            Given(query=f"token={KEY}", bearer=f"Bearer {claims()}"),
        ]
        wrong = [
            Given(cookies=(bad,)),
            Given(cookies=("aero_session=x",)),
            Given(cookies=(cookie(ttl=-1),)),
            Given(cookies=(f'aero_session="{sessionToken()}"',)),
            Given(cookies=(f"{bad}; {good}",)),
            Given(cookies=(bad, good)),
            Given(cookies=("a=b", f"c=d; {bad}", good)),
        ]
        accepted = [
            Given(cookies=(good,)),
            Given(cookies=(f"{good}; {bad}",)),
            Given(cookies=(good, bad)),
            Given(cookies=("a=b; aero_session; =c", f"  {good}  ")),
            Given(cookies=(good.replace(".", "%2e"),)),
        ]
        self.check(
            "session",
            [(given, body, MISSING) for given in missing]
            + [(given, body, BAD_COOKIE) for given in wrong],
            accepted,
        )

    def test_jwt(self) -> None:
        """
        C{jwt} tries bearer, query and subprotocol, and takes the first that verifies; what that
        says about whom it is for has to be right. In the open mode a page has to be named where
        the token names one.
        """
        body = "invalid jwt"
        good, bad, named = claims(), claims(ttl=-10), claims(origin=PAGE)
        missing = [
            Given(),
            Given(query="token=&apiKey=", protocols="aero-l2-token."),
            Given(bearer=f"Basic {good}"),
            Given(bearer=f"Bearer {good} x"),
            Given(bearer=good),
            Given(cookies=(cookie(),)),
        ]
        wrong = [
            Given(query="token=garbage"),
            Given(query=f"token={KEY}"),
            Given(bearer=f"Bearer {bad}", query=f"token={bad}", protocols=carried(bad)),
            Given(query=f"token={claims(aud='udp')}"),
            Given(query=f"token={claims(iss='other')}"),
            Given(query=f"token={jsonWebToken()}"),
            Given(query=f"token={claims(origin='app.test')}", origin=PAGE),
            Given(query=f"token={bad}&apiKey={good}"),
            # The one that verifies has won, although the next would have been for us.
            Given(bearer=f"Bearer {claims(aud='udp')}", query=f"token={good}"),
        ]
        elsewhere = [
            Given(query=f"token={named}", origin="https://other.test"),
            Given(query=f"token={named}", origin="not an origin"),
            Given(query=f"token={named}"),
            Given(bearer=f"Bearer {named}", query=f"token={good}", origin="https://other.test"),
        ]
        accepted = [
            Given(bearer=f"Bearer {good}"),
            Given(bearer=f"bEARER   {good}"),
            Given(query=f"token={good}"),
            Given(query=f"apiKey={good}"),
            Given(protocols=carried(good)),
            Given(bearer=f"Bearer {bad}", query=f"token={good}"),
            Given(bearer="Bearer garbage", query="token=garbage", protocols=carried(good)),
            Given(bearer=f"Bearer {good}", query="token=garbage", protocols=carried(bad)),
            Given(query=f"token={named}", origin="HTTPS://APP.test:443/"),
        ]
        self.check(
            "jwt",
            [(given, body, MISSING) for given in missing]
            + [(given, body, BAD_JWT) for given in wrong]
            + [(given, body, WRONG_ORIGIN) for given in elsewhere],
            accepted,
        )

    def test_cookieOrJWT(self) -> None:
        """
        C{cookie_or_jwt} speaks of the token where there was one. A token that names a page
        leaves it to the check of origins to miss the header.
        """
        nothing, token = "missing or invalid auth", "invalid jwt"
        bad, good = cookie(secret="another"), claims()
        refused = [
            (Given(origin=PAGE), nothing, MISSING),
            (Given(cookies=("aero_session=",)), nothing, MISSING),
            (Given(cookies=(bad,), origin=PAGE), nothing, BAD_COOKIE),
            (Given(cookies=(cookie(ttl=-1),)), nothing, BAD_COOKIE),
            (Given(query="token=garbage"), token, BAD_JWT),
            (Given(cookies=(bad,), query="token=garbage"), token, BAD_JWT),
            (Given(cookies=(bad,), bearer=f"Bearer {claims(iss='x')}"), token, BAD_JWT),
            (Given(query=f"token={claims(origin='x')}", origin=PAGE), token, BAD_JWT),
            (
                Given(cookies=(bad,), query=f"token={claims(origin='http://x')}", origin=PAGE),
                token,
                WRONG_ORIGIN,
            ),
        ]
        accepted = [
            Given(cookies=(cookie(),), origin=PAGE),
            Given(query=f"token={good}", origin=PAGE),
            Given(cookies=(bad,), bearer=f"Bearer {good}", origin=PAGE),
            Given(cookies=(cookie(),), query="token=garbage", origin=PAGE),
            Given(query=f"token={claims(origin=PAGE)}", origin=PAGE),
        ]
        self.check("cookie_or_jwt", refused, accepted)
        named = f"token={claims(origin=PAGE)}"
        for origin, said in (
            ("", "missing Origin header"),
            ("nowhere", "invalid Origin header: nowhere"),
        ):
            with Given(query=named, origin=origin).ask(server("cookie_or_jwt")) as guest:
                self.assertEqual((guest.response.status, guest.body), (403, said))

    def test_sessionOrToken(self) -> None:
        """
        C{session_or_token} takes either; a wrong token is worse than a bad cookie.
        """
        body = "missing or invalid auth"
        good, bad = cookie(), cookie(secret="another")
        refused = [
            (Given(), body, MISSING),
            (Given(cookies=("aero_session=",), query="token="), body, MISSING),
            (Given(bearer=f"Bearer {claims()}"), body, MISSING),
            (Given(cookies=(bad,)), body, BAD_COOKIE),
            (Given(cookies=(bad, good), query="token="), body, BAD_COOKIE),
            (Given(query="token=wrong"), body, BAD_KEY),
            (Given(cookies=(bad,), query="apiKey=wrong"), body, BAD_KEY),
            (Given(protocols=carried("wrong")), body, BAD_KEY),
            (Given(query="token=wrong", protocols=carried(KEY)), body, BAD_KEY),
        ]
        accepted = [
            Given(cookies=(good,)),
            Given(query=f"token={KEY}"),
            Given(cookies=(bad,), protocols=carried(KEY)),
            Given(cookies=(good,), query="token=wrong"),
        ]
        self.check("session_or_token", refused, accepted)

    def test_sessionAndToken(self) -> None:
        """
        C{session_and_token} takes both; a wrong token is worse than a bad cookie, and that than
        what is not there.
        """
        body = "missing or invalid auth"
        good, bad, right = cookie(), cookie(secret="another"), f"token={KEY}"
        refused = [
            (Given(), body, MISSING),
            (Given(cookies=(good,)), body, MISSING),
            (Given(cookies=(good,), query="token=", protocols="aero-l2-token."), body, MISSING),
            (Given(query=right), body, MISSING),
            (Given(query=right, cookies=(f"aero_session=; {good}",)), body, MISSING),
            (Given(cookies=(bad,)), body, BAD_COOKIE),
            (Given(query=right, cookies=(bad, good)), body, BAD_COOKIE),
            (Given(query="token=wrong"), body, BAD_KEY),
            (Given(query="token=wrong", cookies=(good,)), body, BAD_KEY),
            (Given(query="token=wrong", cookies=(bad,)), body, BAD_KEY),
            (
                Given(query="token=wrong", protocols=carried(KEY), cookies=(good,)),
                body,
                BAD_KEY,
            ),
        ]
        accepted = [
            Given(query=right, cookies=(good,)),
            Given(query=f"apiKey={KEY}", cookies=("a=b", good, bad)),
            Given(protocols=carried(KEY), cookies=(good,)),
        ]
        self.check("session_and_token", refused, accepted)
