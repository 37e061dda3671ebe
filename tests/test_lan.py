"""
The LAN behind C{/l2}, seen from the guest: DHCP, ARP and TCP (l2.md section 20.5).
"""

from __future__ import annotations

from functools import cache

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.guest import GuestTCP
from aero.testing.packets import ACK, PSH, RST, SYN

from .support.l2 import OPEN, l2Options
from .support.lancase import PLACE, LANCase
from .support.metrics import metric
from .support.server import Aero, run
from .support.station import Station
from .support.targets import Filtered, Target, banner, echo, refusedPort, source

GREETING = b"220 ready\r\n"
BULK = 3_000_000
ISN = 5_000


class TCPCase(LANCase):
    """
    Guests that open connections.
    """

    def forwarding(self, *ports: int, **variables: str) -> Aero:
        """
        A server that leads C{PLACE} to ports of loopback: 80, 81 and so on.
        """
        forwards = ",".join(
            f"{PLACE}:{80 + index}=127.0.0.1:{port}" for index, port in enumerate(ports)
        )
        return self.serve(AERO_L2_TCP_FORWARD=forwards, **variables)

    def filtered(self) -> int:
        """
        A port that no connection to ever comes about.
        """
        there = Filtered()
        there.__enter__()
        self.addCleanup(there.__exit__)
        return there.port

    def refused(self, guest: Station, connection: GuestTCP) -> None:
        """
        The SYN is answered with a RST that acknowledges it.
        """
        guest.until(lambda: connection.wasReset, "reset")
        self.assertEqual(connection.log[-1].flags & (RST | ACK), RST | ACK)
        self.assertEqual(connection.log[-1].acknowledgment, ISN + 1)


@cache
def usual() -> Aero:
    """
    The server that most tests share: C{PLACE} leads to an echo at port 80, to a server that
    speaks first at 81, to one that sends a lot at 82; a closed port at 83, port 0 at 84.
    """
    ports = [Target(behaviour).port for behaviour in (echo, banner(GREETING), source(BULK))]
    forwards = ",".join(
        f"{PLACE}:{80 + index}=127.0.0.1:{port}"
        for index, port in enumerate([*ports, refusedPort(), 0])
    )
    variables = OPEN | {"AERO_L2_TCP_FORWARD": forwards}
    return Aero(*l2Options(), state=None, runDir=None, **variables)


class AddressTests(TCPCase, SynchronousTestCase):
    """
    Getting an address.
    """

    def test_dhcp(self) -> None:
        """
        Two OFFERs, then two ACKs, with everything that a guest needs (L1).
        """
        guest = self.station(usual())
        self.assertEqual([offer[0] for offer in guest.offers], [2, 2, 5, 5])
        for _, address, options in guest.offers:
            self.assertEqual(address, "10.0.2.15")
            self.assertEqual({options[code] for code in (3, 6, 54)}, {bytes((10, 0, 2, 2))})

    def test_arp(self) -> None:
        """
        The gateway is found, before there is an address and after (L2).
        """
        guest = self.station(usual(), lease=False)
        for source_ in ("10.0.2.15", "0.0.0.0"):
            guest.askWho("10.0.2.2", source_)
        guest.until(lambda: len(guest.arps) == 2, "answered")
        self.assertEqual(set(guest.arps), {("10.0.2.2", bytes.fromhex("020000000001"))})
        frame = guest.frames[0]
        self.assertEqual((frame[:6], frame[6:12]), (guest.mac, guest.gatewayMAC))
        self.assertEqual((frame[32:38], frame[38:42]), (guest.mac, bytes((10, 0, 2, 15))))

    def test_plan(self) -> None:
        """
        Contradictions in the address plan stop the start, with the variable's name.
        """
        options = ("--services", "l2", "--l2-listen", "127.0.0.1:0")
        for variable, value in (
            ("AERO_L2_GATEWAY_ADDRESS", "10.0.3.1"),
            ("AERO_L2_MTU", "9000"),
            ("AERO_L2_ALLOWED_TCP_PORTS", "nope"),
        ):
            result = run(*options, AERO_L2_AUTH_MODE="none", AERO_L2_OPEN="1", **{variable: value})
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(f"{variable}={value}", result.stderr + result.stdout)


