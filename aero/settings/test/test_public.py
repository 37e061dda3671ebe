"""
Tests for the limits of a public domain.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.settings import GROUPS, Settings, load, rowsOf

#: Numbers that may be 0 on a public domain, because none of them is a limit on what a stranger
#: may use.
NO_LIMITS = {
    "AERO_DRAIN_DELAY_MS",  # the operator's own time
    "AERO_HSTS_MAX_AGE",  # a header
    "AERO_DNS_SERVE_STALE_SECONDS",  # answers that cost nothing
    "AERO_L2_PING_INTERVAL_MS",  # pings of the server
    "AERO_L2_IDLE_TIMEOUT_MS",  # silent guests are found by WebSocket pings, which it turns off
    "WEBRTC_UDP_PORT_MIN",  # any port
    "WEBRTC_UDP_PORT_MAX",
    "WEBRTC_DATACHANNEL_MAX_MESSAGE_BYTES",  # 0 is computed
    "WEBRTC_SCTP_MAX_RECEIVE_BUFFER_BYTES",
}


class PublicDomainTests(SynchronousTestCase):
    """
    Strangers come to a public domain.
    """

    def test_everyLimitIsFinite(self) -> None:
        """
        No number is 0, which means "no limit", except where it is not a limit.
        """
        settings = load({}, {"AERO_DOMAIN": "emu.example.com"})
        for attribute, cls in GROUPS.items():
            for row in rowsOf(cls):
                value = getattr(getattr(settings, attribute), row.field)
                if type(value) in (int, float) and row.variable not in NO_LIMITS:
                    self.assertGreater(value, 0, row.variable)

    def test_internalNames(self) -> None:
        """
        An internal name, an address and C{localhost} keep what they had.
        """
        usual = Settings()
        for name in ("localhost", "emu.home.arpa", "emu.local", "192.0.2.7"):
            settings = load({}, {"AERO_DOMAIN": name})
            for attribute in ("http", "tcp", "l2", "lan", "signal", "udp"):
                self.assertEqual(getattr(settings, attribute), getattr(usual, attribute), name)

    def test_operatorWins(self) -> None:
        """
        An operator may still take a limit away, and set another.
        """
        environ = {
            "AERO_DOMAIN": "emu.example.com",
            "AERO_L2_MAX_CONNECTIONS_PER_IP": "0",
            "MAX_UDP_PPS_PER_SESSION": "77",
        }
        settings = load({}, environ)
        self.assertEqual((settings.l2.maxConnectionsPerIP, settings.udp.maxPPS), (0, 77))
