"""
Tests for L{aero.settings.relaychecks}, and for the relay's rows (relay.md sections 16 and 20.12).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.settings import Settings, load
from aero.settings.relaychecks import checkRelay, maxMessageBytes, maxReceiveBuffer


def relay(**environ: str) -> Settings:
    """
    The settings of a relay that runs alone, with a key unless they say otherwise.
    """
    return load({}, {"AERO_SERVICES": "relay", "API_KEY": "k"} | environ)


class RelaySettingsCase(SynchronousTestCase):
    """
    Settings, and what is wrong with them.
    """

    def wrong(self, **environ: str) -> str:
        """
        How settings are refused.
        """
        error = self.assertRaises(ConfigurationError, lambda: checkRelay(relay(**environ)))
        return str(error)

    def good(self, **environ: str) -> Settings:
        """
        Settings that are accepted.
        """
        settings = relay(**environ)
        checkRelay(settings)
        return settings


class DefaultsTests(RelaySettingsCase):
    """
    What holds where little is said.
    """

    def test_onlyAKey(self) -> None:
        """
        With a key alone everything has the reference's default.
        """
        settings = self.good()
        udp, signal, webrtc = settings.udp, settings.signal, settings.webrtc
        self.assertEqual(settings.relay.authMode, "api_key")
        self.assertEqual(signal.relayListen, ("127.0.0.1", 8080))
        self.assertEqual((signal.authTimeout, signal.signalIdle, signal.signalPing), (2, 60, 20))
        self.assertEqual((signal.maxSignalBytes, signal.maxSignalRate), (65_536, 50))
        self.assertEqual((signal.maxRelaySessions, signal.preallocationTTL), (0, 60))
        self.assertEqual((signal.gatheringTimeout, signal.relayShutdown), (2, 15))
        self.assertEqual((udp.udpIdle, udp.udpPing), (60, 20))
        self.assertEqual((udp.maxPayload, udp.readBuffer, udp.sendQueue), (1_200, 1_201, 1_048_576))
        self.assertEqual((udp.maxBindings, udp.bindingIdle, udp.remoteIdle), (128, 300, 300))
        self.assertEqual((udp.maxRemotes, udp.inboundFilter), (1_024, "address_and_port"))
        self.assertEqual((udp.maxPPS, udp.maxBPS, udp.maxClientBPS), (0, 0, 0))
        self.assertEqual((udp.maxDestinationBuckets, udp.maxUniqueDestinations), (1_024, 0))
        self.assertEqual((udp.hardCloseAfter, udp.violationWindow, udp.preferV2), (0, 10, False))
        self.assertEqual((udp.preset, udp.allowPrivateNetworks), ("prod", False))
        self.assertEqual((webrtc.listenIP, webrtc.portMin, webrtc.portMax), ("0.0.0.0", 0, 0))
        self.assertEqual((webrtc.connectTimeout, webrtc.nat1To1Type), (30, "host"))
        self.assertEqual(maxMessageBytes(settings), 4_352)
        self.assertEqual(maxReceiveBuffer(settings), 1_048_576)
        self.assertEqual(
            (settings.bridge.backendURL, settings.bridge.forwardOrigin), ("off", False)
        )
        self.assertEqual((settings.server.relayMode, settings.server.logFormat), ("dev", "text"))

    def test_nothing(self) -> None:
        """
        Without anything the key is missed.
        """
        self.assertIn("API_KEY", self.wrong(API_KEY=""))
        self.assertIn("JWT_SECRET", self.wrong(AUTH_MODE="jwt"))
        self.good(AUTH_MODE="NONE", API_KEY=" ")
        self.good(AUTH_MODE="Jwt", JWT_SECRET="s")

    def test_emptyIsUnset(self) -> None:
        """
        Variables that are set to nothing count as unset, as test harnesses set them.
        """
        names = """
            AUTH_MODE PREFER_V2 UDP_WS_IDLE_TIMEOUT MAX_SESSIONS SESSION_PREALLOC_TTL
            UDP_INBOUND_FILTER_MODE DESTINATION_POLICY_PRESET ALLOW_UDP_CIDRS DENY_UDP_PORTS
            WEBRTC_UDP_PORT_MIN WEBRTC_UDP_LISTEN_IP L2_BACKEND_WS_URL ALLOW_PRIVATE_NETWORKS
            WEBRTC_NAT_1TO1_IPS HARD_CLOSE_AFTER_VIOLATIONS AERO_ICE_SERVERS_JSON
        """
        self.assertEqual(self.good(**dict.fromkeys(names.split(), "")), self.good())

    def test_gatewayAndRelay(self) -> None:
        """
        Beside the gateway nothing is missed: open on an internal name, tokens on a public one.
        """
        for domain, mode in (("localhost", "none"), ("example.com", "jwt")):
            settings = load({}, {"AERO_DOMAIN": domain})
            checkRelay(settings)
            self.assertEqual(settings.relay.authMode, mode)
        self.assertEqual(settings.server.relayMode, "prod")
        error = self.assertRaises(
            ConfigurationError,
            lambda: checkRelay(load({}, {"UDP_RELAY_AUTH_MODE": "api_key"})),
        )
        self.assertIn("UDP_RELAY_API_KEY", str(error))
        elsewhere = {"UDP_RELAY_AUTH_MODE": "jwt", "UDP_RELAY_BASE_URL": "https://r.example"}
        error = self.assertRaises(ConfigurationError, lambda: checkRelay(load({}, elsewhere)))
        self.assertIn("UDP_RELAY_JWT_SECRET", str(error))

    def test_mode(self) -> None:
        """
        The mode prod logs JSON unless something else is said.
        """
        prod = {"AERO_WEBRTC_UDP_RELAY_MODE": "production"}
        self.assertEqual(self.good(**prod).server.logFormat, "json")
        prod["AERO_WEBRTC_UDP_RELAY_LOG_FORMAT"] = "text"
        self.assertEqual(self.good(**prod).server.logFormat, "text")
        found = self.good(AERO_WEBRTC_UDP_RELAY_LOG_LEVEL="warning")
        self.assertEqual(found.server.logLevel, "warn")


class RowTests(RelaySettingsCase):
    """
    Single rows, and those that follow from others.
    """

    def test_destinationBuckets(self) -> None:
        """
        As many rates are remembered as destinations are allowed, unless said otherwise.
        """
        unique = {"MAX_UNIQUE_DESTINATIONS_PER_SESSION": "123"}
        self.assertEqual(self.good(**unique).udp.maxDestinationBuckets, 123)
        buckets = {"MAX_UDP_DEST_BUCKETS_PER_SESSION": "7"}
        self.assertEqual(self.good(**unique, **buckets).udp.maxDestinationBuckets, 7)

    def test_options(self) -> None:
        """
        An option beats its variable.
        """
        environ = {"AERO_SERVICES": "relay", "API_KEY": "k", "SESSION_PREALLOC_TTL": "5s"}
        self.assertEqual(load({}, environ).signal.preallocationTTL, 5)
        given = {"session-prealloc-ttl": "10s", "max-allowed-remotes-per-binding": "10"}
        environ["MAX_ALLOWED_REMOTES_PER_BINDING"] = "30"
        found = load(given, environ)
        self.assertEqual((found.signal.preallocationTTL, found.udp.maxRemotes), (10, 10))

    def test_refused(self) -> None:
        """
        Values that are not accepted are named.
        """
        for name, *values in (
            ("SESSION_PREALLOC_TTL", "0s", "x"),
            ("UDP_BINDING_IDLE_TIMEOUT", "0s", "-1s", "60s", "1m59s"),
            ("UDP_REMOTE_ALLOWLIST_IDLE_TIMEOUT", "nope", "0s", "-1s"),
            ("MAX_ALLOWED_REMOTES_PER_BINDING", "nope", "0"),
            ("UDP_INBOUND_FILTER_MODE", "some"),
            ("WEBRTC_UDP_LISTEN_IP", "bad.ip"),
            ("WEBRTC_NAT_1TO1_IPS", "203.0.113.10,x"),
            ("WEBRTC_NAT_1TO1_IP_CANDIDATE_TYPE", "other"),
            ("L2_BACKEND_WS_URL", "http://a/l2", "ws:///l2", "ws://u@a/l2"),
            ("L2_BACKEND_ORIGIN", "https://a/path"),
            ("DESTINATION_POLICY_PRESET", "maybe"),
            ("ALLOW_UDP_CIDRS", "10.0.0.1", "x/8"),
            ("DENY_UDP_PORTS", "0", "5-4", "65536"),
            ("PREFER_V2", "yes"),
            ("AUTH_MODE", "basic"),
            ("ALLOWED_ORIGINS", "ftp://example.com", "https://example.com/path", "https://u@a.b"),
            ("MAX_DATAGRAM_PAYLOAD_BYTES", "0"),
            ("AERO_WEBRTC_UDP_RELAY_LISTEN_ADDR", "nowhere"),
        ):
            for value in values:
                self.assertIn(name, self.wrong(**{name: value}), value)

    def test_secretsAreNotTold(self) -> None:
        """
        A token that is no token is named without being repeated.
        """
        for token in ("not a token", "abc,def"):
            text = self.wrong(L2_BACKEND_WS_TOKEN=token)
            self.assertIn("L2_BACKEND_WS_TOKEN", text)
            self.assertNotIn(token, text)
        for name in ("L2_BACKEND_TOKEN", "L2_BACKEND_WS_TOKEN"):
            found = self.good(**{name: "jwt_like.token-123"}).bridge.backendToken
            self.assertEqual(found, "jwt_like.token-123")

    def test_origins(self) -> None:
        """
        Origins are normalised.
        """
        found = self.good(ALLOWED_ORIGINS="HTTPS://Example.COM:443, http://localhost:5173/")
        self.assertEqual(
            found.session.allowedOrigins, ("https://example.com", "http://localhost:5173")
        )
        self.assertEqual(self.good(ALLOWED_ORIGINS="*,null").session.allowedOrigins, ("*", "null"))

    def test_backend(self) -> None:
        """
        An L2 backend with everything that goes with it.
        """
        bridge = self.good(
            L2_BACKEND_WS_URL="ws://127.0.0.1:8090/l2",
            L2_BACKEND_ORIGIN_OVERRIDE="HTTPS://Example.COM:443/",
            L2_MAX_MESSAGE_BYTES="2048",
            L2_BACKEND_FORWARD_AERO_SESSION="1",
        ).bridge
        self.assertEqual(bridge.backendOrigin, "https://example.com")
        self.assertEqual((bridge.forwardOrigin, bridge.forwardAuth), (True, "query"))
        self.assertEqual((bridge.maxL2Message, bridge.forwardSession), (2_048, True))

    def test_presets(self) -> None:
        """
        The preset has three names, and private networks follow it.
        """
        for name in ("DESTINATION_POLICY_PRESET", "UDP_DESTINATION_POLICY_PRESET", "POLICY_PRESET"):
            udp = self.good(**{name: "Development"}).udp
            self.assertEqual((udp.preset, udp.allowPrivateNetworks), ("dev", True))
        udp = self.good(POLICY_PRESET="dev", ALLOW_PRIVATE_NETWORKS="false").udp
        self.assertFalse(udp.allowPrivateNetworks)

    def test_window(self) -> None:
        """
        A window of nothing is the usual one.
        """
        for value, seconds in (("0", 10), ("-5", 10), ("3", 3)):
            found = self.good(VIOLATION_WINDOW_SECONDS=value).udp.violationWindow
            self.assertEqual(found, seconds)


class CheckTests(RelaySettingsCase):
    """
    Settings that do not go together.
    """

    def test_pings(self) -> None:
        """
        A ping comes before the time is up.
        """
        for kind in ("SIGNALING_WS", "UDP_WS"):
            times = {f"{kind}_IDLE_TIMEOUT": "11s", f"{kind}_PING_INTERVAL": "4s"}
            self.good(**times)
            times[f"{kind}_PING_INTERVAL"] = "11s"
            self.assertIn(f"{kind}_PING_INTERVAL", self.wrong(**times))

    def test_readBuffer(self) -> None:
        """
        The buffer is larger than a datagram, and follows it.
        """
        self.assertEqual(self.good(MAX_DATAGRAM_PAYLOAD_BYTES="1400").udp.readBuffer, 1_401)
        self.assertIn("UDP_READ_BUFFER_BYTES", self.wrong(UDP_READ_BUFFER_BYTES="1200"))

    def test_remoteIdle(self) -> None:
        """
        Remotes are remembered as long as their guest port, unless said otherwise.
        """
        binding = {"UDP_BINDING_IDLE_TIMEOUT": "2m"}
        self.assertEqual(self.good(**binding).udp.remoteIdle, 120)
        found = self.good(**binding, UDP_REMOTE_ALLOWLIST_IDLE_TIMEOUT="30s")
        self.assertEqual(found.udp.remoteIdle, 30)

    def test_messages(self) -> None:
        """
        Data channel messages hold what C{udp} and C{l2} need.
        """
        for payload, l2, expected in (("1400", "2048", 2_304), ("1500", "1024", 1_780)):
            settings = self.good(MAX_DATAGRAM_PAYLOAD_BYTES=payload, L2_MAX_MESSAGE_BYTES=l2)
            self.assertEqual(maxMessageBytes(settings), expected)
        name = "WEBRTC_DATACHANNEL_MAX_MESSAGE_BYTES"
        self.assertIn(name, self.wrong(**{name: "1024"}))
        settings = self.good(**{name: "2097152"})
        self.assertEqual(maxReceiveBuffer(settings), 2 * 2_097_152)

    def test_buffers(self) -> None:
        """
        The receive buffer holds a message and a packet.
        """
        name = "WEBRTC_SCTP_MAX_RECEIVE_BUFFER_BYTES"
        message = {"WEBRTC_DATACHANNEL_MAX_MESSAGE_BYTES": "4096"}
        self.good(**message, **{name: "8192"})
        small = {"L2_MAX_MESSAGE_BYTES": "256", "MAX_DATAGRAM_PAYLOAD_BYTES": "200"}
        text = self.wrong(**small, **{name: "1000"})
        self.assertIn(name, text)
        self.assertIn("1500", text)

    def test_ports(self) -> None:
        """
        A range of ICE ports has two ends and room enough.
        """
        self.good(WEBRTC_UDP_PORT_MIN="40000", WEBRTC_UDP_PORT_MAX="40199")
        self.assertIn("WEBRTC_UDP_PORT_MAX", self.wrong(WEBRTC_UDP_PORT_MIN="40000"))
        for low, high, text in (("40000", "40010", "too small"), ("40200", "40000", "smaller")):
            self.assertIn(text, self.wrong(WEBRTC_UDP_PORT_MIN=low, WEBRTC_UDP_PORT_MAX=high))

    def test_nat(self) -> None:
        """
        One public address of each family, because ICE uses no other.
        """
        found = self.good(
            WEBRTC_NAT_1TO1_IPS="203.0.113.10, 2001:db8::1",
            WEBRTC_NAT_1TO1_IP_CANDIDATE_TYPE="srflx",
        )
        self.assertEqual(found.webrtc.nat1To1IPs, ("203.0.113.10", "2001:db8::1"))
        two = "203.0.113.10, 203.0.113.11"
        self.assertIn("WEBRTC_NAT_1TO1_IPS", self.wrong(WEBRTC_NAT_1TO1_IPS=two))

    def test_turnPrefix(self) -> None:
        """
        The middle of a TURN user name has no colon.
        """
        rest = {"TURN_REST_SHARED_SECRET": "s"}
        self.good(**rest)
        text = self.wrong(**rest, TURN_REST_USERNAME_PREFIX="a:b")
        self.assertIn("TURN_REST_USERNAME_PREFIX", text)
