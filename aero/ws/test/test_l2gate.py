"""
Tests for L{aero.ws.l2gate}: l2.md section 5, row by row.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import CounterRow
from aero.metrics import l2 as rows

from .l2fixtures import PROTOCOL, L2Rig


class OrderTests(SynchronousTestCase):
    """
    The first check that fails answers, with the reference's words and nothing after them.
    """

    def counted(self, rig: L2Rig) -> dict[str, float]:
        """
        The counters of refusals that are not zero.
        """
        return {
            row.name: rig.metrics.value(row)
            for row in vars(rows).values()
            if isinstance(row, CounterRow) and not row.labels and rig.metrics.value(row)
        }

    def test_handshake(self) -> None:
        """
        A handshake that is none is told so before anything else, also while draining.
        """
        rig = L2Rig("token")
        rig.stopping = True
        self.assertEqual(
            rig.refusal(Sec_WebSocket_Version=b"8"),
            (400, b"`Sec-WebSocket-Version` header did not include '13'"),
        )
        self.assertEqual(
            rig.refusal(Sec_WebSocket_Key=None), (400, b"`Sec-WebSocket-Key` header missing")
        )
        self.assertEqual(self.counted(rig), {})

    def test_draining(self) -> None:
        """
        A process that stops takes no tunnel, from the moment it says so.
        """
        rig = L2Rig("token")
        rig.stopping = True
        self.assertEqual(rig.refusal(Sec_WebSocket_Protocol=None), (503, b"shutting down"))
        rig.stopping = False
        rig.l2gate.draining = True
        self.assertEqual(rig.refusal(), (503, b"shutting down"))
        self.assertEqual(self.counted(rig), {})

    def test_subprotocol(self) -> None:
        """
        Without the tunnel's subprotocol in the first line there is no tunnel.
        """
        rig = L2Rig("token")
        expected = (400, b'missing required websocket subprotocol "aero-l2-tunnel-v1"')
        for offered in (
            None,
            b"aero-l2-tunnel-v2",
            b"AERO-L2-TUNNEL-V1",
            b"aero-l2-token.sekrit",
            [b"other", PROTOCOL],
        ):
            self.assertEqual(rig.refusal(Sec_WebSocket_Protocol=offered), expected, offered)
        self.assertEqual(self.counted(rig), {})

    def test_authentication(self) -> None:
        """
        Credentials come before the origin; each failure counts as what it was.
        """
        rig = L2Rig("token", origins=["https://a.test"], allowedHosts=("h.test",))
        self.assertEqual(rig.refusal(), (401, b"invalid token"))
        self.assertEqual(
            self.counted(rig),
            {
                "l2_upgrade_rejected_total": 1,
                "l2_auth_failures_total": 1,
                "l2_upgrade_reject_auth_missing_total": 1,
            },
        )
        self.assertEqual(rig.refusal(target=b"/l2?token=wrong"), (401, b"invalid token"))
        self.assertEqual(rig.metrics.value(rows.REJECT_AUTH_INVALID), 1)
        self.assertEqual(rig.metrics.value(rows.AUTH_REJECT, "missing_credentials"), 1)
        self.assertEqual(rig.metrics.value(rows.AUTH_REJECT, "invalid_api_key"), 1)

    def test_origin(self) -> None:
        """
        Then the origin, then the host.
        """
        rig = L2Rig("token", origins=["https://a.test"], allowedHosts=("h.test",))
        target = b"/l2?token=sekrit"
        self.assertEqual(rig.refusal(target=target), (403, b"missing Origin header"))
        self.assertEqual(
            self.counted(rig),
            {"l2_upgrade_rejected_total": 1, "l2_upgrade_reject_origin_missing_total": 1},
        )
        self.assertEqual(
            rig.refusal(target=target, Origin=b"https://b.test"),
            (403, b"Origin not allowed: https://b.test"),
        )
        self.assertEqual(
            rig.refusal(target=target, Origin=b"https://a.test"),
            (403, b"Host not allowed: example.com"),
        )
        self.assertEqual(rig.metrics.value(rows.REJECT_ORIGIN_NOT_ALLOWED), 1)
        self.assertEqual(rig.metrics.value(rows.REJECT_HOST_NOT_ALLOWED), 1)
        client = rig.guest(target, Origin=b"https://a.test", Host=b"H.test:443")
        self.assertEqual(client.status, 101)

    def test_open(self) -> None:
        """
        Open means every origin and none; credentials and hosts are asked for all the same (S20).
        """
        rig = L2Rig("token", allowedHosts=("h.test",))
        self.assertEqual(rig.refusal()[0], 401)
        self.assertEqual(rig.refusal(target=b"/l2?token=sekrit")[0], 403)
        self.assertEqual(rig.guest(b"/l2?token=sekrit", Host=b"h.test").status, 101)

    def test_sameHost(self) -> None:
        """
        Without a list the page has to come from this host.
        """
        rig = L2Rig(origins=[])
        self.assertEqual(rig.guest(Origin=b"https://example.com").status, 101)
        self.assertEqual(rig.guest(Origin=b"https://example.com:443").status, 101)
        self.assertEqual(rig.refusal(Origin=b"https://other.test")[0], 403)
        self.assertEqual(rig.refusal(Origin=b"null")[0], 403)

    def test_limits(self) -> None:
        """
        Limits on connections come last, and a refusal holds nothing.
        """
        rig = L2Rig("session", maxConnections=1)
        first = rig.guest(Cookie=rig.cookie)
        self.assertEqual(first.status, 101)
        self.assertEqual(rig.refusal(), (401, b"missing or expired session"))
        for _ in range(3):
            self.assertEqual(
                rig.refusal(Cookie=rig.newCookie()), (429, b"max connections exceeded")
            )
        first.lose()
        self.assertEqual(rig.guest(Cookie=rig.cookie).status, 101)

    def test_rate(self) -> None:
        """
        The rate of upgrades of the whole server holds here too, before credentials are looked at,
        and so do the addresses that get no tunnel.
        """
        rig = L2Rig("token", gate={"upgradesPerMinutePerIP": 2})
        self.assertEqual([rig.refusal()[0] for _ in range(4)], [401, 401, 429, 429])
        rig = L2Rig(gate={"blockedClients": ["198.51.100.7"]})
        self.assertEqual(rig.refusal()[0], 403)


class ProxyTests(SynchronousTestCase):
    """
    What proxies say is believed where they are trusted, and only there.
    """

    def test_addresses(self) -> None:
        """
        Each client of a trusted proxy has its own share (S27).
        """
        for name, form in (("Forwarded", b"for=%s"), ("X_Forwarded_For", b"%s")):
            rig = L2Rig(trust=True, maxConnectionsPerIP=1)
            for address in (b"203.0.113.1", b"203.0.113.2"):
                self.assertEqual(rig.guest(**{name: form % address}).status, 101, address)
            refused = rig.refusal(**{name: form % b"203.0.113.1"})
            self.assertEqual(refused, (429, b"max connections per ip exceeded"))
            self.assertEqual(rig.metrics.value(rows.REJECT_PER_IP), 1)
            self.assertEqual(rig.lans.last.peer.address, "203.0.113.2")

    def test_untrusted(self) -> None:
        """
        Nobody can get out of its share by a header.
        """
        rig = L2Rig(maxConnectionsPerIP=1)
        self.assertEqual(rig.guest(Forwarded=b"for=203.0.113.1").status, 101)
        self.assertEqual(rig.refusal(Forwarded=b"for=203.0.113.2")[0], 429)

    def test_hosts(self) -> None:
        """
        The host that a proxy names counts where the operator believes it (S24).
        """
        named = {"X_Forwarded_Host": b"allowed.test:443", "X_Forwarded_Proto": b"https"}
        forwarded = {
            "Forwarded": b'for=203.0.113.1;host="allowed.test:443";proto="https"',
        }
        for headers in (named, forwarded):
            for trust, trustHost, status in (
                (True, True, 101),
                (True, False, 403),
                (False, True, 101),
                (False, False, 403),
            ):
                rig = L2Rig(trust=trust, trustProxyHost=trustHost, allowedHosts=("allowed.test",))
                self.assertEqual(rig.guest(Host=b"bad.test", **headers).status, status)

    def test_sameHost(self) -> None:
        """
        Behind a proxy that rewrites the host, a page of the public name is of the same host (W48).
        """
        headers = {"X_Forwarded_Host": b"public.test", "Host": b"internal:8090"}
        rig = L2Rig(origins=[], trust=True, trustProxyHost=True)
        self.assertEqual(rig.guest(Origin=b"https://public.test", **headers).status, 101)
        rig = L2Rig(origins=[], trust=True)
        self.assertEqual(rig.guest(Origin=b"https://public.test", **headers).status, 403)
