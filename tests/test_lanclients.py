"""
The LAN as the reference's own clients use it: its probe, and its page (l2.md section 20.5).
"""

from __future__ import annotations

from functools import cache

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.guest import GuestTCP

from .support.l2 import PROTOCOL, Guest, l2Options
from .support.l2case import SECRET, cookie
from .support.lancase import PLACE, LANCase
from .support.metrics import metric
from .support.server import Aero
from .support.station import Station, UDPEcho
from .support.targets import Target, echo

#: What DHCP clients ask for: mask, router, DNS, domain, MTU, broadcast, NTP, lease, T1, T2, search
#: list and routes.
ASKED = bytes((1, 3, 6, 15, 26, 28, 42, 51, 58, 59, 119, 121))


@cache
def site() -> Aero:
    """
    A server that wants the cookie of a session, and that requests come from its own pages.
    """
    tcp, udp = Target(echo), UDPEcho()
    return Aero(
        *l2Options(),
        state=None,
        runDir=None,
        AERO_L2_AUTH_MODE="session",
        SESSION_SECRET=SECRET,
        AERO_L2_DNS_A=f"echo.local={PLACE}",
        AERO_L2_TCP_FORWARD=f"{PLACE}:80=127.0.0.1:{tcp.port}",
        AERO_L2_UDP_FORWARD=f"{PLACE}:7=127.0.0.1:{udp.port}",
    )


class ClientTests(LANCase, SynchronousTestCase):
    """
    Clients with a cookie.
    """

    def client(self) -> Station:
        """
        A page's guest.
        """
        origin = f"http://localhost:{site().port}"
        return self.station(site(), lease=False, cookie=cookie(), origin=origin)

    def test_probe(self) -> None:
        """
        The probe asks by DHCP for what it wants, then who the gateway is and where the echo is,
        and sends it 1800 bytes in two pieces without waiting; they come back in order (L8).
        """
        guest = self.client()
        guest.sendDHCP(1, [(55, ASKED)])
        guest.until(lambda: len(guest.offers) == 2, "offered")
        gateway = bytes((10, 0, 2, 2))
        guest.sendDHCP(3, [(55, ASKED), (50, bytes((10, 0, 2, 15))), (54, gateway)])
        guest.until(lambda: len(guest.offers) == 4, "acknowledged")
        self.assertEqual([kind for kind, _, _ in guest.offers], [2, 2, 5, 5])
        for _, address, options in guest.offers:
            self.assertEqual(address, "10.0.2.15")
            self.assertEqual([options[code] for code in (54, 3, 6)], [gateway] * 3)
            self.assertEqual(options[1], bytes((255, 255, 255, 0)))
            self.assertEqual(int.from_bytes(options[51], "big"), 86_400)
        guest.askWho("10.0.2.2")
        guest.until(lambda: guest.arps, "answered")
        self.assertEqual(guest.arps, [("10.0.2.2", bytes.fromhex("020000000001"))])
        found = self.addresses(guest, "echo.local")
        self.assertEqual(found, [PLACE])
        connection = guest.connect(found[0], 80)
        guest.until(lambda: connection.established, "established")
        data = bytes(range(250)) * 7 + bytes(50)
        self.assertEqual(len(data), 1_800)
        connection.write(data[:1_200])
        connection.write(data[1_200:])
        guest.until(lambda: len(connection.received) >= len(data), "echoed")
        self.assertEqual(connection.received, data)
        self.assertInOrder(connection)

    def assertInOrder(self, connection: GuestTCP) -> None:
        """
        The segments of a connection follow each other by their numbers.
        """
        expected = connection.log[0].sequence + 1 & 0xFFFFFFFF
        for segment in connection.log[1:]:
            self.assertEqual(segment.sequence, expected)
            expected = expected + len(segment.data) & 0xFFFFFFFF

    def test_page(self) -> None:
        """
        A page with the cookie of its session sees the subprotocol, and gets its datagram back;
        without the cookie there is no tunnel (L9).
        """
        origin = f"http://localhost:{site().port}"
        with Guest(site(), origin=origin) as refused:
            self.assertEqual(refused.response.status, 401)
            self.assertEqual(refused.body, "missing or expired session")
        guest = self.client()
        self.assertEqual(guest.tunnel.response.one("Sec-WebSocket-Protocol"), PROTOCOL)
        guest.lease()
        guest.sendDatagram(5_000, PLACE, 7, b"hi-udp")
        guest.until(lambda: guest.datagrams, "answered")
        found = guest.datagrams[0]
        self.assertEqual((found.source, found.data), ((PLACE, 7), b"hi-udp"))
        self.assertEqual(found.destination, ("10.0.2.15", 5_000))
        self.assertEqual(metric(site(), "l2_udp_flows_active"), 1)
