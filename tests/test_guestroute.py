"""
A guest with a real kernel, and what routers on its way say about its packets.
"""

from __future__ import annotations

import time
from typing import Sequence

from twisted.trial.unittest import SynchronousTestCase

from tests.support.routers import (
    FAR,
    FIRST,
    OWN_PROHIBITED,
    PROHIBITED,
    SECOND,
    UNREACHABLE,
    routers,
)
from tests.support.tools import require

GATEWAY = "10.0.2.2"

#: Arguments: C{udp} or C{tcp}, then addresses. Prints for each the errno, type, code and sender of
#: the ICMP message that the kernel got, and the payload that the message quotes.
ERRORS = """
import errno, select, socket, struct, sys
kind = socket.SOCK_DGRAM if sys.argv[1] == "udp" else socket.SOCK_STREAM
for address in sys.argv[2:]:
    made = socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.IPPROTO_IP, 11, 1)
    made.setblocking(False)
    number = made.connect_ex((address, 9000))
    poll = select.poll()
    poll.register(made, select.POLLERR)
    for _ in range(20):
        if sys.argv[1] == "udp":
            made.send(b"one datagram")
        if poll.poll(1000):
            break
    number = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or number
    data, extra, _, _ = made.recvmsg(512, 512, 0x2000)
    told = extra[0][2]
    quoted = data if sys.argv[1] == "udp" else b""
    print(errno.errorcode[number], told[5], told[6], socket.inet_ntoa(told[20:24]), quoted.decode())
"""


class RouteTests(SynchronousTestCase):
    """
    Errors of routers get to the guest.
    """

    def setUp(self) -> None:
        """
        Plug a guest in.
        """
        require("nsenter")
        self.guest = routers().guest()
        self.addCleanup(self.guest.stop)
        self.guest.configure()

    def _hops(self, *options: str, to: str = FAR) -> list[str]:
        """
        The second word and what follows the time of each line of C{traceroute}.
        """
        command = ("traceroute", "-n", "-q", "1", "-m", "6", "-w", "5", *options, to)
        lines = [line.split() for line in self.guest.run(*command).splitlines()[1:]]
        return [" ".join([words[1], *words[4:]]) for words in lines]

    def test_traceroute(self) -> None:
        """
        C{traceroute} shows the gateway, every router, and the end, with datagrams and with pings.
        """
        require("traceroute")
        for kind in ("-U", "-I", ""):
            self.assertEqual(self._hops(*kind.split()), [GATEWAY, FIRST, SECOND, FAR], kind)

    def _refused(self, command: Sequence[str], expected: str) -> str:
        """
        Run a command until it shows something. A router sends one error a second about routes
        that refuse, after a burst of five.
        """
        deadline = time.monotonic() + 20
        while expected not in (shown := self.guest.attempt(*command).stdout.decode()):
            if time.monotonic() > deadline:
                self.fail(f"{' '.join(command)} shows no {expected!r}: {shown}")
            time.sleep(1)
        return shown

    def test_tracerouteEnds(self) -> None:
        """
        A network that a router refuses shows the router and its reason.
        """
        require("traceroute")
        third = ("-n", "-q", "1", "-N", "1", "-f", "3", "-m", "3", "-w", "2")
        for place, reason in ((UNREACHABLE, "!H"), (PROHIBITED, "!X")):
            for kind in ("-U", "-I"):
                shown = self._refused(("traceroute", kind, *third, place), reason)
                self.assertIn(f" 3  {SECOND} ", shown)
        self.assertEqual(self._hops("-U", to=OWN_PROHIBITED)[-1], f"{GATEWAY} !X")

    def test_datagrams(self) -> None:
        """
        The kernel of the guest gets type, code, sender and its own datagram; a route that this
        server has prohibited is told by the gateway.
        """
        places = (FAR, UNREACHABLE, PROHIBITED, OWN_PROHIBITED)
        self.assertEqual(
            self.guest.python(ERRORS, "udp", *places).splitlines(),
            [
                f"ECONNREFUSED 3 3 {FAR} one datagram",
                f"EHOSTUNREACH 3 1 {SECOND} one datagram",
                f"EHOSTUNREACH 3 13 {SECOND} one datagram",
                f"EHOSTUNREACH 3 13 {GATEWAY} one datagram",
            ],
        )

    def test_connections(self) -> None:
        """
        A connection that a router refuses fails with its error, and one that this server may not
        make with the gateway's.
        """
        places = (UNREACHABLE, PROHIBITED, OWN_PROHIBITED)
        self.assertEqual(
            self.guest.python(ERRORS, "tcp", *places).splitlines(),
            [
                f"EHOSTUNREACH 3 1 {SECOND} ",
                f"EHOSTUNREACH 3 13 {SECOND} ",
                f"EHOSTUNREACH 3 13 {GATEWAY} ",
            ],
        )

    def test_ping(self) -> None:
        """
        C{ping} shows the router that sent an error, and why.
        """
        for place, options, expected in (
            (FAR, ("-t", "2"), f"From {FIRST} icmp_seq=1 Time to live exceeded"),
            (FAR, ("-t", "3"), f"From {SECOND} icmp_seq=1 Time to live exceeded"),
            (UNREACHABLE, (), f"From {SECOND} icmp_seq=1 Destination Host Unreachable"),
            (PROHIBITED, (), f"From {SECOND} icmp_seq=1 Packet filtered"),
            (OWN_PROHIBITED, (), f"From {GATEWAY} icmp_seq=1 Packet filtered"),
        ):
            self._refused(("ping", "-n", "-c", "1", "-W", "2", *options, place), expected)
        self.guest.run("ping", "-c", "1", "-W", "5", "-t", "4", FAR)
