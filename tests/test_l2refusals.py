"""
What each refusal of C{/l2} says, word for word, and which comes first (l2.md section 5).
"""

from __future__ import annotations

import signal

from twisted.trial.unittest import SynchronousTestCase

from tests.support.http import Connection, Response, request
from tests.support.l2 import PROTOCOL, Guest
from tests.support.l2case import SECRET, L2Case, cookie
from tests.support.metrics import metric, samples
from tests.support.server import Aero
from tests.support.websocket import WebSocket

#: What every refusal of rows 9 to 14 counts, and none before them.
REFUSED = "l2_upgrade_rejected_total"

HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)

CONNECTION = "Connection header did not include 'upgrade'"
UPGRADE = "`Upgrade` header did not include 'websocket'"
VERSION = "`Sec-WebSocket-Version` header did not include '13'"
KEY = "`Sec-WebSocket-Key` header missing"
STATE = "WebSocket request couldn't be upgraded since no upgrade state was present"
SUBPROTOCOL = 'missing required websocket subprotocol "aero-l2-tunnel-v1"'


class RefusalCase(L2Case):
    """
    Tests of what is said.
    """

    def says(self, response: Response, status: int, body: str, about: object = None) -> None:
        """
        A refusal is plain text, without a line feed.
        """
        self.assertEqual((response.status, response.body.decode()), (status, body), about)
        self.assertEqual(response.one("Content-Type"), "text/plain; charset=utf-8", about)
        self.assertEqual(response.one("Content-Length"), str(len(body)), about)

    def refused(
        self, server: Aero, status: int, body: str, *headers: tuple[str, str], **how: str
    ) -> None:
        """
        A request for a tunnel is refused.
        """
        with Guest(server, "/l2", *headers, **how) as guest:
            self.says(guest.response, status, body, (headers, how))

    def counts(
        self, server: Aero, name: str, status: int, body: str, *headers: tuple[str, str]
    ) -> None:
        """
        It is, and counts as that and as a refusal.
        """
        self.grows(server, lambda: self.refused(server, status, body, *headers), name, REFUSED)


