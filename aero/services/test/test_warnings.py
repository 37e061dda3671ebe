"""
Tests for L{aero.services.warnings} (relay.md sections 15.3 and 20.12).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.log import SecurityWarning
from aero.services.warnings import gatewayWarnings, relayWarnings
from aero.settings import load

#: Settings of a relay that nothing is to be said about.
SAFE = {
    "AERO_SERVICES": "relay",
    "AERO_WEBRTC_UDP_RELAY_MODE": "prod",
    "API_KEY": "k",
    "L2_BACKEND_AUTH_FORWARD_MODE": "subprotocol",
    "MAX_SESSIONS": "10",
}


class RelayWarningsTests(SynchronousTestCase):
    """
    Each warning for its own reason.
    """

    isLocal = False

    def warnings(self, **environ: str) -> list[SecurityWarning]:
        """
        The warnings about a relay.
        """
        return list(relayWarnings(load({}, SAFE | environ), isLocal=self.isLocal))

    def test_safe(self) -> None:
        """
        Safe settings say nothing.
        """
        self.assertEqual(self.warnings(), [])

    def test_each(self) -> None:
        """
        Each setting has its warning, with the reference's code and fields.
        """
        cases: list[tuple[dict[str, str], str, dict[str, object]]] = [
            (
                {"UDP_INBOUND_FILTER_MODE": "any"},
                "udp_inbound_filter_mode_any",
                {"udp_inbound_filter_mode": "any"},
            ),
            ({"AUTH_MODE": "none"}, "auth_mode_none", {"auth_mode": "none"}),
            ({"ALLOWED_ORIGINS": "*"}, "allowed_origins_wildcard", {"allowed_origins": "*"}),
            (
                {"DESTINATION_POLICY_PRESET": "dev"},
                "destination_policy_preset_dev",
                {
                    "destination_policy_preset": "dev",
                    "allow_private_networks": True,
                    "default_allow": True,
                },
            ),
            (
                {"ALLOW_PRIVATE_NETWORKS": "true"},
                "allow_private_networks_in_prod",
                {
                    "destination_policy_preset": "prod",
                    "allow_private_networks": True,
                    "default_allow": False,
                },
            ),
            ({"MAX_SESSIONS": "0"}, "max_sessions_unlimited_in_prod", {"max_sessions": 0}),
            (
                {"WEBRTC_DATACHANNEL_MAX_MESSAGE_BYTES": "2097152"},
                "webrtc_datachannel_max_message_large",
                {"webrtc_datachannel_max_message_bytes": 2_097_152},
            ),
            (
                {"WEBRTC_SCTP_MAX_RECEIVE_BUFFER_BYTES": "16777216"},
                "webrtc_sctp_max_receive_buffer_large",
                {"webrtc_sctp_max_receive_buffer_bytes": 16_777_216},
            ),
            (
                {"WEBRTC_SESSION_CONNECT_TIMEOUT": "10m"},
                "webrtc_session_connect_timeout_large",
                {"webrtc_session_connect_timeout": 600.0},
            ),
            (
                {"L2_BACKEND_AUTH_FORWARD_MODE": "query"},
                "l2_backend_auth_forward_mode_query",
                {
                    "l2_backend_ws_url_set": False,
                    "l2_backend_ws_host": "",
                    "l2_backend_auth_forward_mode": "query",
                    "auth_mode": "api_key",
                },
            ),
        ]
        for environ, code, fields in cases:
            (warning,) = self.warnings(**environ)
            self.assertEqual(warning.code, code)
            self.assertEqual(warning.fields, {"mode": "prod", **fields})

    def test_order(self) -> None:
        """
        They come in the reference's order.
        """
        found = self.warnings(
            UDP_INBOUND_FILTER_MODE="any",
            AUTH_MODE="none",
            ALLOWED_ORIGINS="*",
            DESTINATION_POLICY_PRESET="dev",
            MAX_SESSIONS="",
        )
        self.assertEqual(
            [warning.code for warning in found],
            [
                "udp_inbound_filter_mode_any",
                "auth_mode_none",
                "allowed_origins_wildcard",
                "destination_policy_preset_dev",
                "max_sessions_unlimited_in_prod",
            ],
        )

    def test_dev(self) -> None:
        """
        The mode dev expects no limit of sessions and private networks.
        """
        dev = {"AERO_WEBRTC_UDP_RELAY_MODE": "dev"}
        self.assertEqual(self.warnings(MAX_SESSIONS="", ALLOW_PRIVATE_NETWORKS="1", **dev), [])

    def test_backend(self) -> None:
        """
        A backend is named by its host alone.
        """
        url = "wss://backend.example:8443/l2?token=secret"
        (warning,) = self.warnings(L2_BACKEND_WS_URL=url, L2_BACKEND_AUTH_FORWARD_MODE="query")
        self.assertEqual(warning.fields["l2_backend_ws_host"], "backend.example:8443")

    def test_local(self) -> None:
        """
        A relay that only this machine reaches may be open.
        """
        self.isLocal = True
        self.assertEqual(self.warnings(AUTH_MODE="none"), [])

    def test_besideOthers(self) -> None:
        """
        Beside other services nothing is said of a backend that does not exist.
        """
        settings = load({}, {"AERO_DOMAIN": "example.com", "MAX_SESSIONS": "5"})
        self.assertEqual(list(relayWarnings(settings, isLocal=False)), [])


class GatewayWarningsTests(SynchronousTestCase):
    """
    The rest of the process.
    """

    isPublic = True

    def codes(self, **environ: str) -> list[str]:
        """
        The codes of the warnings.
        """
        found = gatewayWarnings(load({}, environ), isPublic=self.isPublic)
        return [warning.code for warning in found]

    def test_each(self) -> None:
        """
        Each setting has its warning, and the defaults have none.
        """
        self.assertEqual(self.codes(), [])
        for environ, code in (
            ({"TCP_ALLOW_PRIVATE_IPS": "1"}, "tcp_allow_private_ips"),
            ({"ALLOWED_ORIGINS": "*", "AERO_SERVICES": "gateway"}, "allowed_origins_wildcard"),
            ({"AERO_SESSIONS_PER_MINUTE_PER_IP": "0"}, "sessions_unlimited"),
            ({"AERO_UPGRADES_PER_MINUTE_PER_IP": "0"}, "upgrades_unlimited"),
            ({"AERO_LOG_FULL_ADDRESSES": "1"}, "log_full_addresses"),
        ):
            self.assertEqual(self.codes(**environ), [code])

    def test_saidOnce(self) -> None:
        """
        What the relay says already is not said again.
        """
        self.assertEqual(self.codes(ALLOWED_ORIGINS="*"), [])

    def test_internal(self) -> None:
        """
        What only matters to strangers is not said where there are none.
        """
        self.isPublic = False
        self.assertEqual(self.codes(AERO_UPGRADES_PER_MINUTE_PER_IP="0"), [])
