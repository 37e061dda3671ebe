"""
WebRTC through a TURN server: coturn with credentials that the relay makes (relay.md section 8.2).
"""

from __future__ import annotations

import hmac
import time
from base64 import b64encode
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.browser import inBrowserThread
from .support.http import request
from .support.relay import UDPTarget
from .support.rtcstreet import HERE, RelayPage, relay, street
from .support.turn import Turn

SECRET = "what coturn and aero know"


class TurnTests(SynchronousTestCase):
    """
    C{iceTransportPolicy: "relay"}.
    """

    def configuration(self, page: RelayPage) -> dict[str, Any]:
        """
        What a page makes of C{/webrtc/ice}.
        """
        servers = page.page.evaluate("fetch('/webrtc/ice').then((found) => found.json())")
        return {**servers, "iceTransportPolicy": "relay"}

    @inBrowserThread
    def test_bytesPass(self) -> None:
        """
        With the credentials of C{/webrtc/ice}, which are new for each request, a browser that may
        only use the TURN server connects, and datagrams pass.
        """
        street()
        with Turn(HERE, SECRET) as turn, UDPTarget() as target:
            server = relay(AERO_TURN_URLS=turn.url, TURN_REST_SHARED_SECRET=SECRET)
            self.addCleanup(server.stop)
            first, second = (
                request(server, "GET", "/webrtc/ice").json()["iceServers"][0] for _ in range(2)
            )
            self.assertRegex(first["username"], r"^\d+:aero:[0-9a-f]{32}$")
            self.assertNotEqual(first["username"], second["username"])
            for via in ("signal", "offer"):
                with RelayPage(server) as page:
                    page.connect(via=via, configuration=self.configuration(page))
                    page.send("udp", target.v1(7, b"through TURN"))
                    self.assertEqual(page.receive("udp"), target.v1(7, b"through TURN"))
                    pairs = page.page.evaluate(
                        """async () => [...(await rtc.peers.get("0").connection.getStats()).values()]
                        .filter(({ type }) => type === "local-candidate")
                        .map(({ candidateType }) => candidateType)"""
                    )
                    self.assertEqual(set(pairs), {"relay"})

    @inBrowserThread
    def test_wrongSecret(self) -> None:
        """
        Where the secrets differ the browser finds no candidate, and the relay ends the session
        after its time to connect, for that reason.
        """
        street()
        with Turn(HERE, "another secret") as turn:
            server = relay(
                AERO_TURN_URLS=turn.url,
                TURN_REST_SHARED_SECRET=SECRET,
                WEBRTC_SESSION_CONNECT_TIMEOUT="2s",
            )
            self.addCleanup(server.stop)
            with RelayPage(server) as page:
                page.connect(configuration=self.configuration(page), open=False)
                closed = page.call("socketClosed")
                self.assertEqual(closed, {"code": 1000, "reason": "connect timeout"})
                self.assertNotEqual(page.call("inspect")["ice"], "connected")
            self.assertIn("Cannot find credentials", turn.log.read_text())

    @inBrowserThread
    def test_relayUsesItToo(self) -> None:
        """
        With credentials of its own the relay offers a relayed candidate, and a browser that sees no
        other candidate of the relay's, and has none but a relayed one, connects to it.
        """
        street()
        name = f"{int(time.time()) + 3_600}:aero:relay"
        password = b64encode(hmac.digest(SECRET.encode(), name.encode(), "sha1")).decode()
        with Turn(HERE, SECRET) as turn, UDPTarget() as target:
            server = relay(
                AERO_TURN_URLS=turn.url,
                AERO_TURN_USERNAME=name,
                AERO_TURN_CREDENTIAL=password,
            )
            self.addCleanup(server.stop)
            with RelayPage(server) as page:
                own = {"urls": turn.url, "username": name, "credential": password}
                configuration = {"iceServers": [own], "iceTransportPolicy": "relay"}
                found = page.connect(via="offer", drop=" typ host", configuration=configuration)
                self.assertIn(" typ relay", found["answer"])
                page.send("udp", target.v1(7, b"both"))
                self.assertEqual(page.receive("udp"), target.v1(7, b"both"))