class TCPTests(TCPCase, SynchronousTestCase):
    """
    TCP through the LAN.
    """

    def test_echo(self) -> None:
        """
        Handshake, data, the same data, FIN and FIN (L7).
        """
        guest = self.station(usual())
        connection = guest.connect(PLACE, 80)
        guest.until(lambda: connection.established, "established")
        self.assertEqual(connection.log[0].acknowledgment, ISN + 1)
        first = connection.log[0].sequence + 1 & 0xFFFFFFFF
        connection.write(b"hello")
        guest.until(lambda: connection.received == b"hello", "echoed")
        data = next(segment for segment in connection.log if segment.data)
        self.assertEqual(data.sequence, first)
        connection.close()
        guest.until(lambda: connection.ended and connection.finished, "ended")
        self.assertFalse(connection.wasReset)

    def test_twoSegments(self) -> None:
        """
        1800 bytes in two segments without waiting come back in order (L8).
        """
        guest = self.station(usual())
        connection = guest.connect(PLACE, 80)
        guest.until(lambda: connection.established, "established")
        data = bytes(range(256)) * 7
        connection.write(data[:1_200])
        connection.write(data[1_200:])
        guest.until(lambda: len(connection.received) == len(data), "echoed")
        self.assertEqual(connection.received, data)

    def test_bulk(self) -> None:
        """
        A download far larger than any window arrives, segments are as long as the guest
        allows, and the last byte is followed by the end.
        """
        server = usual()
        guest = self.station(server)
        connection = guest.connect(PLACE, 82)
        guest.until(lambda: connection.ended, "at the end", 60)
        self.assertEqual(connection.received, (bytes(range(256)) * 11_719)[:BULK])
        self.assertLessEqual(max(len(segment.data) for segment in connection.log), 1_460)
        self.eventually(lambda: metric(server, "l2_tcp_conns_active") == 1, "half closed")
        connection.close()
        self.eventually(lambda: metric(server, "l2_tcp_conns_active") == 0, "over")

    def test_banner(self) -> None:
        """
        What a server says first is not lost, and a guest that ends its side first still gets
        the answer.
        """
        guest = self.station(usual())
        connection = guest.connect(PLACE, 81)
        guest.until(lambda: connection.received == GREETING, "greeted")
        connection.write(b"QUIT\r\n")
        connection.close()
        guest.until(lambda: connection.ended, "at the end")
        self.assertEqual(connection.received, GREETING + b"QUIT\r\n")

    def test_denied(self) -> None:
        """
        Addresses that are not public are refused (L3), ports that are not listed too, forwarded
        or not, and both are counted (L4, L14).
        """
        server = self.forwarding(
            self.target(echo), self.target(echo), AERO_L2_ALLOWED_TCP_PORTS="80"
        )
        guest = self.station(server)
        self.refused(guest, guest.connect("10.0.0.1", 80))
        self.grows(
            server,
            lambda: self.refused(guest, guest.connect(PLACE, 81)),
            "l2_policy_denied_total",
        )
        self.refused(guest, guest.connect("8.8.8.8", 81))
        allowed = guest.connect(PLACE, 80)
        guest.until(lambda: allowed.established, "established")

    def test_noConnections(self) -> None:
        """
        A limit of 0 connections refuses every one (L10).
        """
        guest = self.station(self.serve(AERO_L2_STACK_MAX_TCP_CONNECTIONS="0"))
        self.refused(guest, guest.connect("8.8.8.8", 80))

    def test_oneConnection(self) -> None:
        """
        A limit of 1 refuses the second while the first hangs (L10).
        """
        server = self.forwarding(self.filtered(), AERO_L2_STACK_MAX_TCP_CONNECTIONS="1")
        guest = self.station(server)
        first = guest.connect(PLACE, 80)
        self.refused(guest, guest.connect(PLACE, 80))
        self.assertFalse(first.wasReset)

    def test_earlyData(self) -> None:
        """
        Data on the heels of the SYN, with an acknowledgment of 0, is acknowledged while the
        dial hangs (L11).
        """
        server = self.forwarding(
            self.filtered(), AERO_L2_STACK_MAX_BUFFERED_TCP_BYTES_PER_CONN="1024"
        )
        guest = self.station(server)
        self.hurry(guest)
        guest.until(
            lambda: any(s.flags == ACK and s.acknowledgment == ISN + 6 for s in guest.segments),
            "acknowledged",
        )

    def test_noEarlyData(self) -> None:
        """
        Where no early data is allowed the same is a reset (L11).
        """
        server = self.forwarding(self.filtered(), AERO_L2_STACK_MAX_BUFFERED_TCP_BYTES_PER_CONN="0")
        guest = self.station(server)
        self.hurry(guest)
        guest.until(lambda: any(s.flags & RST for s in guest.segments), "reset")
        reset = next(segment for segment in guest.segments if segment.flags & RST)
        self.assertEqual(reset.acknowledgment, ISN + 1)

    def hurry(self, guest: Station) -> None:
        """
        Send a SYN, and data before any answer.
        """
        guest.resetsStrangers = False
        guest.sendSegment(4_444, (PLACE, 80), ISN, 0, SYN, 65_535)
        guest.sendSegment(4_444, (PLACE, 80), ISN + 1, 0, ACK | PSH, 65_535, b"hello")

    def test_nobody(self) -> None:
        """
        A target that refuses is a RST, whether its port is closed or 0, and a failed
        connection (L12).
        """
        server = usual()
        guest = self.station(server)
        before = metric(server, "l2_tcp_connect_fail_total")
        for count, port in enumerate((83, 84), 1):
            self.refused(guest, guest.connect(PLACE, port))
            self.assertEqual(metric(server, "l2_tcp_connect_fail_total"), before + count)

    def test_gauge(self) -> None:
        """
        Connections are counted from the SYN on, until the guest resets them or is gone (L13).
        """
        server = usual()
        guest = self.station(server)
        self.eventually(lambda: metric(server, "l2_tcp_conns_active") == 0, "nothing open")
        connection = guest.connect(PLACE, 80)
        guest.until(lambda: connection.established, "established")
        self.assertEqual(metric(server, "l2_tcp_conns_active"), 1)
        connection.abort()
        self.eventually(lambda: metric(server, "l2_tcp_conns_active") == 0, "reset", 2)
        again = guest.connect(PLACE, 80)
        guest.until(lambda: again.established, "established")
        self.assertEqual(metric(server, "l2_tcp_conns_active"), 1)
        guest.leave()
        self.eventually(lambda: metric(server, "l2_tcp_conns_active") == 0, "gone")

    def test_unreachable(self) -> None:
        """
        Nothing in the LAN leads to this machine, although private addresses are allowed.
        """
        guest = self.station(self.serve(AERO_L2_ALLOW_PRIVATE_IPS="1"))
        self.refused(guest, guest.connect("10.0.2.2", 22))
        port = self.target(echo)
        allowed = guest.connect("127.0.0.1", port)
        guest.until(lambda: allowed.established, "established")

    def test_oldConnection(self) -> None:
        """
        A guest that comes back with a connection of an earlier tunnel is told so at once.
        """
        guest = self.station(usual())
        guest.resetsStrangers = False
        guest.sendSegment(4_444, (PLACE, 80), 77, 99, ACK, 65_535, b"still there?")
        guest.until(lambda: any(s.flags & RST for s in guest.segments), "reset")
        self.assertEqual(guest.segments[0].sequence, 99)
