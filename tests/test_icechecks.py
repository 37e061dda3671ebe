"""
ICE checks to addresses that did not ask for them: where the relay sends them, and how many.
"""

from __future__ import annotations

import json
import select
import socket
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.http import request
from .support.metrics import metric
from .support.ownnetwork import inOwnNetwork
from .support.relay import startRelay
from .support.server import Aero

#: Seconds in which all checks of a session are sent: seven of each, half a second apart at first.
WINDOW = 6.0
OWN = "93.184.216.34"

#: An offer without candidates.
OFFER = "\r\n".join(
    (
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        f"a=ice-ufrag:{'chosen' * 40}",
        f"a=ice-pwd:{'x' * 24}",
        f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}",
        "a=setup:actpass",
        "a=sctp-port:5000",
        "",
    )
)


class CheckTests(SynchronousTestCase):
    """
    Offers whose candidates are somebody else's.
    """

    def relay(self, **variables: str) -> Aero:
        server = startRelay(WEBRTC_UDP_LISTEN_IP="127.0.0.1", **variables)
        self.addCleanup(server.stop)
        return server

    def sockets(self, count: int, host: str = "127.0.0.1") -> list[socket.socket]:
        found = []
        for _ in range(count):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(sock.close)
            sock.bind((host, 0))
            found.append(sock)
        return found

    def offer(self, server: Aero, sockets: list[socket.socket], kind: str = "host") -> None:
        lines = "".join(
            f"a=candidate:{n} 1 udp 2130706431 {sock.getsockname()[0]} {sock.getsockname()[1]}"
            f" typ {kind}\r\n"
            for n, sock in enumerate(sockets, 1)
        )
        body = json.dumps({"sdp": {"type": "offer", "sdp": OFFER + lines}}).encode()
        headers = ("Content-Type", "application/json")
        response = request(server, "POST", "/webrtc/offer", headers, body=body)
        self.assertEqual(response.status, 200, response.body)

    def received(self, sockets: list[socket.socket], seconds: float = WINDOW) -> int:
        """
        How many datagrams come.
        """
        count, deadline = 0, time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            readable: list[Any] = select.select(sockets, [], [], left)[0]
            for sock in readable:
                sock.recv(2_048)
                count += 1
        return count

    @inOwnNetwork(f"{OWN}/32")
    def test_policy(self) -> None:
        """
        Without leave for private candidates none goes to loopback, or to this machine's public
        address. With it, checks are sent.
        """
        places = self.sockets(1) + self.sockets(1, OWN)
        server = self.relay(AERO_WEBRTC_UDP_RELAY_MODE="prod")
        for kind in ("host", "srflx", "relay"):
            self.offer(server, places, kind)
        self.assertEqual(self.received(places, 2.0), 0)
        refused = metric(server, "aero_relay_ice_refused_total", reason="policy")
        self.assertEqual(refused, 6)
        self.offer(self.relay(), places)
        self.assertGreater(self.received(places, 2.0), 0)

    @inOwnNetwork()
    def test_few(self) -> None:
        """
        However many candidates one offer names at an address that does not answer, 16 checks go
        there.
        """
        places = self.sockets(64)
        server = self.relay()
        self.offer(server, places)
        self.assertEqual(self.received(places), 16)

    @inOwnNetwork()
    def test_fewForClient(self) -> None:
        """
        Many offers of one client do not send more than its rate allows.
        """
        places = self.sockets(1)
        server = self.relay(AERO_WEBRTC_CHECKS_PER_SECOND_PER_IP="1")
        for _ in range(20):
            self.offer(server, places)
        found = self.received(places, 4.0)
        self.assertGreaterEqual(found, 10)
        self.assertLessEqual(found, 20)
