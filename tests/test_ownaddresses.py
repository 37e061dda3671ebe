"""
The public addresses of this machine as destinations of its clients: refused, unless the operator
opens them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.http import sessionCookie
from .support.lancase import LANCase
from .support.metrics import metric
from .support.mux import POLICY_DENIED, Mux, dataFrame, openFrame
from .support.ownnetwork import inOwnNetwork, ip
from .support.relay import UDPClient, UDPTarget, startRelay
from .support.rigs import ORIGIN, SECRET
from .support.server import Aero, edgeOptions, gatewayOptions
from .support.targets import Target, echo
from .support.websocket import WebSocket, tcpTarget

OWN, LATER = "93.184.216.34", "93.184.216.35"
OWN_V6 = "2606:2800:220:1::1"
ADDRESSES = (f"{OWN}/32", f"{OWN_V6}/128")

_GATEWAY = {"ALLOWED_ORIGINS": ORIGIN, "SESSION_SECRET": SECRET}


class _Patient(SynchronousTestCase):
    """
    Tests that wait.
    """

    def until(self, holds: Any) -> None:
        deadline = time.monotonic() + 15
        while not holds():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)


class TCPTests(_Patient):
    """
    C{/tcp} and C{/tcp-mux}.
    """

    def gateway(self, **variables: str) -> Aero:
        settings: dict[str, Any] = _GATEWAY | variables
        server = Aero(*gatewayOptions(), **settings)
        self.addCleanup(server.stop)
        return server

    def service(self, address: str) -> int:
        target = Target(echo, address)
        self.addCleanup(target.__exit__)
        return target.port

    def status(self, server: Aero, host: str, port: int) -> int:
        with WebSocket(server, tcpTarget(host, port), cookie=sessionCookie(server)) as tunnel:
            status: int = tunnel.response.status
            return status

    @inOwnNetwork(*ADDRESSES)
    def test_refused(self) -> None:
        """
        A service at a public address of this machine is not reached, whatever spelling names it.
        """
        server = self.gateway()
        for address in (OWN, OWN_V6):
            port = self.service(address)
            for host in (address, f"::ffff:{OWN}", f"64:ff9b::{OWN}", "0x5db8d822"):
                self.assertEqual(self.status(server, host, port), 403, host)
        port = self.service(OWN)
        with Mux(server, cookie=sessionCookie(server)) as mux:
            mux.send(openFrame(1, OWN, port))
            self.assertEqual(mux.of(1).error()[0], POLICY_DENIED)
        self.assertEqual(metric(server, "aero_own_addresses"), 4)

    @inOwnNetwork(*ADDRESSES)
    def test_opened(self) -> None:
        """
        The operator opens networks of this machine; the others stay closed.
        """
        server = self.gateway(AERO_REACHABLE_OWN_NETWORKS=f"{OWN}/32")
        port = self.service(OWN)
        self.assertEqual(self.status(server, OWN, port), 101)
        self.assertEqual(self.status(server, OWN_V6, self.service(OWN_V6)), 403)
        with Mux(server, cookie=sessionCookie(server)) as mux:
            mux.send(openFrame(1, OWN, port) + dataFrame(1, b"through"))
            self.assertEqual(mux.data(1, 7), b"through")

    @inOwnNetwork()
    def test_changes(self) -> None:
        """
        An address that is added while the server runs is refused within seconds, and is anybody's
        again after it was removed.
        """
        server = self.gateway(TCP_PROXY_CONNECT_TIMEOUT_MS="500")
        ip("addr", "add", f"{LATER}/32", "dev", "lo")
        port = self.service(LATER)
        self.until(lambda: self.status(server, LATER, port) == 403)
        ip("addr", "del", f"{LATER}/32", "dev", "lo")
        self.until(lambda: self.status(server, LATER, port) != 403)

    @inOwnNetwork()
    def test_configured(self) -> None:
        """
        The public address of a one-to-one NAT is refused, though no interface has it.
        """
        server = self.gateway(
            AERO_OWN_NETWORKS="93.184.216.32/30", TCP_PROXY_CONNECT_TIMEOUT_MS="500"
        )
        self.assertEqual(self.status(server, OWN, 80), 403)
        self.assertNotEqual(self.status(server, "93.184.216.36", 80), 403)


class DatagramTests(_Patient):
    """
    C{/udp}.
    """

    def relay(self, **variables: str) -> Aero:
        server = startRelay(
            ALLOW_PRIVATE_NETWORKS="false",
            DESTINATION_POLICY_PRESET="prod",
            ALLOW_UDP_CIDRS="0.0.0.0/0,::/0",
            **variables,
        )
        self.addCleanup(server.stop)
        return server

    @inOwnNetwork(*ADDRESSES)
    def test_refused(self) -> None:
        """
        Datagrams to this machine are dropped and counted, though every network is permitted.
        """
        server = self.relay()
        for count, address in enumerate((OWN, OWN_V6), 1):
            with UDPTarget(host=address) as target, UDPClient(server) as client:
                client.ready()
                make = target.v2 if ":" in address else target.v1
                client.send(make(7, b"x"))
                self.until(lambda: self.denied(server) == count)  # noqa: B023
                self.assertEqual(target.received, [])

    def denied(self, server: Aero) -> float:
        """
        Datagrams that the policy refused.
        """
        return metric(
            server,
            "aero_webrtc_udp_relay_events_total",
            event="udp_ws_dropped_denied_by_policy",
        )

    @inOwnNetwork(*ADDRESSES)
    def test_opened(self) -> None:
        """
        The operator opens networks of this machine.
        """
        server = self.relay(AERO_REACHABLE_OWN_NETWORKS=OWN)
        with UDPTarget(host=OWN) as target, UDPClient(server) as client:
            client.ready()
            client.send(target.v1(7, b"x"))
            self.assertEqual(client.receive(), target.v1(7, b"x"))


class GuestTests(LANCase, SynchronousTestCase):
    """
    Guests of C{/l2}.
    """

    def edge(self, **variables: str) -> Aero:
        settings: dict[str, Any] = {
            "AERO_L2_AUTH_MODE": "none",
            "AERO_L2_OPEN": "1",
            "HOST": "0.0.0.0",
        }
        server = Aero(*edgeOptions(), **(settings | variables))
        self.addCleanup(server.stop)
        return server

    def isReached(self, guest: Any, host: str, port: int) -> bool:
        connection = guest.connect(host, port)
        guest.until(lambda: connection.established or connection.wasReset, "answered")
        return bool(connection.established)

    def service(self, address: str) -> int:
        target = Target(echo, address)
        self.addCleanup(target.__exit__)
        return target.port

    @inOwnNetwork(*ADDRESSES)
    def test_refused(self) -> None:
        """
        TCP, UDP and pings to a public address of this machine are refused. A forward that the
        operator leads there works.
        """
        port = self.service(OWN)
        server = self.edge(AERO_L2_TCP_FORWARD=f"203.0.113.10:80={OWN}:{port}")
        guest = self.station(server)
        self.assertFalse(self.isReached(guest, OWN, port))
        self.assertFalse(self.isReached(guest, OWN, server.port))
        self.assertTrue(self.isReached(guest, "203.0.113.10", 80))
        with UDPTarget(host=OWN) as datagrams:
            guest.sendDatagram(5_000, OWN, datagrams.port, b"x")
            guest.until(lambda: guest.errors, "refused")
            self.assertEqual(guest.errors[0][:2], (3, 13))
            guest.errors.clear()
            guest.ping(OWN)
            guest.until(lambda: guest.errors, "refused")
            self.assertEqual((guest.echoes, datagrams.received), ([], []))

    @inOwnNetwork(*ADDRESSES)
    def test_site(self) -> None:
        """
        With one setting guests reach the site's HTTPS port, and nothing else of this machine.
        """
        server = self.edge(AERO_L2_ALLOW_SITE="1")
        guest = self.station(server)
        self.assertTrue(self.isReached(guest, OWN, server.port))
        self.assertFalse(self.isReached(guest, OWN, self.service(OWN)))

    @inOwnNetwork(*ADDRESSES)
    def test_opened(self) -> None:
        """
        The operator opens networks of this machine.
        """
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")
        server = self.edge(AERO_REACHABLE_OWN_NETWORKS="93.184.216.0/24")
        guest = self.station(server)
        self.assertTrue(self.isReached(guest, OWN, self.service(OWN)))
        guest.ping(OWN)
        guest.until(lambda: guest.echoes, "answered")
