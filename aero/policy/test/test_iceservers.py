"""
Tests for L{aero.policy.iceservers}.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.iceservers import (
    IceServer,
    IceServersError,
    IceURL,
    parseServers,
    parseURL,
)
from aero.testing.properties import given
from aero.testing.properties import strategies as st


def servers(value: Any = "", hasSecret: bool = False, **variables: str) -> tuple[IceServer, ...]:
    """
    Read a list, or the variables.
    """
    text = value if isinstance(value, str) else json.dumps(value)
    given = {"stun": "", "turn": "", "username": "", "credential": ""} | variables
    return parseServers(text, hasSecret=hasSecret, **given)


class URLTests(SynchronousTestCase):
    """
    L{parseURL}.
    """

    def test_parts(self) -> None:
        """
        Scheme, host, port and transport, each with what is usual.
        """
        for text, expected in (
            ("stun:a.example", IceURL("stun", "a.example", 3_478, "udp")),
            ("stuns:a.example", IceURL("stuns", "a.example", 5_349, "tcp")),
            ("turn:192.0.2.1:99", IceURL("turn", "192.0.2.1", 99, "udp")),
            ("turn:[2001:db8::1]:99", IceURL("turn", "2001:db8::1", 99, "udp")),
            ("turn:a?transport=tcp", IceURL("turn", "a", 3_478, "tcp")),
            ("turns:a:443?transport=tcp", IceURL("turns", "a", 443, "tcp")),
        ):
            self.assertEqual(parseURL(text), expected)

    def test_refused(self) -> None:
        """
        Other schemes, and what comes behind a good one.
        """
        for text, why in (
            ("http://a", "unsupported url scheme"),
            ("STUN:a", "unsupported url scheme"),
            ("stun", "unsupported url scheme"),
            ("", "unsupported url scheme"),
            ("stun:", "malformed url"),
            ("stun:a b", "malformed url"),
            ("stun:a:0", "malformed url"),
            ("stun:a:65536", "malformed url"),
            ("stun:a?transport=udp", "malformed url"),
            ("turn:a?transport=sctp", "malformed url"),
            ("turn:user@a", "malformed url"),
            ("stun://a", "malformed url"),
        ):
            error = self.assertRaises(IceServersError, parseURL, text)
            self.assertEqual(str(error), why, text)


class ServersTests(SynchronousTestCase):
    """
    L{parseServers}.
    """

    def test_json(self) -> None:
        """
        One URL or several, blanks dropped, unknown keys ignored.
        """
        found = servers(
            [
                {"urls": "stun:a", "x": 1},
                {"urls": [" turn:b ", ""], "username": " u ", "credential": " c "},
            ]
        )
        self.assertEqual(found, (IceServer(("stun:a",)), IceServer(("turn:b",), "u", " c ")))
        self.assertEqual(servers([]), ())

    def test_jsonWins(self) -> None:
        """
        With a list the simpler variables do not count, wrong as they may be.
        """
        self.assertEqual(servers([], stun="nonsense"), ())

    def test_variables(self) -> None:
        """
        STUN without credentials comes before TURN with them.
        """
        found = servers(stun="stun:a, stun:b,", turn="turn:c", username="u", credential="c")
        self.assertEqual(found, (IceServer(("stun:a", "stun:b")), IceServer(("turn:c",), "u", "c")))

    def test_secret(self) -> None:
        """
        TURN may go without credentials where each client gets its own, but not with half of them.
        """
        entry = {"urls": "turn:a"}
        self.assertEqual(servers([entry], True), (IceServer(("turn:a",)),))
        self.assertEqual(servers(turn="turn:a", hasSecret=True), (IceServer(("turn:a",)),))
        for half in ({"username": "u"}, {"credential": "c"}):
            self.assertRaises(IceServersError, servers, [{**entry, **half}], True)
            self.assertRaises(IceServersError, servers, turn="turn:a", hasSecret=True, **half)

    def test_refused(self) -> None:
        """
        Each mistake is named, with where it is and without any credential.
        """
        for value, why in (
            ("[", "expected a JSON array"),
            ({}, "expected a JSON array"),
            ([1], "iceServers[0]: expected an object"),
            ([{}], "iceServers[0]: missing urls"),
            ([{"urls": [""]}], "iceServers[0]: missing urls"),
            ([{"urls": 1}], "iceServers[0]: urls must be a string or an array of strings"),
            ([{"urls": "stun:a"}, {"urls": "x:b"}], "iceServers[1]: unsupported url scheme"),
            ([{"urls": "turn:a"}], "iceServers[0]: turn urls require username"),
            (
                [{"urls": "turn:a", "username": "u"}],
                "iceServers[0]: turn urls require credential",
            ),
            (
                [{"urls": "stun:a", "username": 1}],
                "iceServers[0]: username and credential must be strings",
            ),
            ([{"urls": "stun:a"}] * 65, "expected at most 64 servers"),
        ):
            error = self.assertRaises(IceServersError, servers, value)
            self.assertEqual(str(error), f"AERO_ICE_SERVERS_JSON: {why}")
        error = self.assertRaises(IceServersError, servers, turn="turn:a", credential="secret")
        self.assertIn("AERO_TURN_USERNAME", str(error))
        self.assertNotIn("secret", str(error))
        error = self.assertRaises(IceServersError, servers, stun="turn")
        self.assertTrue(str(error).startswith("AERO_STUN_URLS: "))

    def test_told(self) -> None:
        """
        What a browser is told: credentials only where there are some, those made for it in place
        of others.
        """
        self.assertEqual(
            IceServer(("stun:a",)).told(), {"urls": ["stun:a"], "credentialType": "password"}
        )
        own = IceServer(("turn:a",), "u", "c")
        self.assertEqual(
            own.told("x", "y"),
            {"urls": ["turn:a"], "username": "x", "credential": "y", "credentialType": "password"},
        )
        self.assertEqual([own.isRelay, IceServer(("stun:a",)).isRelay], [True, False])

    @given(st.text(max_size=60))
    def test_anything(self, text: str) -> None:
        """
        Any text is a list or a mistake.
        """
        try:
            servers(text)
        except IceServersError as error:
            self.assertTrue(str(error))
