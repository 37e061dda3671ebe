"""
Tests for L{aero.settings.l2}: what l2.md sections 3 and 20.1 say about values.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.settings import load
from aero.settings.l2 import AUTH_MODES, L2Settings


def l2(**environ: str) -> L2Settings:
    """
    The settings of the tunnel in an environment.
    """
    return load({}, environ).l2


class ValueTests(SynchronousTestCase):
    """
    What values mean.
    """

    def test_zeroIsTheDefault(self) -> None:
        """
        Where nothing would make no sense, 0 stands for the default (C7, C8).
        """
        found = l2(
            AERO_L2_WS_SEND_BUFFER="0",
            AERO_L2_MAX_FRAME_PAYLOAD="0",
            AERO_L2_MAX_CONTROL_PAYLOAD="0",
        )
        self.assertEqual(
            (found.sendBuffer, found.maxFramePayload, found.maxControlPayload), (64, 2048, 256)
        )

    def test_payloads(self) -> None:
        """
        The payload limits are what they are set to, the older name counts where the newer one
        says nothing (C8).
        """
        found = l2(AERO_L2_MAX_FRAME_PAYLOAD="1234", AERO_L2_MAX_CONTROL_PAYLOAD="99")
        self.assertEqual((found.maxFramePayload, found.maxControlPayload), (1234, 99))
        found = l2(AERO_L2_MAX_FRAME_PAYLOAD="0", AERO_L2_MAX_FRAME_SIZE="9000")
        self.assertEqual(found.maxFramePayload, 9000)

    def test_zeroIsOff(self) -> None:
        """
        Quotas and timers are off with 0, which is also their default, the process cap aside.
        """
        found = l2(AERO_L2_MAX_CONNECTIONS="0", AERO_L2_IDLE_TIMEOUT_MS="0")
        self.assertEqual((found.maxConnections, found.idleTimeout), (0, 0.0))
        self.assertEqual((l2().maxConnections, l2().maxFPS, l2().pingInterval), (64, 0, 0.0))

    def test_milliseconds(self) -> None:
        """
        Times are given in milliseconds and kept in seconds.
        """
        found = l2(AERO_L2_PING_INTERVAL_MS="10", AERO_L2_IDLE_TIMEOUT_MS="1500")
        self.assertEqual((found.pingInterval, found.idleTimeout), (0.01, 1.5))

    def test_olderNames(self) -> None:
        """
        Each older name works; a 0 of the newer one is an answer (section 3.6).
        """
        self.assertEqual(l2(AERO_L2_TOKEN="old").apiKey, "old")
        self.assertEqual(l2(AERO_L2_API_KEY="new", AERO_L2_TOKEN="old").apiKey, "new")
        self.assertEqual(l2(AERO_L2_MAX_TUNNELS_PER_SESSION="2").maxConnectionsPerSession, 2)
        found = l2(AERO_L2_MAX_CONNECTIONS_PER_SESSION="0", AERO_L2_MAX_TUNNELS_PER_SESSION="2")
        self.assertEqual(found.maxConnectionsPerSession, 0)
        self.assertEqual(l2(AERO_L2_PROXY_BIND_ADDR="127.0.0.1:9").listen, ("127.0.0.1", 9))

    def test_authModes(self) -> None:
        """
        A mode is known by all its names in any case, and spaces are none (C2, C3, C5).
        """
        for name, canonical in AUTH_MODES.items():
            self.assertEqual(l2(AERO_L2_AUTH_MODE=f" {name.upper()} ").authMode, canonical)
        self.assertEqual(l2(AERO_L2_AUTH_MODE="  ").authMode, "")

    def test_switches(self) -> None:
        """
        The words that deployments use switch the trust in proxies on and off.
        """
        for word in ("1", "true", "TRUE", "yes", "YES", "on", "ON"):
            self.assertTrue(l2(AERO_L2_TRUST_PROXY=word).trustForwarded)
            self.assertTrue(l2(AERO_L2_TRUST_PROXY_HOST=word).trustProxyHost)
        self.assertFalse(l2(AERO_L2_TRUST_PROXY="0").trustForwarded)

    def test_origins(self) -> None:
        """
        Origins are normalised, and a list without an item is no list (S5, S8, S9).
        """
        self.assertEqual(
            l2(AERO_L2_ALLOWED_ORIGINS="HTTPS://ALLOWED.TEST:443/").allowedOrigins,
            ("https://allowed.test",),
        )
        self.assertEqual(l2(AERO_L2_ALLOWED_ORIGINS=",,").allowedOrigins, ())
        self.assertEqual(
            l2(AERO_L2_ALLOWED_ORIGINS_EXTRA=",https://extra.test").extraOrigins,
            ("https://extra.test",),
        )


class RefusalTests(SynchronousTestCase):
    """
    What stops the start, where the reference silently takes a default (W46).
    """

    def refusal(self, **environ: str) -> str:
        return str(self.assertRaises(ConfigurationError, load, {}, environ))

    def test_origin(self) -> None:
        """
        An origin with a path is refused with its variable (C10), also beside a star.
        """
        for name in ("AERO_L2_ALLOWED_ORIGINS", "AERO_L2_ALLOWED_ORIGINS_EXTRA"):
            text = self.refusal(**{name: "*,https://example.com/path"})
            self.assertIn(name, text)
            self.assertIn('"https://example.com/path"', text)

    def test_mode(self) -> None:
        """
        An unknown mode is refused, and those that exist are listed.
        """
        text = self.refusal(AERO_L2_AUTH_MODE="magic")
        self.assertIn("AERO_L2_AUTH_MODE=magic", text)
        for name in AUTH_MODES:
            self.assertIn(name, text)

    def test_numbers(self) -> None:
        """
        What is no number stops the start.
        """
        for name in (
            "AERO_L2_MAX_CONNECTIONS",
            "AERO_L2_MAX_BYTES_PER_CONNECTION",
            "AERO_L2_IDLE_TIMEOUT_MS",
            "AERO_L2_MAX_FRAME_PAYLOAD",
            "AERO_L2_CAPTURE_MAX_BYTES",
        ):
            self.assertIn(f"{name}=lots", self.refusal(**{name: "lots"}))

    def test_listen(self) -> None:
        """
        A listen address is numeric, with a port.
        """
        for value in ("localhost:8090", "8090", "127.0.0.1", "127.0.0.1:x"):
            self.assertIn(value, self.refusal(AERO_L2_PROXY_LISTEN_ADDR=value))

    def test_secrets(self) -> None:
        """
        A switch that is none is repeated, a secret never is.
        """
        self.assertIn("AERO_L2_OPEN=true", self.refusal(AERO_L2_OPEN="true"))
