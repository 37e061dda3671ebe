"""
What was accepted from a client reaches a target that reads late, however the client ends: over
C{/l2}, C{/tcp}, C{/tcp-mux} and the data channel C{l2}. Only the end of its session resets.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.guest import GuestTCP

from .support.ending import WAYS, ChannelStation, Paused, sendText
from .support.http import request, sessionCookie
from .support.lancase import PLACE
from .support.metrics import metric, settled
from .support.mux import SUBPROTOCOL, dataFrame, openFrame
from .support.server import Aero
from .support.station import Station
from .support.targets import Target
from .support.tools import freePort
from .support.websocket import WebSocket, tcpTarget

#: As in the report of the fault; and more than the systems between take for a target that pauses.
SMALL, LARGE = 40_000, 6_000_000
DATA = os.urandom(LARGE)


class _Case(SynchronousTestCase):
    """
    A server with all three services, and a target that pauses.
    """

    def setUp(self) -> None:
        """
        Start both.
        """
        self.paused = Paused()
        self.target = Target(self.paused)
        self.addCleanup(self.target.__exit__)
        self.aero = self.start()

    def start(self, **variables: str) -> Aero:
        """
        Start a server.
        """
        server = Aero(
            *("--services", "gateway,l2,relay", "--tls", "off"),
            *("--bind", "127.0.0.1", "--port", str(freePort())),
            state=None,
            runDir=None,
            **{
                "ALLOWED_ORIGINS": "*",
                "AERO_L2_AUTH_MODE": "session",
                "AERO_L2_OPEN": "1",
                "AERO_L2_TCP_FORWARD": f"{PLACE}:80=127.0.0.1:{self.target.port}",
                "TCP_ALLOW_PRIVATE_IPS": "1",
                "UDP_RELAY_AUTH_MODE": "none",
                "WEBRTC_UDP_LISTEN_IP": "127.0.0.1",
            }
            | variables,
        )
        self.addCleanup(server.kill)
        self.cookie = sessionCookie(server)
        return server

    def logOut(self) -> None:
        """
        End the session.
        """
        response = request(self.aero, "DELETE", "/session", ("Cookie", self.cookie))
        self.assertEqual(response.status, 204)

    def assertArrived(self, least: int, most: int, what: str) -> None:
        """
        The target got so many bytes, as they were sent, and then the end of the stream.
        """
        size, digest, end = self.paused.wait()
        self.assertEqual(end, "closed", what)
        self.assertTrue(least <= size <= most, f"{what}: {size} of {least} to {most}")
        self.assertEqual(digest, hashlib.sha256(DATA[:size]).hexdigest(), what)

    def assertNothingLeft(self) -> None:
        """
        Nothing of a connection is left.
        """
        self.assertEqual(settled(self.aero, "aero_delivery_connections", 0), 0)
        self.assertEqual(metric(self.aero, "aero_delivery_bytes"), 0)


class GuestTests(_Case):
    """
    C{/l2} and the data channel.
    """

    def connect(self, station: Station, size: int) -> tuple[GuestTCP, int]:
        """
        Send bytes to the target, as far as the stack takes them.

        @return: The connection, and how many were acknowledged.
        """
        self.addCleanup(station.leave)
        station.lease()
        guest = station.connect(PLACE, 80)
        station.until(lambda: guest.established, "connected")
        guest.write(DATA[:size])
        deadline, before = time.monotonic() + 1.0, -1
        while time.monotonic() < deadline and guest.unacknowledged not in (0, before):
            before = guest.unacknowledged
            station.wait(0.15)
        return guest, size - guest.unacknowledged

    def webSocket(self) -> Station:
        """
        A guest at C{/l2}.
        """
        return Station(self.aero, cookie=self.cookie)

    def channel(self) -> ChannelStation:
        """
        A guest on a data channel.
        """
        return ChannelStation(self.aero, Cookie=self.cookie)

    def test_ways(self) -> None:
        """
        However a guest's WebSocket ends, 40,000 bytes that were acknowledged arrive.
        """
        for name, end in WAYS.items():
            station = self.webSocket()
            _, acknowledged = self.connect(station, SMALL)
            self.assertEqual(acknowledged, SMALL)
            end(station.tunnel)
            self.assertArrived(SMALL, SMALL, name)
        self.assertNothingLeft()

    def test_much(self) -> None:
        """
        So does as much as the guest's window allows while the target takes nothing, the bytes
        that nobody had room for yet included.
        """
        station = self.webSocket()
        _, acknowledged = self.connect(station, LARGE)
        self.assertGreater(acknowledged, 262_144)
        WAYS["vanished"](station.tunnel)
        self.assertArrived(acknowledged, LARGE, "vanished")

    def test_messageOfNone(self) -> None:
        """
        So does what came before a message that ends the tunnel with an ERROR.
        """
        station = self.webSocket()
        self.connect(station, SMALL)
        station.tunnel.send(b"no message of the tunnel")
        self.assertEqual(station.tunnel.untilEnd().code, 1008)
        self.assertArrived(SMALL, SMALL, "an ERROR")

    def test_quota(self) -> None:
        """
        So does what came before a quota that ends the tunnel.
        """
        self.aero.stop()
        self.aero = self.start(AERO_L2_MAX_BYTES_PER_CONNECTION="100000")
        station = self.webSocket()
        self.connect(station, SMALL)
        station.tunnel.send(bytes.fromhex("a2030100") + bytes(200))
        for _ in range(200):
            station.tunnel.send(bytes.fromhex("a2030000") + bytes(1_000))
        self.assertEqual(station.tunnel.untilEnd().error, (6, "byte quota exceeded"))
        self.assertArrived(SMALL, SMALL, "a quota")

    def test_drain(self) -> None:
        """
        A process that stops waits until the target has what was acknowledged.
        """
        for make in (self.webSocket, self.channel):
            _, acknowledged = self.connect(make(), LARGE)
            self.assertEqual(self.aero.stop(), 0)
            self.assertArrived(acknowledged, LARGE, "drain")
            self.aero = self.start()

    def test_loggedOut(self) -> None:
        """
        The end of the session resets the connections of its guests, whatever carries them.
        """
        for make in (self.webSocket, self.channel):
            self.connect(make(), LARGE)
            self.logOut()
            self.assertEqual(self.paused.wait()[2], "reset")
            self.cookie = sessionCookie(self.aero)
        self.assertNothingLeft()

    def test_channel(self) -> None:
        """
        However a data channel ends, and with it perhaps the whole connection, what was
        acknowledged arrives.
        """
        self.aero.stop()
        self.aero = self.start(WEBRTC_ICE_CONSENT_TIMEOUT="3s")
        ends: dict[str, Any] = {
            "channel closed": lambda station: station.channel.close(),
            "connection closed": lambda station: station.peer.close(),
            "vanished": lambda station: station.peer.vanish(),
        }
        for name, end in ends.items():
            self.paused.seconds = 1.5 if name != "vanished" else 6.0
            station = self.channel()
            _, acknowledged = self.connect(station, SMALL)
            self.assertEqual(acknowledged, SMALL)
            end(station)
            self.assertArrived(SMALL, SMALL, name)
        self.assertNothingLeft()

    def test_limit(self) -> None:
        """
        Beyond the limit on bytes a connection is reset, and that is counted.
        """
        self.aero.stop()
        self.aero = self.start(AERO_DELIVERY_MAX_BYTES_PER_IP="1000")
        station = self.webSocket()
        self.connect(station, LARGE)
        WAYS["1000"](station.tunnel)
        self.assertEqual(self.paused.wait()[2], "reset")
        refused = metric(self.aero, "aero_delivery_refused_total", limit="bytes", scope="client")
        self.assertEqual(refused, 1)
        self.assertNothingLeft()

    def test_late(self) -> None:
        """
        A target that reads nothing in the time that there is for it is reset.
        """
        self.aero.stop()
        self.aero = self.start(AERO_DELIVERY_TIMEOUT_MS="500")
        self.paused.seconds = 5.0
        station = self.webSocket()
        self.connect(station, LARGE)
        WAYS["1000"](station.tunnel)
        self.assertEqual(self.paused.wait()[2], "reset")
        self.assertEqual(metric(self.aero, "aero_delivery_ended_total", outcome="timeout"), 1)


class ClientTests(_Case):
    """
    C{/tcp} and C{/tcp-mux}.
    """

    def tcp(self, size: int) -> WebSocket:
        """
        A client of C{/tcp} that has sent so many bytes.
        """
        client = WebSocket(self.aero, tcpTarget("127.0.0.1", self.target.port), cookie=self.cookie)
        self.addCleanup(client.connection.close)
        self.assertTrue(client.accepted, str(client.response))
        for at in range(0, size, 100_000):
            client.send(DATA[at : min(size, at + 100_000)])
        return client

    def mux(self, size: int) -> WebSocket:
        """
        A client of C{/tcp-mux}.
        """
        client = WebSocket(
            self.aero,
            "/tcp-mux",
            ("Sec-WebSocket-Protocol", SUBPROTOCOL),
            cookie=self.cookie,
        )
        self.addCleanup(client.connection.close)
        self.assertTrue(client.accepted, str(client.response))
        client.send(openFrame(1, "127.0.0.1", self.target.port))
        for at in range(0, size, 100_000):
            client.send(dataFrame(1, DATA[at : min(size, at + 100_000)]))
        return client

    def test_ways(self) -> None:
        """
        However the WebSocket ends, what came before arrives.
        """
        for make in (self.tcp, self.mux):
            for name, end in {**WAYS, "text": sendText}.items():
                client = make(SMALL)
                time.sleep(0.2)  # a reset overtakes what was not read
                end(client)
                self.assertArrived(SMALL, SMALL, f"{make.__name__} {name}")
        self.assertNothingLeft()

    def test_atOnce(self) -> None:
        """
        What is sent and followed by the end at once arrives, although the target is not even
        connected by then.
        """
        for make in (self.tcp, self.mux):
            for name in ("1000", "vanished"):
                WAYS[name](make(SMALL))
                self.assertArrived(SMALL, SMALL, f"{make.__name__} {name}")

    def test_much(self) -> None:
        """
        Several megabytes arrive that wait in the server.
        """
        WAYS["1000"](self.tcp(LARGE))
        self.assertArrived(LARGE, LARGE, "tcp")

    def test_drain(self) -> None:
        """
        A process that stops waits until the target has everything, also from clients that do not
        answer its close frame.
        """
        for make in (self.tcp, self.mux):
            make(SMALL)
            time.sleep(0.2)
            self.assertEqual(self.aero.stop(), 0)
            self.assertArrived(SMALL, SMALL, make.__name__)
            self.aero = self.start()

    def test_loggedOut(self) -> None:
        """
        The end of the session resets its connections.
        """
        for make in (self.tcp, self.mux):
            make(SMALL)
            time.sleep(0.2)
            self.logOut()
            self.assertEqual(self.paused.wait()[2], "reset")
            self.cookie = sessionCookie(self.aero)
        self.assertNothingLeft()