class HandshakeTests(RefusalCase, SynchronousTestCase):
    """
    Rows 1 to 8: what is no handshake.
    """

    def bare(self, server: Aero, line: str, *headers: tuple[str, str]) -> Response:
        """
        The answer to a request of just these headers.
        """
        with Connection.to(server) as connection:
            lines = [line, "Host: localhost", *(f"{name}: {value}" for name, value in headers)]
            connection.send("\r\n".join([*lines, "", ""]).encode())
            return connection.response(line.split(" ")[0])

    def without(self, name: str) -> list[tuple[str, str]]:
        """
        A handshake without one header.
        """
        return [line for line in HANDSHAKE if line[0] != name]

    def test_order(self) -> None:
        """
        The first thing that is missing decides, whatever else is, and none of it is counted.
        """
        server = self.serve()
        get = "GET /l2 HTTP/1.1"
        before = metric(server, REFUSED)
        for count, body in enumerate((CONNECTION, UPGRADE, VERSION, KEY, SUBPROTOCOL)):
            self.says(self.bare(server, get, *HANDSHAKE[:count]), 400, body)
        for name, body in (
            ("Connection", CONNECTION),
            ("Upgrade", UPGRADE),
            ("Sec-WebSocket-Version", VERSION),
            ("Sec-WebSocket-Key", KEY),
        ):
            offer = ("Sec-WebSocket-Protocol", PROTOCOL)
            self.says(self.bare(server, get, *self.without(name), offer), 400, body)
        for name, value, body in (
            ("Connection", "keep-alive", CONNECTION),
            ("Upgrade", "h2c", UPGRADE),
            ("Sec-WebSocket-Version", "8", VERSION),
        ):
            self.says(self.bare(server, get, *self.without(name), (name, value)), 400, body)
        # Row 5 comes before row 6, and that before row 8.
        old = "GET /l2 HTTP/1.0"
        self.says(self.bare(server, old, *self.without("Sec-WebSocket-Key")), 400, KEY)
        self.says(self.bare(server, old, *HANDSHAKE), 426, STATE)
        head = self.bare(server, "HEAD /l2 HTTP/1.1", *HANDSHAKE)
        self.assertEqual(head.status, 405)
        self.assertEqual(head.one("Content-Length"), str(len("Request method must be `GET`")))
        self.assertEqual(self.bare(server, "POST /l2 HTTP/1.1", *HANDSHAKE).status, 405)
        self.assertEqual(metric(server, REFUSED), before)

    def test_spelling(self) -> None:
        """
        Names of protocols come in any case, C{Connection} among other words; the subprotocol is
        exact, and looked for in the first line only.
        """
        server = self.serve()
        for name, value in (
            ("Connection", "keep-alive, UPGRADE"),
            ("Upgrade", "WebSocket"),
            ("Sec-WebSocket-Protocol", f"other ,\t{PROTOCOL} "),
            ("Sec-WebSocket-Protocol", f"aero-l2-token.x,{PROTOCOL}"),
        ):
            given = PROTOCOL if name != "Sec-WebSocket-Protocol" else None
            guest = self.guest(server, "/l2", (name, value), protocols=given)
            self.assertEqual(guest.response.one("Sec-WebSocket-Protocol"), PROTOCOL)
        second = ("Sec-WebSocket-Protocol", PROTOCOL)
        for offered in (PROTOCOL.upper(), f"{PROTOCOL}x", "other"):
            with WebSocket(
                server, "/l2", ("Sec-WebSocket-Protocol", offered), second, cookie=None
            ) as socket:
                self.says(socket.response, 400, SUBPROTOCOL, offered)

    def test_shuttingDown(self) -> None:
        """
        A server that is about to end says so to every handshake, before it looks at what that
        offers, and to nothing else (row 7).
        """
        server = self.serve(AERO_DRAIN_DELAY_MS="60000")
        server.sendSignal(signal.SIGTERM)
        self.eventually(
            lambda: request(server, "GET", "/readyz").status == 503, "it is still ready"
        )
        get = "GET /l2 HTTP/1.1"
        self.refused(server, 503, "shutting down")
        self.says(self.bare(server, get, *HANDSHAKE), 503, "shutting down")
        self.says(self.bare(server, get), 400, CONNECTION)
        self.says(self.bare(server, get, *self.without("Sec-WebSocket-Key")), 400, KEY)
        self.assertEqual(metric(server, REFUSED), 0)


class PlaceTests(RefusalCase, SynchronousTestCase):
    """
    Rows 10 and 11: where a request comes from, and where it arrives.
    """

    def test_place(self) -> None:
        """
        The origin is looked at first, then the host; each has its words, and each failure its
        counter, alone.
        """
        server = self.closed(
            AERO_L2_AUTH_MODE="none",
            AERO_L2_ALLOWED_ORIGINS="https://app.test",
            AERO_L2_ALLOWED_HOSTS="allowed.test",
            AERO_L2_MAX_CONNECTIONS="0",
        )
        prefix = "l2_upgrade_reject"
        names = [
            *(f"{prefix}_origin_missing_total", f"{prefix}_origin_not_allowed_total"),
            *(f"{prefix}_host_{why}_total" for why in ("missing", "invalid", "not_allowed")),
        ]
        good, here = ("Origin", "https://app.test"), ("Host", "allowed.test")
        expected = dict.fromkeys(names, 0)
        for headers, name, body in (
            # The host is right.
            ([here], 0, "missing Origin header"),
            ([here, ("Origin", "  ")], 0, "missing Origin header"),
            ([here, ("Origin", "https://\xe4.test")], 0, "missing Origin header"),
            ([here, good, good], 1, "invalid Origin header: multiple values"),
            ([here, ("Origin", "\t app.test ")], 1, "invalid Origin header: app.test"),
            (
                [here, ("Origin", "HTTPS://Evil.test:443/")],
                1,
                "Origin not allowed: https://evil.test",
            ),
            ([here, ("Origin", "null")], 1, "Origin not allowed: null"),
            # The host is wrong as well, which comes second.
            ([("Host", "blocked.test")], 0, "missing Origin header"),
            ([("Host", "(none)")], 0, "missing Origin header"),
            (
                [("Host", "blocked.test"), ("Origin", "https://evil.test")],
                1,
                "Origin not allowed: https://evil.test",
            ),
            # The origin is right.
            ([good, ("Host", "(none)")], 2, "missing Host header"),
            ([good, ("Host", "allowed.test:abc")], 3, "malformed Host header"),
            ([good, ("Host", "allowed .test")], 3, "malformed Host header"),
            ([good, ("Host", "Blocked.test:443")], 4, "Host not allowed: blocked.test"),
            ([good, ("Host", "allowed.test:8443")], 4, "Host not allowed: allowed.test:8443"),
        ):
            expected[names[name]] += 1
            self.refused(server, 403, body, *headers)
            page = samples(server)
            self.assertEqual({name: page[name] for name in names}, expected, headers)
        self.assertEqual(metric(server, REFUSED), sum(expected.values()))
        self.guest(server, "/l2", good, here)
        self.guest(server, "/l2", good, ("Host", "ALLOWED.test:443"))


