"""
Tests for L{aero.web.opensessions}.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.auth.revocations import Revocations
from aero.auth.sessions import Sessions
from aero.http.router import Router
from aero.metrics import ROWS, Metrics, sessions
from aero.testing.web import WebClient, WebResponse
from aero.web.opensessions import MAX_LINES, MAX_LISTED, OpenSessionsEndpoint, Tunnel, summaryOf

TOKEN = {b"Authorization": b"Bearer sesame"}


class OpenSessionsEndpointTests(SynchronousTestCase):
    """
    Tests for L{OpenSessionsEndpoint}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.metrics = Metrics(ROWS)
        self.revoked = Revocations()
        self.tunnels: list[Tunnel] = []
        self.others: list[Any] = []
        self.complete = True
        router = Router()
        router.addResource(
            "/session/open",
            OpenSessionsEndpoint(
                Sessions(["secret"], 60, "Lax", self.revoked),
                self.metrics,
                self.clock.seconds,
                gather=lambda: succeed(([summaryOf(self.tunnels), *self.others], self.complete)),
                token="sesame",
            ),
        )
        self.client = WebClient(router, clock=self.clock, metrics=self.metrics)

    def end(self, query: str) -> WebResponse:
        """
        Ask for a session to be ended.
        """
        return self.client.request(b"DELETE", "/session/open" + query, TOKEN)

    def test_token(self) -> None:
        """
        Nobody gets on without the token, and is told what is missing.
        """
        self.tunnels = [Tunnel("sid", "192.0.2.1", "tcp")]
        for method in (b"GET", b"DELETE"):
            for headers in ({}, {b"Authorization": b"Bearer other"}, {b"Cookie": b"sesame"}):
                response = self.client.request(method, "/session/open?sid=sid", headers)
                self.assertEqual(response.error(), (401, "unauthorized"))
                self.assertEqual(response.header(b"WWW-Authenticate"), b'Bearer realm="sessions"')
        self.assertEqual(len(self.revoked), 0)

    def test_noToken(self) -> None:
        """
        A page with an empty token, which everybody has, cannot be made.
        """
        made = Sessions(["secret"], 60, "Lax", self.revoked)
        self.assertRaises(
            ValueError,
            OpenSessionsEndpoint,
            made,
            self.metrics,
            self.clock.seconds,
            gather=lambda: succeed(([], True)),
            token="",
        )

    def test_listed(self) -> None:
        """
        Sessions are listed with their addresses and what they have open, most first.
        """
        self.assertEqual(
            self.client.request(b"GET", "/session/open", TOKEN).json(),
            {"count": 0, "sessions": [], "complete": True},
        )
        self.tunnels = [
            Tunnel("a", "192.0.2.1", "tcp"),
            Tunnel("b", "192.0.2.2", "tcp"),
            Tunnel("b", "192.0.2.1", "tcp"),
            Tunnel("b", "192.0.2.2", "tcp-mux"),
        ]
        response = self.client.request(b"GET", "/session/open", TOKEN)
        self.assertEqual(response.header(b"Cache-Control"), b"no-store")
        self.assertEqual(
            response.json(),
            {
                "count": 2,
                "complete": True,
                "sessions": [
                    {
                        "sid": "b",
                        "addresses": ["192.0.2.1", "192.0.2.2"],
                        "tunnels": {"tcp": 2, "tcp-mux": 1},
                    },
                    {"sid": "a", "addresses": ["192.0.2.1"], "tunnels": {"tcp": 1}},
                ],
            },
        )

    def list(self) -> Any:
        """
        What an operator is shown.
        """
        return self.client.request(b"GET", "/session/open", TOKEN).json()

    def test_withoutSession(self) -> None:
        """
        Tunnels without a session are listed by their client's address.
        """
        self.tunnels = [
            Tunnel("", "192.0.2.1", "l2"),
            Tunnel("", "192.0.2.1", "udp"),
            Tunnel("", "192.0.2.2", "l2"),
            Tunnel("a", "192.0.2.1", "l2"),
        ]
        value = self.list()
        self.assertEqual(value["count"], 3)
        self.assertEqual(
            value["sessions"],
            [
                {"sid": None, "addresses": ["192.0.2.1"], "tunnels": {"l2": 1, "udp": 1}},
                {"sid": None, "addresses": ["192.0.2.2"], "tunnels": {"l2": 1}},
                {"sid": "a", "addresses": ["192.0.2.1"], "tunnels": {"l2": 1}},
            ],
        )

    def test_merged(self) -> None:
        """
        What other processes have open is added up by session and address, also after a journey
        as JSON.
        """
        self.tunnels = [Tunnel("a", "192.0.2.1", "tcp"), Tunnel("", "192.0.2.9", "l2")]
        other = [
            Tunnel("a", "192.0.2.2", "tcp"),
            Tunnel("b", "192.0.2.3", "l2"),
            Tunnel("", "192.0.2.9", "l2"),
        ]
        self.others = [json.loads(json.dumps(summaryOf(other)))]
        self.assertEqual(
            self.list(),
            {
                "count": 3,
                "complete": True,
                "sessions": [
                    {"sid": None, "addresses": ["192.0.2.9"], "tunnels": {"l2": 2}},
                    {"sid": "a", "addresses": ["192.0.2.1", "192.0.2.2"], "tunnels": {"tcp": 2}},
                    {"sid": "b", "addresses": ["192.0.2.3"], "tunnels": {"l2": 1}},
                ],
            },
        )
        self.complete = False
        self.assertIs(self.list()["complete"], False)

    def test_malformed(self) -> None:
        """
        An answer that this version does not understand is left out, and the list is not complete.
        """
        self.tunnels = [Tunnel("a", "192.0.2.1", "tcp")]
        malformed: list[Any] = [
            None,
            [],
            {},
            {"lines": [["x"]], "unlisted": 0},
            {"lines": 3, "unlisted": 0},
        ]
        for other in malformed:
            self.others = [other]
            value = self.list()
            self.assertEqual((value["count"], value["complete"]), (1, False), other)

    def test_bounded(self) -> None:
        """
        The summary of one process is bounded, and what it leaves out is counted.
        """
        self.tunnels = [
            Tunnel(f"{number}", f"192.0.2.{place}", "tcp")
            for number in range(MAX_LINES)
            for place in range(3)
        ]
        summary = summaryOf(self.tunnels)
        self.assertLessEqual(len(summary["lines"]), MAX_LINES)
        value = self.list()
        self.assertEqual(value["count"], MAX_LINES)
        self.assertEqual(len(value["sessions"]), MAX_LISTED)

    def test_many(self) -> None:
        """
        However many there are, only so many are listed, and all are counted.
        """
        self.tunnels = [Tunnel(str(number), "192.0.2.1", "tcp") for number in range(3_000)]
        value = self.client.request(b"GET", "/session/open", TOKEN).json()
        self.assertEqual((value["count"], len(value["sessions"])), (3_000, MAX_LISTED))

    def test_ended(self) -> None:
        """
        A session is ended by its name for as long as its cookie could live, and counted.
        """
        response = self.end("?sid=b%2Fc")
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertTrue(self.revoked.isRevoked("b/c", 1_060))
        self.assertEqual(self.metrics.value(sessions.SESSIONS_ENDED, "operator"), 1)

    def test_notNamed(self) -> None:
        """
        Without exactly one name nothing is ended.
        """
        for query in ("", "?sid=", "?sid=a&sid=b", "?other=a"):
            self.assertEqual(self.end(query).error(), (400, "bad_request"))
        self.assertEqual(len(self.revoked), 0)
