"""
Tests for the way from options and environment to settings.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.settings import GROUPS, Settings, load, rowsOf


class PrecedenceTests(SynchronousTestCase):
    """
    Option, then environment, then default.
    """

    def test_nothingSaid(self) -> None:
        """
        Without options and environment the settings are the documented defaults.
        """
        self.assertEqual(load({}, {}), Settings())

    def test_environment(self) -> None:
        """
        A variable replaces the default.
        """
        self.assertEqual(
            load({}, {"AERO_DOMAIN": "emu.test.internal"}).server.domain, "emu.test.internal"
        )

    def test_optionWins(self) -> None:
        """
        An option replaces the variable.
        """
        settings = load({"domain": "a.internal"}, {"AERO_DOMAIN": "b.internal"})
        self.assertEqual(settings.server.domain, "a.internal")

    def test_blankIsUnset(self) -> None:
        """
        An empty variable, as compose files leave behind, counts as unset.
        """
        self.assertEqual(load({}, {"SESSION_TTL_SECONDS": "  "}).session.ttl, 86_400)

    def test_blankThatMeansSomething(self) -> None:
        """
        An empty list of upstreams is a list of none.
        """
        self.assertEqual(load({}, {"DNS_UPSTREAMS": ""}).dns.upstreams, ())

    def test_alias(self) -> None:
        """
        An older name works where the newer one is unset or empty.
        """
        old = {"AERO_L2_MAX_FRAME_SIZE": "9000"}
        self.assertEqual(load({}, old).l2.maxFramePayload, 9000)
        unset = load({}, old | {"AERO_L2_MAX_FRAME_PAYLOAD": " 0 "})
        self.assertEqual((unset.l2.maxFramePayload, unset.notices), (9000, ()))
        given = load({}, old | {"AERO_L2_MAX_FRAME_PAYLOAD": "1234"})
        self.assertEqual(given.l2.maxFramePayload, 1234)
        self.assertIn("AERO_L2_MAX_FRAME_SIZE is ignored", given.notices[0])
        both = {"AERO_GATEWAY_SESSION_SECRET": " ", "SESSION_SECRET": "second"}
        self.assertEqual(load({}, both).session.secret, "second")


class RefusalTests(SynchronousTestCase):
    """
    A bad value stops the start with the variable, the value and what is accepted.
    """

    def refusal(self, **environ: str) -> str:
        return str(self.assertRaises(ConfigurationError, load, {}, environ))

    def test_environment(self) -> None:
        """
        The sentence names the variable, repeats the value and says what is accepted.
        """
        self.assertEqual(
            self.refusal(PORT="70000"),
            "Invalid configuration: PORT=70000: expected a whole number from 1 to 65535",
        )

    def test_option(self) -> None:
        """
        A bad option is named as it was written.
        """
        error = self.assertRaises(ConfigurationError, load, {"services": "gateway,radio"}, {})
        self.assertEqual(
            str(error),
            "Invalid configuration: --services=gateway,radio: 'radio' is not a service:"
            " expected one of edge, gateway, l2, relay",
        )

    def test_referenceSentences(self) -> None:
        """
        The sentences that the reference's tests look for are there (gateway.md A11-A24).
        """
        self.assertIn("Invalid configuration", self.refusal(TLS_ENABLED="true"))
        self.assertIn("Invalid TCP_ALLOWED_PORTS entry", self.refusal(TCP_ALLOWED_PORTS="0,443"))
        self.assertIn("Invalid TCP_ALLOWED_PORTS entry", self.refusal(TCP_ALLOWED_PORTS="65536"))
        self.assertIn("Invalid TCP_ALLOWED_PORTS number", self.refusal(TCP_ALLOWED_PORTS="443,abc"))
        self.assertIn(
            'Invalid origin "nonsense". Expected a full origin like "https://example.com".',
            self.refusal(ALLOWED_ORIGINS="nonsense"),
        )
        self.assertIn("UDP_RELAY_BASE_URL", self.refusal(UDP_RELAY_BASE_URL="not-a-url"))
        many = ",".join(["https://example.com"] * 5000)
        for name in ("ALLOWED_ORIGINS", "DNS_UPSTREAMS"):
            self.assertIn(name, self.refusal(**{name: many}))

    def test_injection(self) -> None:
        """
        Text that would end the CSP directive never reaches a header (edge.md E23).
        """
        for text in (
            "https://a; script-src *",
            "https://a'",
            'https://a"',
            "https://a\nhttps://b",
            "'unsafe-eval'",
            "*",
        ):
            self.assertIn(
                "AERO_CSP_CONNECT_SRC_EXTRA", self.refusal(AERO_CSP_CONNECT_SRC_EXTRA=text)
            )

    def test_secretIsNotRepeated(self) -> None:
        """
        The error about a secret does not show it.
        """
        secrets = [row for cls in GROUPS.values() for row in rowsOf(cls) if row.secret]
        self.assertTrue(secrets)
        error = ConfigurationError("JWT_SECRET", None, "expected more")
        self.assertEqual(str(error), "Invalid configuration: JWT_SECRET: expected more")


class DerivationTests(SynchronousTestCase):
    """
    Defaults follow from the domain and the services.
    """

    def test_internalName(self) -> None:
        """
        An internal name listens on loopback, on high ports.
        """
        server = load({"domain": "vm.local"}, {}).server
        self.assertEqual((server.httpsPort, server.httpPort), (8443, 8080))
        self.assertEqual(server.bind, ("127.0.0.1", "::1"))

    def test_publicName(self) -> None:
        """
        A public name listens everywhere, on the standard ports, with the standard egress profile.
        """
        settings = load({"domain": "example.com"}, {})
        self.assertEqual((settings.server.httpsPort, settings.server.httpPort), (443, 80))
        self.assertEqual(settings.server.bind, ("0.0.0.0", "::"))
        self.assertEqual(settings.session.publicBaseURL, "https://example.com")
        self.assertEqual(settings.egress.profile, "standard")

    def test_gatewayAlone(self) -> None:
        """
        The gateway alone is the reference's plain HTTP server (gateway.md A10).
        """
        settings = load({"services": "gateway"}, {})
        self.assertEqual(settings.server.tlsMode, "off")
        self.assertEqual(settings.server.port, 8080)
        self.assertEqual(settings.server.bind, ("0.0.0.0", "::"))
        self.assertEqual(settings.session.publicBaseURL, "http://localhost:8080")

    def test_gatewayAloneWithTLS(self) -> None:
        """
        TLS_ENABLED=1 makes the gateway alone an HTTPS server.
        """
        settings = load({"services": "gateway"}, {"TLS_ENABLED": "1", "PORT": "9443"})
        self.assertEqual(settings.server.tlsMode, "files")
        self.assertEqual(settings.session.publicBaseURL, "https://localhost:9443")

    def test_publicBaseURLNamesThePort(self) -> None:
        """
        The public origin of an internal name has its port.
        """
        self.assertEqual(load({}, {}).session.publicBaseURL, "https://localhost:8443")
        self.assertEqual(load({"https-port": "443"}, {}).session.publicBaseURL, "https://localhost")


class TableTests(SynchronousTestCase):
    """
    The table is consistent.
    """

    def test_namesAreUnique(self) -> None:
        """
        No option and no variable stands for two settings.
        """
        rows = [row for cls in GROUPS.values() for row in rowsOf(cls)]
        options = [row.option for row in rows if row.option]
        variables = [name for row in rows for name in (row.variable, *row.aliases)]
        self.assertEqual(len(options), len(set(options)))
        self.assertEqual(len(variables), len(set(variables)))

    def test_secretsHaveNoOption(self) -> None:
        """
        No secret can be given where a process list shows it.
        """
        for cls in GROUPS.values():
            for row in rowsOf(cls):
                self.assertFalse(row.secret and row.option, row.variable)

    def test_helpIsASentence(self) -> None:
        """
        Every row says what it does.
        """
        for cls in GROUPS.values():
            for row in rowsOf(cls):
                self.assertRegex(row.help, r"^[A-Z01].*[.]$", row.variable)
