"""
Who gets a tunnel: paths, origins, hosts and limits (l2.md section 20.2).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.l2 import ARP_REPLY, PROTOCOL, Guest
from tests.support.l2case import JWT_SECRET, KEY, SECRET, L2Case, cookie, jsonWebToken
from tests.support.metrics import metric
from tests.support.server import Aero

NONE = {"AERO_L2_AUTH_MODE": "none", "AERO_L2_MAX_CONNECTIONS": "0"}


class PathTests(L2Case, SynchronousTestCase):
    """
    The four paths (S1, S2, S6, S28).
    """

    def test_paths(self) -> None:
        """
        Each path needs the subprotocol, and carries a tunnel; in the open mode without an Origin.
        """
        server = self.serve()
        for path in ("/l2", "/l2/", "/eth", "/eth/"):
            with Guest(server, path, protocols=None) as guest:
                self.assertEqual(guest.response.status, 400)
                self.assertEqual(
                    guest.body, 'missing required websocket subprotocol "aero-l2-tunnel-v1"'
                )
            guest = self.guest(server, path)
            self.assertEqual(guest.response.one("Sec-WebSocket-Protocol"), PROTOCOL)
            self.assertEqual(guest.response.all("Sec-WebSocket-Extensions"), [])
            self.assertEqual(guest.arp(), ARP_REPLY)
        self.assertEqual(self.status(server, "/l2/x"), 404)
        self.assertEqual(self.status(server, "/L2"), 404)

    def test_close(self) -> None:
        """
        A client that closes sees the end, with its own code (S29, W37).
        """
        guest = self.guest(self.serve())
        self.assertEqual(guest.close(1000).code, 1000)


class OriginTests(L2Case, SynchronousTestCase):
    """
    Origins where they are checked.
    """

    def test_any(self) -> None:
        """
        A star takes every origin that is one, and no request without one (S3, S4, S7).
        """
        server = self.closed(AERO_L2_ALLOWED_ORIGINS="*", **NONE)
        name = "l2_upgrade_reject_origin_missing_total"
        self.grows(server, lambda: self.assertEqual(self.status(server), 403), name)
        self.assertEqual(self.status(server, origin="https://evil.test"), 101)
        for origin in ("https://evil.test/path", "https://evil.com?", "https://[example.com]"):
            with Guest(server, origin=origin) as guest:
                self.assertEqual(guest.response.status, 403)
                self.assertEqual(guest.body, f"invalid Origin header: {origin}")
        twice = (("Origin", "https://a.test"), ("Origin", "https://a.test"))
        with Guest(server, "/l2", *twice) as guest:
            self.assertEqual(guest.response.status, 403)
            self.assertEqual(guest.body, "invalid Origin header: multiple values")

    def test_list(self) -> None:
        """
        A list is compared after both sides are normalised (S5); without a list it is the host.
        """
        server = self.closed(AERO_L2_ALLOWED_ORIGINS="HTTPS://ALLOWED.TEST:443/", **NONE)
        self.assertEqual(self.status(server, origin="https://allowed.test"), 101)
        self.grows(
            server,
            lambda: self.assertEqual(self.status(server, origin="https://blocked.test"), 403),
            "l2_upgrade_reject_origin_not_allowed_total",
            "l2_upgrade_rejected_total",
        )
        server.kill()
        server = self.closed(**NONE)
        own = f"localhost:{server.port}"
        self.assertEqual(self.status(server, origin=f"http://{own}"), 101)
        self.assertEqual(self.status(server, origin="http://localhost:1"), 403)
        self.assertEqual(self.status(server, origin="null"), 403)

    def test_names(self) -> None:
        """
        The list of all services is used where the tunnel's own is absent, empty or holds nothing
        (S8), and the extra list adds to either (S9).
        """
        for own in ({}, {"AERO_L2_ALLOWED_ORIGINS": ""}, {"AERO_L2_ALLOWED_ORIGINS": ",,"}):
            server = self.closed(
                ALLOWED_ORIGINS="https://base.test",
                AERO_L2_ALLOWED_ORIGINS_EXTRA=",https://extra.test",
                **NONE | own,
            )
            for origin, status in (
                ("https://base.test", 101),
                ("https://extra.test", 101),
                ("https://other.test", 403),
            ):
                self.assertEqual(self.status(server, origin=origin), status, (own, origin))
            server.kill()


class HostTests(L2Case, SynchronousTestCase):
    """
    The list of hosts.
    """

    def test_hosts(self) -> None:
        """
        The host has to be listed, well-formed and there (S23); a proxy is not believed (S24).
        """
        server = self.serve(AERO_L2_ALLOWED_HOSTS="allowed.test")
        for host, status, name in (
            ("allowed.test:80", 101, ""),
            ("blocked.test", 403, "l2_upgrade_reject_host_not_allowed_total"),
            ("allowed.test:abc", 403, "l2_upgrade_reject_host_invalid_total"),
            ("(none)", 403, "l2_upgrade_reject_host_missing_total"),
        ):
            before = metric(server, name) if name else 0
            self.assertEqual(self.status(server, "/l2", ("Host", host)), status, host)
            if name:
                self.assertEqual(metric(server, name), before + 1, host)
        forwarded = ("X-Forwarded-Host", "allowed.test")
        self.assertEqual(self.status(server, "/l2", ("Host", "bad.test"), forwarded), 403)

    def test_proxy(self) -> None:
        """
        A proxy is believed where the operator says so (S24).
        """
        server = self.serve(
            AERO_L2_ALLOWED_HOSTS="allowed.test",
            AERO_L2_TRUST_PROXY_HOST="1",
        )
        bad = ("Host", "bad.test")
        self.assertEqual(self.status(server, "/l2", bad), 403)
        for lines in (
            (("X-Forwarded-Host", "allowed.test:443"), ("X-Forwarded-Proto", "https")),
            (("Forwarded", 'for=203.0.113.1;host="allowed.test:443";proto="https"'),),
        ):
            self.assertEqual(self.status(server, "/l2", bad, *lines), 101, lines)


class LimitTests(L2Case, SynchronousTestCase):
    """
    How many tunnels there may be, and that each is given back.
    """

    def retries(self, server: Aero, *arguments: str, **options: str) -> None:
        """
        Soon there is a tunnel again.
        """
        self.eventually(lambda: self.status(server, *arguments, **options) == 101, "no tunnel")

    def test_process(self) -> None:
        """
        One for the process (S25).
        """
        server = self.serve(AERO_L2_MAX_CONNECTIONS="1")
        first = self.guest(server)
        name = "l2_upgrade_reject_max_connections_total"
        self.grows(server, lambda: self.assertEqual(self.status(server), 429), name)
        first.close()
        self.retries(server)

    def test_session(self) -> None:
        """
        One for a session, of a cookie or a token, by the newer and the older name (S26).
        """
        counters = (
            "l2_upgrade_reject_max_connections_per_session_total",
            "l2_upgrade_reject_max_tunnels_per_session_total",
            "l2_session_connection_denied_total",
        )
        for name in ("AERO_L2_MAX_CONNECTIONS_PER_SESSION", "AERO_L2_MAX_TUNNELS_PER_SESSION"):
            server = self.closed(
                AERO_L2_AUTH_MODE="cookie_or_jwt",
                AERO_L2_OPEN="1",
                AERO_L2_JWT_SECRET=JWT_SECRET,
                SESSION_SECRET=SECRET,
                **{name: "1"},
            )
            first = self.guest(server, cookie=cookie("a"))
            self.assertEqual(self.status(server, cookie=cookie("b")), 101)
            with Guest(server, f"/l2?token={jsonWebToken('a')}") as second:
                self.assertEqual(second.response.status, 429)
                self.assertTrue(second.body.startswith("quota_connections"))
            refused = lambda: self.assertEqual(  # noqa: E731
                self.status(server, cookie=cookie("a")),  # noqa: B023
                429,
            )
            self.grows(server, refused, *counters)
            first.close()
            self.retries(server, cookie=cookie("a"))
            server.kill()

    def test_address(self) -> None:
        """
        One for a client address, which a trusted proxy tells (S27).
        """
        server = self.serve(AERO_L2_MAX_CONNECTIONS_PER_IP="1", AERO_L2_TRUST_PROXY="1")
        first = self.guest(server, "/l2", ("X-Forwarded-For", "203.0.113.1"))
        self.guest(server, "/l2", ("X-Forwarded-For", "203.0.113.2"))
        self.guest(server, "/l2", ("Forwarded", "for=203.0.113.3"))
        again = ("Forwarded", "for=203.0.113.1")
        self.grows(
            server,
            lambda: self.assertEqual(self.status(server, "/l2", again), 429),
            "l2_upgrade_ip_limit_exceeded_total",
        )
        first.close()
        self.eventually(lambda: self.status(server, "/l2", again) == 101, "no tunnel")


class OrderTests(L2Case, SynchronousTestCase):
    """
    Which refusal comes first (S20, S21, S22).
    """

    def test_order(self) -> None:
        """
        Credentials are looked at before the origin, and each failure is counted as what it is.
        """
        server = self.closed(AERO_L2_AUTH_MODE="token", AERO_L2_API_KEY=KEY)
        for target, status, name, label in (
            ("/l2", 401, "l2_upgrade_reject_auth_missing_total", "missing_credentials"),
            ("/l2?token=x", 401, "l2_upgrade_reject_auth_invalid_total", "invalid_api_key"),
        ):
            before = metric(server, "l2_auth_reject_total", reason=label)
            refused = lambda: self.assertEqual(self.status(server, target), status)  # noqa: B023, E731
            self.grows(server, refused, name, "l2_auth_failures_total")
            self.assertEqual(
                metric(server, "l2_auth_reject_total", reason=label), before + 1, label
            )
        self.assertEqual(self.status(server, f"/l2?token={KEY}"), 403)
        own = f"http://localhost:{server.port}"
        self.assertEqual(self.status(server, f"/l2?token={KEY}", origin=own), 101)
