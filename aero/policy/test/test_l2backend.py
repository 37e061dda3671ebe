"""
Tests for L{aero.policy.l2backend}.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.l2backend import BackendRequest, backendRequest, rawSession
from aero.testing.properties import given
from aero.testing.properties import strategies as st

TUNNEL = "aero-l2-tunnel-v1"


def asked(**options: Any) -> BackendRequest:
    """
    A request with what is usual.
    """
    usual: dict[str, Any] = {
        "url": "wss://b.example/l2?room=1",
        "mode": "query",
        "token": "",
        "credential": None,
        "originOverride": "",
        "forwardOrigin": True,
        "origin": "https://client.example",
        "forwardSession": False,
        "cookies": (),
    }
    return backendRequest(**(usual | options))


class BackendRequestTests(SynchronousTestCase):
    """
    L{backendRequest}.
    """

    def test_nothingToForward(self) -> None:
        """
        Without a credential the URL stays, and only the tunnel is offered.
        """
        for mode in ("none", "query", "subprotocol"):
            found = asked(mode=mode)
            self.assertEqual(found.url, "wss://b.example/l2?room=1")
            self.assertEqual(found.protocols, (TUNNEL,))
            self.assertEqual((found.origin, found.cookie), ("https://client.example", ""))
            self.assertEqual(found.secrets, ())

    def test_query(self) -> None:
        """
        Both parameters are set, replacing others of their names and keeping the rest.
        """
        found = asked(url="ws://b/l2?a=%20b&token=old&c", credential="k&y=")
        parts = urlsplit(found.url)
        self.assertTrue(parts.query.startswith("a=%20b&c&"))
        self.assertEqual(parse_qs(parts.query)["token"], ["k&y="])
        self.assertEqual(parse_qs(parts.query)["apiKey"], ["k&y="])
        self.assertEqual(found.protocols, (TUNNEL,))
        self.assertEqual(urlsplit(asked(url="ws://b", credential="k").url).path, "/")

    def test_subprotocol(self) -> None:
        """
        The credential is offered; a token of the relay's own in its place.
        """
        found = asked(mode="subprotocol", credential="key")
        self.assertEqual(found.protocols, (TUNNEL, "aero-l2-token.key"))
        self.assertEqual(found.url, "wss://b.example/l2?room=1")
        found = asked(mode="subprotocol", credential="key", token="own")
        self.assertEqual(found.protocols, (TUNNEL, "aero-l2-token.own"))

    def test_ownTokenInAnyMode(self) -> None:
        """
        A token of the relay's own is offered in any mode, beside the query too.
        """
        for mode in ("none", "query"):
            found = asked(mode=mode, credential="key", token="own")
            self.assertEqual(found.protocols, (TUNNEL, "aero-l2-token.own"))
            self.assertEqual(found.secrets, ("key", "own"))

    def test_noToken(self) -> None:
        """
        What no subprotocol can carry is an error.
        """
        for credential in ("bad=secret", "a b", "a,b", "\u00e9"):
            self.assertRaises(ValueError, asked, mode="subprotocol", credential=credential)

    def test_origin(self) -> None:
        """
        What is configured beats the client's, which is shown only where that is wanted.
        """
        self.assertEqual(asked(originOverride="https://o").origin, "https://o")
        self.assertEqual(asked(forwardOrigin=False).origin, "")

    def test_cookie(self) -> None:
        """
        The first session cookie, as it is, empty included, and nothing else.
        """
        lines = (b"a=b; aero_session=sess123; aero_session=2", b"aero_session=3")
        self.assertEqual(asked(forwardSession=True, cookies=lines).cookie, "aero_session=sess123")
        self.assertEqual(asked(cookies=lines).cookie, "")
        empty = asked(forwardSession=True, cookies=(b"aero_session=",))
        self.assertEqual(empty.cookie, "aero_session=")
        self.assertEqual(asked(forwardSession=True, cookies=(b"x=1",)).cookie, "")

    def test_cookieWithoutHarm(self) -> None:
        """
        A value that would end the header is no value.
        """
        self.assertIsNone(rawSession((b"aero_session=a\r\nX: y",)))
        self.assertIsNone(rawSession((b"aero_session=a b",)))

    @given(st.text(max_size=40))
    def test_anyCredential(self, credential: str) -> None:
        """
        Any credential comes back from the query string as it was.
        """
        found = asked(credential=credential)
        if credential:
            got = parse_qs(urlsplit(found.url).query, keep_blank_values=True)
            self.assertEqual(got["token"], [credential])
