"""
Tests for L{aero.services.webrtc}: from settings to peers and pages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.app import Aero
from aero.errors import ConfigurationError
from aero.policy.iceservers import IceServer
from aero.services.lanchannels import LANChannels
from aero.services.relay import RelayService
from aero.services.webrtc import iceOptions, iceServers
from aero.settings import load
from aero.settings.webrtc import WebRTCSettings
from aero.testing.web import WebClient
from aero.ws.l2backend import Backends

from .test_relay import FakeReactor


class OptionTests(SynchronousTestCase):
    """
    L{iceServers} and L{iceOptions}.
    """

    def test_usual(self) -> None:
        """
        All addresses, any port, no servers.
        """
        options = iceOptions(WebRTCSettings(), ())
        self.assertEqual((options.listen, options.ports), ("", None))
        self.assertIsNone(options.stun)
        self.assertIsNone(options.turn)
        self.assertEqual(iceOptions(WebRTCSettings(listenIP="::"), ()).listen, "")

    def test_network(self) -> None:
        """
        What is said about addresses and ports.
        """
        options = iceOptions(
            WebRTCSettings(
                listenIP="192.0.2.1",
                portMin=50_000,
                portMax=50_100,
                nat1To1IPs=("203.0.113.1",),
                nat1To1Type="srflx",
                consentTimeout=5.0,
            ),
            (),
        )
        self.assertEqual((options.listen, options.ports), ("192.0.2.1", (50_000, 50_100)))
        self.assertEqual((options.publicAddresses, options.publicAsHost), (("203.0.113.1",), False))
        self.assertEqual(options.consentTimeout, 5.0)

    def test_servers(self) -> None:
        """
        The first STUN server, and the first TURN server that has credentials.
        """
        servers = (
            IceServer(("turn:none",)),
            IceServer(("stuns:a", "stun:b", "stun:c")),
            IceServer(("turns:d:99",), "u", "p"),
            IceServer(("turn:e",), "u", "p"),
        )
        options = iceOptions(WebRTCSettings(), servers)
        self.assertEqual(options.stun, ("b", 3_478))
        assert options.turn is not None
        self.assertEqual(options.turn["turn_server"], ("d", 99))
        self.assertEqual((options.turn["turn_ssl"], options.turn["turn_transport"]), (True, "tcp"))

    def test_badList(self) -> None:
        """
        A list that is wrong is no list, and a sentence.
        """
        problem, servers = iceServers(WebRTCSettings(iceServersJSON="["))
        self.assertEqual((problem, servers), ("AERO_ICE_SERVERS_JSON: expected a JSON array", ()))


class ServiceTests(SynchronousTestCase):
    """
    WebRTC as a part of the relay.
    """

    def make(self, **environ: str) -> Aero:
        """
        A relay alone, or what C{AERO_SERVICES} says.
        """
        state = Path(self.mktemp()).absolute()
        usual = {"AERO_SERVICES": "relay", "AUTH_MODE": "none", "UDP_RELAY_AUTH_MODE": "none"}
        settings = load({"state-dir": str(state)}, usual | environ)
        return Aero(settings, FakeReactor(), environ={"HOME": str(state)})

    def relay(self, application: Aero) -> RelayService:
        """
        Its relay.
        """
        return next(each for each in application.services if isinstance(each, RelayService))

    def tunnels(self, **environ: str) -> Any:
        """
        Where its data channels of Ethernet lead.
        """
        return self.relay(self.make(**environ)).webrtc.peers._shared.tunnels

    def test_ethernet(self) -> None:
        """
        Into the LANs of the process where there are any, to a backend, or nowhere.
        """
        self.assertIsNone(self.tunnels())
        self.assertIsInstance(self.tunnels(L2_BACKEND_WS_URL="ws://b/l2"), Backends)
        both = {"AERO_SERVICES": "gateway,l2,relay", "AERO_L2_AUTH_MODE": "none"}
        self.assertIsInstance(self.tunnels(**both), LANChannels)
        self.assertIsNone(self.tunnels(**both, L2_BACKEND_WS_URL="off"))
        error = self.assertRaises(ConfigurationError, self.tunnels, L2_BACKEND_WS_URL="internal")
        self.assertEqual(error.variable, "L2_BACKEND_WS_URL")

    def test_pages(self) -> None:
        """
        The pages of WebRTC are there.
        """
        client = WebClient(self.make().router)
        self.assertEqual(client.request(b"GET", "/webrtc/ice").json(), {"iceServers": []})
        offer = json.dumps({"type": "offer", "sdp": "v=0"}).encode()
        self.assertEqual(client.request(b"POST", "/webrtc/offer", body=offer).status, 400)
        self.assertEqual(client.request(b"POST", "/offer", body=b"{}").status, 400)
        self.assertEqual(client.request(b"GET", "/webrtc/signal").status, 400)

    def test_badList(self) -> None:
        """
        A list of ICE servers that is wrong does not stop the start; the pages say what is wrong.
        """
        client = WebClient(self.make(AERO_ICE_SERVERS_JSON="[").router)
        for path in ("/readyz", "/webrtc/ice"):
            response = client.request(b"GET", path)
            self.assertEqual(response.status, 503)
            self.assertIn("AERO_ICE_SERVERS_JSON", response.json()["error"])

    def test_limits(self) -> None:
        """
        Peers get the sizes that follow from the settings.
        """
        shared = self.relay(self.make()).webrtc.peers._shared
        self.assertEqual((shared.maxMessage, shared.maxBuffer), (4_352, 1_048_576))
        self.assertEqual((shared.maxConnecting, shared.connectTimeout), (256, 30.0))