class LimitTests(RefusalCase, SynchronousTestCase):
    """
    Rows 12 to 14: how many tunnels there are.
    """

    def test_limits(self) -> None:
        """
        The limit on addresses comes before that of the process, and that before the one on
        sessions; each has its words and its counters, and none keeps anything of what the
        earlier ones gave.
        """
        server = self.closed(
            AERO_L2_AUTH_MODE="session",
            AERO_L2_OPEN="1",
            AERO_L2_ALLOWED_HOSTS="allowed.test",
            AERO_L2_MAX_CONNECTIONS="2",
            AERO_L2_MAX_CONNECTIONS_PER_IP="1",
            AERO_L2_MAX_CONNECTIONS_PER_SESSION="1",
            AERO_L2_TRUST_PROXY="1",
            SESSION_SECRET=SECRET,
        )

        def client(address: int, sid: str, host: str = "allowed.test") -> list[tuple[str, str]]:
            return [
                ("X-Forwarded-For", f"203.0.113.{address}"),
                ("Cookie", cookie(sid)),
                ("Host", host),
            ]

        perAddress = "max connections per ip exceeded"
        process = "max connections exceeded"
        perSession = "quota_connections: max connections per session exceeded"
        addresses = "l2_upgrade_ip_limit_exceeded_total"
        total = "l2_upgrade_reject_max_connections_total"
        sessions = (
            "l2_upgrade_reject_max_tunnels_per_session_total",
            "l2_upgrade_reject_max_connections_per_session_total",
            "l2_session_connection_denied_total",
        )
        self.guest(server, "/l2", *client(1, "a"))
        # Of the address and of the session there is one already.
        self.counts(server, addresses, 429, perAddress, *client(1, "a"))
        self.counts(server, addresses, 429, perAddress, *client(1, "b"))
        # Row 11 comes before row 12.
        self.counts(
            server,
            "l2_upgrade_reject_host_not_allowed_total",
            403,
            "Host not allowed: blocked.test",
            *client(1, "a", "blocked.test"),
        )
        for name in sessions:
            self.counts(server, name, 429, perSession, *client(2, "a"))
        self.assertEqual({metric(server, name) for name in sessions}, {len(sessions)})
        # What the last ones had passed before was given back: there is room for this one.
        self.guest(server, "/l2", *client(2, "b"))
        self.counts(server, addresses, 429, perAddress, *client(2, "a"))
        self.counts(server, total, 429, process, *client(3, "a"))
        self.counts(server, total, 429, process, *client(3, "c"))
        self.assertEqual(metric(server, addresses), 3)
        self.assertEqual(metric(server, total), 2)
        self.assertEqual({metric(server, name) for name in sessions}, {len(sessions)})
        self.assertEqual(metric(server, REFUSED), 9)
        self.assertEqual(metric(server, "l2_auth_failures_total"), 0)
