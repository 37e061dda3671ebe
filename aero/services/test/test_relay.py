"""
Tests for L{aero.services.relay}: the relay beside the gateway, and alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase

from aero.app import Aero
from aero.auth.relaymodes import KeyAuth, RelayAuth, TokenAuth
from aero.errors import ConfigurationError
from aero.log import SecurityWarning
from aero.settings import load
from aero.testing.web import WebClient


class FakeReactor(MemoryReactorClock):
    """
    A reactor in memory whose thread pool is there but never used.
    """

    def getThreadPool(self) -> ThreadPool:
        """
        A pool that was not started.
        """
        return ThreadPool()


class RelayServiceTests(SynchronousTestCase):
    """
    L{RelayService<aero.services.relay.RelayService>}.
    """

    application: type[Aero] = Aero

    def make(self, **environ: str) -> Aero:
        """
        A server with these settings.
        """
        state = Path(self.mktemp()).absolute()
        settings = load({"state-dir": str(state)}, environ)
        return self.application(settings, FakeReactor(), environ={"HOME": str(state)})

    def alone(self, **environ: str) -> Aero:
        """
        The relay alone.
        """
        return self.make(AERO_SERVICES="relay", **{"AUTH_MODE": "none"} | environ)

    def test_pages(self) -> None:
        """
        Alone it has the reference's pages, and C{/session} is its own.
        """
        client = WebClient(self.alone(GIT_SHA="abc", BUILD_TIME="now").router)
        for path, expected in (
            ("/healthz", {"ok": True}),
            ("/readyz", {"ready": True}),
            ("/version", {"commit": "abc", "buildTime": "now"}),
        ):
            response = client.request(b"GET", path)
            self.assertEqual((response.status, response.json()), (200, expected))
            self.assertEqual(response.header(b"Content-Type"), b"application/json")
        self.assertEqual(client.request(b"POST", "/session").status, 201)
        self.assertEqual(client.request(b"GET", "/tcp").status, 404)
        self.assertEqual(client.request(b"GET", "/session").status, 405)

    def test_datagramAdvice(self) -> None:
        """
        Where no datagram may go anywhere the notice names the safe value, and the rates where
        they are off; it does not suggest to open this machine.
        """
        public = {"AERO_DOMAIN": "pc.example.com", "AERO_TLS_MODE": "internal"}
        rates = {
            "MAX_UDP_PPS_PER_SESSION": "100",
            "MAX_UDP_BPS_PER_SESSION": "100000",
            "MAX_UDP_PPS_PER_DEST": "50",
        }
        for environ, advised, limited in (
            (public, True, True),
            (public | rates, True, True),
            ({}, True, False),
            (public | {"ALLOW_UDP_CIDRS": "0.0.0.0/0,::/0"}, False, False),
            ({"DESTINATION_POLICY_PRESET": "dev"}, False, False),
        ):
            notices = [text for each in self.make(**environ).services for text in each.notices()]
            found = [text for text in notices if text.startswith("no datagram")]
            self.assertEqual(len(found), advised, found)
            for text in found:
                self.assertIn("ALLOW_UDP_CIDRS=0.0.0.0/0,::/0", text)
                self.assertNotIn("dev", text)
                if not limited:
                    self.assertIn("MAX_UDP_PPS_PER_", text)

    def test_listens(self) -> None:
        """
        Alone it listens where its own variable says.
        """
        aero = self.alone(AERO_WEBRTC_UDP_RELAY_LISTEN_ADDR="[::1]:9000", PORT="1234")
        service: Any = aero.makeService()
        assert aero.role is not None
        self.assertEqual((aero.role.addresses, aero.role.port), (("::1",), 9_000))
        self.assertEqual(service._grace, 15)

    def test_stateless(self) -> None:
        """
        Alone it keeps nothing on disk.
        """
        aero = self.alone()
        aero.makeService()
        self.assertFalse(Path(aero.settings.server.stateDir).exists())

    def test_ownHost(self) -> None:
        """
        Alone and without a list of origins the own host may ask.
        """
        client = WebClient(self.alone().router)
        for origin, status in ((b"https://localhost", 200), (b"https://example.com", 403)):
            response = client.request(b"GET", "/healthz", headers=[(b"Origin", origin)])
            self.assertEqual(response.status, status)

    def test_auth(self) -> None:
        """
        The mode decides who is let in.
        """
        for environ, cls in (
            (dict[str, str](), RelayAuth),
            ({"AUTH_MODE": "api_key", "API_KEY": "k"}, KeyAuth),
            ({"AUTH_MODE": "jwt", "JWT_SECRET": "s"}, TokenAuth),
        ):
            self.assertIs(type(self.alone(**environ).relayAuth), cls)

    def test_settingsAreChecked(self) -> None:
        """
        Settings that do not go together stop the start.
        """
        aero = self.alone(UDP_READ_BUFFER_BYTES="10")
        self.assertRaises(ConfigurationError, aero.makeService)

    def test_besideTheGateway(self) -> None:
        """
        Beside the gateway C{/session} is the gateway's, which tells where the relay is.
        """
        client = WebClient(self.make().router)
        described = client.request(b"POST", "/session").json()["udpRelay"]
        self.assertEqual(described["baseUrl"], "https://localhost:8443")
        self.assertEqual(described["authMode"], "none")
        self.assertEqual(described["endpoints"]["udp"], "/udp")
        self.assertEqual(client.request(b"GET", "/udp").status, 400)

    def test_publicDomain(self) -> None:
        """
        On a public domain the gateway mints tokens that the relay takes, with a secret that
        lasts.
        """
        public = {"AERO_DOMAIN": "example.com", "AERO_TLS_MODE": "internal"}
        aero = self.make(**public)
        described = WebClient(aero.router).request(b"POST", "/session").json()["udpRelay"]
        self.assertEqual(described["authMode"], "jwt")
        admitted = aero.relayAuth.admit(described["token"], aero.now())
        assert admitted is not None
        self.assertTrue(admitted.key)
        self.assertIsNone(aero.relayAuth.admit(None, aero.now()))
        again = Aero(load({"state-dir": aero.settings.server.stateDir}, public), FakeReactor())
        self.assertIsNotNone(again.relayAuth.admit(described["token"], aero.now()))

    def test_otherRelay(self) -> None:
        """
        A relay elsewhere is what clients are told of, even where one runs here.
        """
        aero = self.make(UDP_RELAY_BASE_URL="https://relay.example")
        described = WebClient(aero.router).request(b"POST", "/session").json()["udpRelay"]
        self.assertEqual(described["baseUrl"], "https://relay.example")

    def test_notices(self) -> None:
        """
        An operator is told that nothing gets through, and who gets in.
        """
        (service,) = self.alone().services
        notices = list(service.notices())
        self.assertIsInstance(notices[0], SecurityWarning)
        self.assertIn("ALLOW_UDP_CIDRS", notices[-1])
        (service,) = self.alone(ALLOW_UDP_CIDRS="192.0.2.0/24").services
        self.assertEqual(len(list(service.notices())), 1)

    def test_stop(self) -> None:
        """
        The end of the process is the end of reservations.
        """
        aero = self.alone(SESSION_PREALLOC_TTL="1h")
        WebClient(aero.router).request(b"POST", "/session")
        self.assertEqual(len(aero.relaySessions), 1)
        (service,) = aero.services
        service.stop()
        self.assertEqual(len(aero.relaySessions), 0)

    def test_subclass(self) -> None:
        """
        The policy about destinations, and about clients, is the composition root's to make.
        """

        class Open(Aero):
            def makeRelayAuth(self) -> RelayAuth:
                return KeyAuth("mine")

        self.application = Open
        aero = self.alone()
        client = WebClient(aero.router)
        self.assertEqual(client.request(b"POST", "/session").status, 401)
        response = client.request(b"POST", "/session?apiKey=mine")
        self.assertEqual(response.status, 201)
        self.assertRaises(ValueError, json.loads, response.body)
