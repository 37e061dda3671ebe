"""
Tests for the composition root: the parts fit, without a socket being opened.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Mapping

from twisted.application.service import IService
from twisted.internet.testing import MemoryReactorClock
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource
from zope.interface.verify import verifyObject

from aero.app import Aero
from aero.errors import ConfigurationError
from aero.settings import load
from aero.testing.web import WebClient
from aero.web.health import HealthEndpoint


class FakeReactor(MemoryReactorClock):
    """
    A reactor in memory whose thread pool is there but never used.
    """

    def getThreadPool(self) -> ThreadPool:
        """
        A pool that was not started.
        """
        return ThreadPool()


class AeroTests(SynchronousTestCase):
    """
    What L{Aero} makes of the settings.
    """

    def make(self, cls: type[Aero] = Aero, **environ: str) -> Aero:
        state = Path(self.mktemp()).absolute()
        settings = load({"state-dir": str(state)}, environ)
        return cls(settings, FakeReactor(), environ={"HOME": str(state)})

    def client(self, aero: Aero) -> WebClient:
        return WebClient(aero.router)

    def test_service(self) -> None:
        """
        The default server is a service with an HTTPS and a redirecting listener.
        """
        aero = self.make()
        self.assertTrue(verifyObject(IService, aero.makeService(io.StringIO())))
        bindings = [(binding.name, binding.port) for binding in aero.bindings()]
        self.assertEqual(bindings, [("https", 8443), ("http", 8080)])

    def test_gatewayAlone(self) -> None:
        """
        The gateway alone has one plain listener, no page, and no certificate.
        """
        aero = self.make(AERO_SERVICES="gateway", SESSION_SECRET="given")
        aero.makeService(io.StringIO())
        bindings = [(binding.name, binding.port) for binding in aero.bindings()]
        self.assertEqual(bindings, [("http", 8080)])
        self.assertIsNone(aero.frontEnd)
        self.assertFalse(aero.responseHeaders.names & {b"content-security-policy"})
        self.assertFalse(Path(aero.settings.server.stateDir).exists())

    def test_edgeHeaders(self) -> None:
        """
        With the edge, every response is isolated whatever CROSS_ORIGIN_ISOLATION says (E24).
        """
        for value in ("0", "1"):
            names = self.make(CROSS_ORIGIN_ISOLATION=value).responseHeaders.names
            self.assertIn(b"cross-origin-embedder-policy", names)

    def test_basePath(self) -> None:
        """
        The path of the public base URL is served and told (gateway.md A34).
        """
        aero = self.make(
            AERO_SERVICES="gateway", SESSION_SECRET="s", PUBLIC_BASE_URL="https://h/base/"
        )
        client = self.client(aero)
        for path in ("/session", "/base/session"):
            response = client.request(b"POST", path)
            self.assertEqual(response.status, 201)
            self.assertEqual(response.json()["endpoints"]["tcp"], "/base/tcp")

    def test_servicesAreTold(self) -> None:
        """
        A session tells which services run here.
        """
        response = self.client(self.make()).request(b"POST", "/session")
        self.assertEqual(response.json()["services"], ["edge", "gateway", "l2", "relay"])

    def test_ownOrigins(self) -> None:
        """
        An internal site may be used by each of its names, a public one by its own only.
        """
        self.assertEqual(
            set(self.make().allowedOrigins()),
            {"https://localhost:8443", "https://127.0.0.1:8443", "https://[::1]:8443"},
        )
        public = self.make(AERO_DOMAIN="example.com", AERO_TLS_MODE="internal")
        self.assertEqual(set(public.allowedOrigins()), {"https://example.com"})

    def test_relayNeedsItsKey(self) -> None:
        """
        Relay credentials that cannot be made stop the start (gateway.md A18, A19).
        """
        for mode, variable in (("api_key", "UDP_RELAY_API_KEY"), ("jwt", "UDP_RELAY_JWT_SECRET")):
            aero = self.make(UDP_RELAY_BASE_URL="https://r.example", UDP_RELAY_AUTH_MODE=mode)
            error = self.assertRaises(ConfigurationError, aero.makeService)
            self.assertIn(f"{variable} is required", str(error))

    def test_nothingListens(self) -> None:
        """
        A server without a listener does not start.
        """
        self.assertRaises(ConfigurationError, self.make(AERO_HTTPS_PORT="0").makeService)

    def test_subclass(self) -> None:
        """
        A subclass adds a resource beside those of aero.
        """

        class Mine(Aero):
            def makeResources(self) -> Mapping[str, IResource]:
                return {**super().makeResources(), "/mine": HealthEndpoint()}

        client = self.client(self.make(Mine))
        self.assertEqual(client.request(b"GET", "/mine").json(), {"ok": True})
        self.assertEqual(client.request(b"GET", "/healthz").json(), {"ok": True})

    def test_contradiction(self) -> None:
        """
        Two names of one setting that disagree are told to the operator (E84).
        """
        aero = self.make(SESSION_SECRET="one", AERO_L2_SESSION_SECRET="two")
        self.assertIn(
            "AERO_L2_SESSION_SECRET is ignored, because SESSION_SECRET is set and says something"
            " else",
            list(aero._notices()),
        )

    def test_trustProxyNeedsNetworks(self) -> None:
        """
        TRUST_PROXY=1 at the edge is ignored, and the operator is told.
        """
        aero = self.make(TRUST_PROXY="1")
        self.assertTrue(any("TRUST_PROXY=1 is ignored" in text for text in aero._notices()))
        client = aero.clientAddresses.client("192.0.2.1", True, [b"203.0.113.9"], [])
        self.assertEqual(client.ip, "192.0.2.1")
