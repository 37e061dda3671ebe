"""
Tests for L{aero.web.offers}, without WebRTC (relay.md sections 7 and 20.6).
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.auth.relaymodes import KeyAuth, RelayAuth
from aero.http.router import Router
from aero.metrics import ROWS, Metrics
from aero.settings.signal import SignalSettings
from aero.settings.udp import UDPSettings
from aero.testing.rtc import ANSWER, OFFER, MemoryPeers
from aero.testing.web import Exchange, WebClient, WebResponse
from aero.tunnel.datagrams.sessions import RelaySessions
from aero.web.offers import OfferEndpoint, VersionedOfferEndpoint
from aero.web.relayendpoint import RelayDoor

NOW = 1_700_000_000.0
#: What L{MemoryPeer} answers once its candidates are there.
LATER = ANSWER + "later\r\n"


class OfferTestCase(SynchronousTestCase):
    """
    Both endpoints.
    """

    def make(self, auth: RelayAuth | None = None, **settings: Any) -> None:
        """
        A relay with this mode.
        """
        self.clock = Clock()
        metrics = Metrics(ROWS)
        self.sessions = RelaySessions(
            SignalSettings(**settings), UDPSettings(), clock=self.clock, metrics=metrics
        )
        self.peers = MemoryPeers()
        door = RelayDoor(auth or RelayAuth(), self.sessions.events, lambda: NOW)
        router = Router()
        for path, kind in (("/webrtc/offer", OfferEndpoint), ("/offer", VersionedOfferEndpoint)):
            made = kind(
                door,
                self.sessions,
                self.peers,
                clock=self.clock,
                events=self.sessions.events,
                gatheringTimeout=2.0,
            )
            router.addResource(path, made)
        self.client = WebClient(router, clock=self.clock)

    def start(self, path: str, value: Any, *headers: tuple[bytes, bytes]) -> Exchange:
        """
        Send an offer.
        """
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.client.start(b"POST", path, list(headers), body)

    def post(self, path: str, value: Any, *headers: tuple[bytes, bytes]) -> WebResponse:
        """
        Send an offer that is answered at once.
        """
        return self.start(path, value, *headers).response()

    def event(self, name: str) -> int:
        """
        How often something happened.
        """
        return self.sessions.events.counts[name]


GOOD: dict[str, Any] = {
    "/webrtc/offer": {"type": "offer", "sdp": OFFER},
    "/offer": {"version": 1, "offer": {"type": "offer", "sdp": OFFER}},
}
BAD: dict[str, Any] = {
    "/webrtc/offer": {"sdp": {"type": "offer", "sdp": "v=0"}},
    "/offer": {"version": 1, "offer": {"type": "offer", "sdp": "v=0"}},
}


class OfferTests(OfferTestCase):
    """
    What is answered.
    """

    def test_tooLarge(self) -> None:
        """
        A body that is too large is refused as an offer that is none, before it is read.
        """
        self.make()
        for path, message in (
            ("/webrtc/offer", "expected an offer of at most 2097152 bytes"),
            ("/offer", "invalid offer"),
        ):
            for size in (2_097_153, 3_000_000):
                response = self.post(path, b"x" * size)
                self.assertEqual(response.status, 400)
                self.assertEqual(response.json(), {"code": "bad_message", "message": message})
                self.assertEqual(response.header(b"Connection"), b"close")
        self.assertEqual(self.peers.made, [])

    def test_answers(self) -> None:
        """
        Each endpoint has its own keys, and no others.
        """
        self.make()
        response = self.post("/webrtc/offer", {"sdp": GOOD["/webrtc/offer"]})
        session = self.peers.made[0].session
        expected: dict[str, Any] = {
            "sessionId": session.id,
            "sdp": {"type": "answer", "sdp": LATER},
        }
        self.assertEqual((response.status, response.json()), (200, expected))
        response = self.post("/offer", GOOD["/offer"])
        expected = {"version": 1, "answer": {"type": "answer", "sdp": LATER}}
        self.assertEqual((response.status, response.json()), (200, expected))
        self.assertEqual(len(self.sessions), 2)

    def test_request(self) -> None:
        """
        The peer knows who asked for it.
        """
        self.make(KeyAuth("k"))
        self.post(
            "/offer?apiKey=k",
            GOOD["/offer"],
            (b"Cookie", b"aero_session=x"),
            (b"Host", b"Relay.example"),
        )
        request = self.peers.made[0].request
        self.assertEqual(request.address, "192.0.2.7")
        self.assertEqual(request.origin, "http://relay.example")
        self.assertEqual(request.credential, "k")
        self.assertEqual(request.cookies, (b"aero_session=x",))

    def test_bodyBeforeCredential(self) -> None:
        """
        What is no offer is a 400 before anybody asks for a credential.
        """
        self.make(KeyAuth("k"))
        cases: list[tuple[str, Any, str | None]] = [
            ("/offer", b"", "invalid offer"),
            ("/offer", {"version": 2}, "unsupported protocol version"),
            ("/offer", {"version": 1, "offer": {"type": "answer", "sdp": "x"}}, "invalid offer"),
            ("/webrtc/offer", {"type": "answer", "sdp": "x"}, 'sdp.type must be "offer"'),
            ("/webrtc/offer", {"type": "offer", "sdp": "x", "y": 1}, None),
        ]
        for path, body, message in cases:
            response = self.post(path, body)
            self.assertEqual((response.status, response.json()["code"]), (400, "bad_message"))
            self.assertEqual(response.json()["message"], message or response.json()["message"])
        for path, good in GOOD.items():
            response = self.post(path, good)
            self.assertEqual((response.status, response.json()["code"]), (401, "unauthorized"))
        self.assertEqual((self.event("auth_failure"), len(self.sessions)), (2, 0))

    def test_unusable(self) -> None:
        """
        An offer that cannot be used gives its session back.
        """
        self.make()
        for path, message in (
            ("/webrtc/offer", "not the offer of the tests"),
            ("/offer", "failed to set remote description"),
        ):
            response = self.post(path, BAD[path])
            self.assertEqual(response.status, 400)
            self.assertEqual(response.json(), {"code": "bad_message", "message": message})
        self.assertEqual(len(self.sessions), 0)

    def test_mistake(self) -> None:
        """
        Whatever else a peer raises is a 500, and gives the session back.
        """
        self.make()
        self.peers.prepare = lambda peer: setattr(peer, "failure", RuntimeError("no"))
        response = self.post("/offer", GOOD["/offer"])
        self.assertEqual((response.status, response.json()["code"]), (500, "internal_error"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(len(self.sessions), 0)

    def test_full(self) -> None:
        """
        No session, or none that could connect: a 503 that says when to come back.
        """
        self.make(maxRelaySessions=1)
        self.post("/offer", GOOD["/offer"])
        for path, bad in BAD.items():
            response = self.post(path, bad)
            self.assertEqual((response.status, response.json()["code"]), (503, "too_many_sessions"))
            self.assertEqual(response.header(b"Retry-After"), b"1")
        self.peers.made[0].close("done")
        self.peers.isFull = True
        self.assertEqual(self.post("/offer", GOOD["/offer"]).status, 503)
        self.assertEqual(len(self.sessions), 0)

    def test_otherMethods(self) -> None:
        """
        Only C{POST}.
        """
        self.make()
        self.assertEqual(self.client.request(b"GET", "/offer").status, 405)


class GatheringTests(OfferTestCase):
    """
    The answer waits for candidates.
    """

    def setUp(self) -> None:
        self.make()
        self.peers.prepare = lambda peer: setattr(peer, "gathering", Deferred())

    def test_inTime(self) -> None:
        """
        It comes when the last one is found.
        """
        exchange = self.start("/offer", GOOD["/offer"])
        self.clock.advance(1)
        self.assertEqual(exchange.responses(), [])
        self.peers.made[0].gathering.callback(None)
        self.assertEqual(exchange.response().status, 200)
        self.assertEqual(self.event("ice_gathering_timeout"), 0)

    def test_late(self) -> None:
        """
        It does not wait for ever, and says what is known.
        """
        for path, good in GOOD.items():
            before = self.event("ice_gathering_timeout")
            exchange = self.start(path, good)
            self.clock.advance(2)
            self.assertEqual(exchange.response().status, 200)
            self.assertIn("later", exchange.response().text())
            self.assertEqual(self.event("ice_gathering_timeout"), before + 1)
        self.assertEqual(len(self.sessions), 2)

    def test_clientLeaves(self) -> None:
        """
        A client that goes away meanwhile gives the session back, and nothing is counted.
        """
        exchange = self.start("/offer", GOOD["/offer"])
        exchange.disconnect()
        peer = self.peers.made[0]
        self.assertEqual((peer.closed, len(self.sessions)), ("client left", 0))
        peer.gathering.callback(None)
        self.clock.advance(3)
        self.assertEqual(self.event("ice_gathering_timeout"), 0)

    def test_sessionEnds(self) -> None:
        """
        A session that is ended from elsewhere ends its peer.
        """
        self.start("/offer", GOOD["/offer"])
        peer = self.peers.made[0]
        peer.session.end("session closed")
        self.assertEqual(peer.closed, "session closed")
