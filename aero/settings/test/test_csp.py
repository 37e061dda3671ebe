"""
Tests for L{aero.settings.csp}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.settings import load
from aero.settings.csp import CSPSettings

SHA256 = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
SHA384 = "sha384-OLBgp1GsljhM2TJ+sbHjaiH9txEUvgdDTAzHv2P24donTt6/529l+9Ua0vFImLlb"

#: Variables and the directive that each adds to.
VARIABLES = {
    "AERO_CSP_SCRIPT_SRC_EXTRA": "script-src",
    "AERO_CSP_WORKER_SRC_EXTRA": "worker-src",
    "AERO_CSP_CONNECT_SRC_EXTRA": "connect-src",
    "AERO_CSP_IMG_SRC_EXTRA": "img-src",
    "AERO_CSP_MEDIA_SRC_EXTRA": "media-src",
    "AERO_CSP_STYLE_SRC_EXTRA": "style-src",
    "AERO_CSP_FONT_SRC_EXTRA": "font-src",
    "AERO_CSP_FRAME_SRC_EXTRA": "frame-src",
}


class CSPSettingsTests(SynchronousTestCase):
    """
    What the policy may be widened by.
    """

    def csp(self, **environ: str) -> CSPSettings:
        """
        The settings of these variables.
        """
        settings = load({}, environ)
        csp = settings.csp
        assert isinstance(csp, CSPSettings)
        return csp

    def test_none(self) -> None:
        """
        Nothing is added by default.
        """
        self.assertEqual(set(self.csp().extra.values()), {()})

    def test_sources(self) -> None:
        """
        Each variable adds to its directive and to no other.
        """
        for variable, directive in VARIABLES.items():
            extra = self.csp(**{variable: " https://*.a.example:8443  http://[::1]:* "}).extra
            added = {name: sources for name, sources in extra.items() if sources}
            self.assertEqual(added, {directive: ("https://*.a.example:8443", "http://[::1]:*")})

    def test_refusedSources(self) -> None:
        """
        Whatever is more than a scheme and a host stops the start with the variable's name; a
        WebSocket is a source of connections alone.
        """
        for variable in VARIABLES:
            for text in (
                "*",
                "https:",
                "https://*",
                "https://a.example/path",
                "https://a.example; script-src *",
                "https://a.example'",
                "'unsafe-inline'",
                "'unsafe-eval'",
                "'nonce-abc'",
                f"'{SHA256}'",
                "data:",
                "blob:",
                "https://a\nhttps://b",
                "ftp://a.example",
                "javascript://a",
            ):
                error = self.assertRaises(ConfigurationError, self.csp, **{variable: text})
                self.assertIn(variable, str(error))
            if variable != "AERO_CSP_CONNECT_SRC_EXTRA":
                self.assertRaises(ConfigurationError, self.csp, **{variable: "wss://a.example"})
        self.csp(AERO_CSP_CONNECT_SRC_EXTRA="wss://a.example")

    def test_hashes(self) -> None:
        """
        Hashes of inline scripts and styles are taken with and without quotes, and are whole.
        """
        for variable, directive in (
            ("AERO_CSP_SCRIPT_HASHES", "script-src"),
            ("AERO_CSP_STYLE_HASHES", "style-src"),
        ):
            extra = self.csp(**{variable: f"{SHA256} '{SHA384}'"}).extra
            self.assertEqual(extra[directive], (f"'{SHA256}'", f"'{SHA384}'"))
            for text in (
                "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
                "sha256-abc=",
                SHA256.replace("256", "384"),
                SHA256[:-1] + "'",
                "'" + SHA256,
                SHA256 + ";",
                "'unsafe-inline'",
                "'unsafe-hashes'",
                "https://a.example",
            ):
                error = self.assertRaises(ConfigurationError, self.csp, **{variable: text})
                self.assertIn(variable, str(error))
