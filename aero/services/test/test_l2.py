"""
Tests for L{aero.services.l2}: who may open tunnels by default, and what the service is alone.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.app import Aero
from aero.errors import ConfigurationError
from aero.log import SecurityWarning
from aero.services.l2 import allowedOrigins, authMode
from aero.settings import load
from aero.test.test_app import FakeReactor
from aero.testing.web import WebClient
from aero.ws.l2 import L2Endpoint


class L2ServiceTestCase(SynchronousTestCase):
    """
    Servers in memory.
    """

    def make(self, services: str = "l2", domain: str = "localhost", **environ: str) -> Aero:
        """
        Compose a server.
        """
        state = Path(self.mktemp()).absolute()
        options = {"state-dir": str(state), "services": services, "domain": domain}
        return Aero(load(options, environ), FakeReactor(), environ={"HOME": str(state)})

    def mode(self, services: str = "l2", domain: str = "localhost", **environ: str) -> str:
        """
        The mode that follows from the settings.
        """
        return authMode(self.make(services, domain, **environ))

    def refusal(self, **environ: str) -> str:
        """
        Why C{--services l2} does not start.
        """
        return str(self.assertRaises(ConfigurationError, self.mode, **environ))


class ModeTests(L2ServiceTestCase):
    """
    Authentication where nothing is said, and where what is said cannot be (C2 to C6).
    """

    def test_alone(self) -> None:
        """
        Alone, the keys decide; without any, or two explicit words, nothing starts.
        """
        self.assertEqual(self.mode(SESSION_SECRET="a"), "session_or_token")
        self.assertEqual(self.mode(SESSION_SECRET="a", AERO_L2_TOKEN="b"), "session_or_token")
        self.assertEqual(self.mode(AERO_L2_API_KEY="a"), "token")
        self.assertEqual(self.mode(AERO_L2_AUTH_MODE="  ", AERO_L2_TOKEN="a"), "token")
        text = self.refusal()
        for name in ("AERO_L2_AUTH_MODE", "AERO_L2_API_KEY", "AERO_L2_SESSION_SECRET"):
            self.assertIn(name, text)
        self.refusal(AERO_L2_OPEN="1")
        self.refusal(AERO_L2_INSECURE_ALLOW_NO_AUTH="1")
        both = {"AERO_L2_OPEN": "1", "AERO_L2_INSECURE_ALLOW_NO_AUTH": "1"}
        self.assertEqual(self.mode(**both), "none")
        self.assertEqual(self.mode(AERO_L2_AUTH_MODE="none"), "none")

    def test_needs(self) -> None:
        """
        A mode without its key does not start, and says what it needs.
        """
        secret, key = {"SESSION_SECRET": "a"}, {"AERO_L2_API_KEY": "b"}
        for mode, given, needed in (
            ("session", {}, "SESSION_SECRET"),
            ("cookie", key, "SESSION_SECRET"),
            ("session_or_token", key, "SESSION_SECRET"),
            ("cookie_or_jwt", {"AERO_L2_JWT_SECRET": "c"}, "SESSION_SECRET"),
            ("token", secret, "AERO_L2_API_KEY"),
            ("api_key", {}, "AERO_L2_API_KEY"),
            ("session_and_token", secret, "AERO_L2_API_KEY"),
            ("session_and_token", key, "SESSION_SECRET"),
            ("jwt", secret | key, "AERO_L2_JWT_SECRET"),
            ("cookie_or_jwt", secret, "AERO_L2_JWT_SECRET"),
        ):
            self.assertIn(needed, self.refusal(AERO_L2_AUTH_MODE=mode, **given))
        self.assertEqual(
            self.mode(AERO_L2_AUTH_MODE="cookie_and_api_key", **secret, **key),
            "session_and_token",
        )

    def test_edge(self) -> None:
        """
        With the edge, an internal name asks nobody and a public domain asks for the session;
        what is said wins.
        """
        everything = "edge,gateway,l2"
        self.assertEqual(self.mode(everything), "none")
        self.assertEqual(self.mode(everything, "example.com"), "session")
        self.assertEqual(self.mode("edge,l2", "example.com"), "session")
        self.assertEqual(self.mode(everything, "example.com", AERO_L2_AUTH_MODE="none"), "none")
        self.assertEqual(self.mode(everything, SESSION_SECRET="a"), "session_or_token")
        self.assertEqual(self.mode(everything, AERO_L2_API_KEY="a"), "session_or_token")
        self.assertEqual(self.mode("gateway,l2"), "session")


class OriginTests(L2ServiceTestCase):
    """
    Which origins may open tunnels (S8, S9).
    """

    def origins(self, services: str = "l2", **environ: str) -> set[str]:
        """
        The list.
        """
        return set(allowedOrigins(self.make(services, **environ)))

    def test_alone(self) -> None:
        """
        The tunnel's own list, else that of all services, with the extra ones; else the host's.
        """
        self.assertEqual(self.origins(), set())
        own = {"AERO_L2_ALLOWED_ORIGINS": "https://own.test"}
        shared = {"ALLOWED_ORIGINS": "https://shared.test"}
        extra = {"AERO_L2_ALLOWED_ORIGINS_EXTRA": ",https://extra.test"}
        self.assertEqual(self.origins(**own, **shared), {"https://own.test"})
        self.assertEqual(self.origins(**shared), {"https://shared.test"})
        self.assertEqual(
            self.origins(AERO_L2_ALLOWED_ORIGINS=",,", **shared), {"https://shared.test"}
        )
        self.assertEqual(self.origins(**own, **extra), {"https://own.test", "https://extra.test"})

    def test_edge(self) -> None:
        """
        With the edge the site's own origins are allowed, and extra ones beside them.
        """
        found = self.origins("edge,gateway,l2", AERO_L2_ALLOWED_ORIGINS_EXTRA="https://extra.test")
        self.assertTrue({"https://localhost:8443", "https://extra.test"} <= found)


class RoleTests(L2ServiceTestCase):
    """
    C{--services l2} is the reference's proxy (l2.md section 4).
    """

    def client(self, **environ: str) -> WebClient:
        """
        A client of the server.
        """
        return WebClient(self.make(AERO_L2_AUTH_MODE="none", **environ).router)

    def test_listener(self) -> None:
        """
        It listens where its own variable says, without TLS, for the time that its own grace says.
        """
        aero = self.make(
            AERO_L2_AUTH_MODE="none",
            AERO_L2_PROXY_LISTEN_ADDR="127.0.0.1:4711",
            AERO_L2_SHUTDOWN_GRACE_MS="1234",
        )
        service: Any = aero.makeService(io.StringIO())
        self.assertEqual(len(service.services[0].services), 1)
        role = aero.role
        assert role is not None
        self.assertEqual((tuple(role.addresses), role.port), (("127.0.0.1",), 4711))
        self.assertEqual(service._grace, 1.234)
        self.assertIsNone(aero.certificates)

    def test_pages(self) -> None:
        """
        The operational pages are the reference's, body for body.
        """
        client = self.client(AERO_L2_PROXY_VERSION="v", AERO_L2_PROXY_BUILD_TIMESTAMP="t")
        for path in ("/healthz", "/readyz"):
            response = client.request(b"GET", path)
            self.assertEqual((response.status, response.body), (200, b""))
            self.assertIsNone(response.header(b"Content-Type"))
            self.assertEqual(response.header(b"Content-Length"), b"0")
        response = client.request(b"GET", "/version")
        self.assertEqual(response.body, b'{"version":"v","gitSha":"dev","builtAt":"t"}')
        self.assertEqual(response.header(b"Content-Type"), b"application/json")
        response = client.request(b"GET", "/metrics")
        self.assertEqual(
            response.header(b"Content-Type"), b"text/plain; version=0.0.4; charset=utf-8"
        )
        self.assertIn(b"\nl2_frames_rx_total 0\n", response.body)

    def test_routing(self) -> None:
        """
        Paths are exact; what is not there and what is not allowed has no body, whatever the
        origin says.
        """
        client = self.client()
        for path in ("/", "/healthz/", "/HEALTHZ", "/session", "/tcp"):
            response = client.request(b"GET", path)
            self.assertEqual((response.status, response.body), (404, b""), path)
        for method in (b"POST", b"OPTIONS", b"DELETE"):
            for path in ("/healthz", "/readyz", "/version", "/metrics"):
                response = client.request(method, path)
                self.assertEqual((response.status, response.body), (405, b""))
                self.assertEqual(response.header(b"Allow"), b"GET,HEAD")
            self.assertEqual(client.request(method, "/x").status, 404)
        response = client.request(b"GET", "/healthz", {b"Origin": b"https://evil.test"})
        self.assertEqual(response.status, 200)
        upgrade = {b"Connection": b"Upgrade", b"Upgrade": b"websocket"}
        for path, status in (("/healthz", 200), ("/x", 404)):
            response = self.client().request(b"GET", path, upgrade)
            self.assertEqual((response.status, response.body), (status, b""), path)
        for method, body in ((b"POST", b"Request method must be `GET`"), (b"HEAD", b"")):
            response = self.client().request(method, "/l2", upgrade)
            self.assertEqual((response.status, response.body), (405, body))
            self.assertEqual(response.header(b"Allow"), b"GET,HEAD")
            self.assertEqual(response.header(b"Content-Length"), b"28")

    def test_notAWebSocket(self) -> None:
        """
        An ordinary request to the tunnel is told what it lacks.
        """
        client = self.client()
        for path in ("/l2", "/l2/", "/eth", "/eth/"):
            response = client.request(b"GET", path)
            self.assertEqual(
                (response.status, response.body),
                (400, b"Connection header did not include 'upgrade'"),
            )
            response = client.request(b"POST", path)
            self.assertEqual(
                (response.status, response.body), (405, b"Request method must be `GET`")
            )
        response = client.request(
            b"GET",
            "/l2",
            {
                b"Connection": b"upgraded",
                b"Upgrade": b"websocket",
                b"Sec-WebSocket-Version": b"13",
                b"Sec-WebSocket-Key": b"x",
            },
        )
        self.assertEqual(response.status, 426)

    def test_ready(self) -> None:
        """
        C{/readyz} turns when the process says that it stops (O8).
        """
        aero = self.make(AERO_L2_AUTH_MODE="none")
        client = WebClient(aero.router)
        self.assertEqual(client.request(b"GET", "/readyz").status, 200)
        aero.readiness.drain()
        response = client.request(b"GET", "/readyz")
        self.assertEqual((response.status, response.body), (503, b""))

    def test_lines(self) -> None:
        """
        The line of the reference is there when it is asked for, an IPv6 address in brackets.
        """
        role = self.make(AERO_L2_AUTH_MODE="none").role
        assert role is not None
        self.assertEqual(list(role.listening("127.0.0.1", 8090)), [])
        role = self.make(AERO_L2_AUTH_MODE="none", AERO_L2_READY_STDOUT="1").role
        assert role is not None
        self.assertEqual(
            list(role.listening("::1", 8090)), ["AERO_L2_PROXY_READY ws://[::1]:8090/l2"]
        )

    def test_noState(self) -> None:
        """
        Nothing of the state directory is needed.
        """
        aero = self.make(AERO_L2_AUTH_MODE="none")
        aero.makeService(io.StringIO())
        self.assertFalse(Path(aero.settings.server.stateDir).exists())

    def test_beside(self) -> None:
        """
        Beside the edge the pages are the shared ones, and the tunnel has no ordinary page.
        """
        aero = self.make("edge,gateway,l2")
        self.assertIsNone(aero.role)
        client = WebClient(aero.router)
        self.assertEqual(client.request(b"GET", "/healthz").json(), {"ok": True})
        self.assertEqual(client.request(b"GET", "/l2").error(), (404, "not_found"))
        self.assertTrue(any(isinstance(each, L2Endpoint) for each in aero.endpoints))


class WarningTests(L2ServiceTestCase):
    """
    What the operator is warned of.
    """

    def codes(self, services: str = "l2", **environ: str) -> list[str]:
        """
        The codes of all warnings.
        """
        aero = self.make(services, **environ)
        (service,) = (each for each in aero.services if each.name == "l2")
        found = list(service.notices())
        self.assertTrue(all(isinstance(each, SecurityWarning) for each in found))
        return [each.code for each in found if isinstance(each, SecurityWarning)]

    def test_open(self) -> None:
        """
        Open doors and captures are said.
        """
        self.assertEqual(
            self.codes(
                AERO_L2_AUTH_MODE="none",
                AERO_L2_OPEN="1",
                AERO_L2_CAPTURE_DIR="/nowhere/captures",
                AERO_L2_MAX_CONNECTIONS="0",
                AERO_L2_ALLOW_PRIVATE_IPS="1",
            ),
            [
                "l2_auth_mode_none",
                "l2_open",
                "l2_tunnels_unlimited",
                "l2_allow_private_ips",
                "l2_capture",
            ],
        )
        self.assertEqual(
            self.codes(AERO_L2_API_KEY="a", AERO_L2_ALLOWED_ORIGINS="*"),
            ["l2_allowed_origins_wildcard"],
        )

    def test_closed(self) -> None:
        """
        What is set with care, and a machine of one's own, are warned of nothing.
        """
        self.assertEqual(self.codes(AERO_L2_API_KEY="a"), [])
        self.assertEqual(self.codes("edge,gateway,l2"), [])
