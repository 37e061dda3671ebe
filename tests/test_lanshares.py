"""
What one guest may take of what all guests share: memory, sockets, and the resolver.
"""

from __future__ import annotations

import socket
import threading
import time

import dns.message
from twisted.trial.unittest import SynchronousTestCase

from aero.testing.guest import GuestTCP

from .support.lancase import PLACE, LANCase
from .support.metrics import counted, metric, settled
from .support.nameservers import Asked, Scripted
from .support.targets import echo

MIB = 1 << 20


def spew(connection: socket.socket) -> None:
    """
    Send for as long as it is taken.
    """
    connection.settimeout(20)
    try:
        while True:
            connection.sendall(b"x" * 65_536)
    except OSError:
        return


def answered(asked: Asked) -> None:
    """
    Give every name one address.
    """
    query = dns.message.from_wire(asked.wire)
    reply = dns.message.make_response(query)
    reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "93.184.215.14"))
    asked.send(reply.to_wire())


class MemoryTests(LANCase, SynchronousTestCase):
    """
    A guest with many connections to targets that send without end, and that takes nothing.
    """

    def test_spewingTargets(self) -> None:
        """
        The server's memory stays within the guest's share, connections beyond it are reset, and
        the connections of another client work. Everything is given back with the guest.
        """
        port, other = self.target(spew), self.target(echo)
        server = self.serve(
            AERO_L2_TCP_FORWARD=f"{PLACE}:80=127.0.0.1:{port},{PLACE}:81=127.0.0.1:{other}",
            AERO_MAX_WAITING_BYTES_PER_IP=str(16 * MIB),
            AERO_MAX_WAITING_BYTES=str(64 * MIB),
            AERO_L2_NEW_FLOWS_PER_SECOND="0",
            TRUST_PROXY="1",
            AERO_TRUSTED_PROXIES="127.0.0.0/8",
        )
        guest = self.station(server)
        before = server.residentBytes()
        opened: list[GuestTCP] = []
        for _ in range(1_000):
            opened.append(guest.connect(PLACE, 80, window=0))
            if len(opened) % 50 == 0:
                guest.wait(0.05)
        guest.until(
            lambda: all(each.established or each.wasReset for each in opened), "answered", 30
        )
        guest.wait(1.0)
        refused = [each for each in opened if each.wasReset]
        self.assertGreater(len(refused), 100)
        self.assertLess(len(refused), 900)
        self.assertEqual(
            metric(server, "aero_lan_refusals_total", wanted="tcp", reason="memory"), len(refused)
        )
        self.assertLessEqual(metric(server, "aero_waiting_bytes"), 16 * MIB)
        self.assertLess(server.residentBytes() - before, 48 * MIB)
        guest.leave()
        settled(server, "aero_waiting_bytes", 0)
        settled(server, "aero_outside_sockets", 0)

    def test_sockets(self) -> None:
        """
        Connections beyond the sockets of a client are reset; those before go on.
        """
        port = self.target(echo)
        server = self.serve(
            AERO_L2_TCP_FORWARD=f"{PLACE}:80=127.0.0.1:{port}",
            AERO_MAX_OUTSIDE_SOCKETS_PER_IP="5",
        )
        first, second = self.station(server), self.station(server)
        opened = [first.connect(PLACE, 80) for _ in range(4)]
        first.until(lambda: all(each.established for each in opened), "connected")
        more = [second.connect(PLACE, 80) for _ in range(3)]
        second.until(lambda: all(each.established or each.wasReset for each in more), "answered")
        self.assertEqual([each.wasReset for each in more], [False, True, True])
        opened[0].write(b"still here")
        first.until(lambda: opened[0].received == b"still here", "echoed")
        first.leave()
        settled(server, "aero_outside_sockets", 1)
        again = second.connect(PLACE, 80)
        second.until(lambda: again.established, "connected")


class ResolverTests(LANCase, SynchronousTestCase):
    """
    A guest that asks for thousands of names, beside one that asks for a few.
    """

    def test_questions(self) -> None:
        """
        Not more than the rate and the burst reach the upstream, over two tunnels of one client
        too; a name that was dropped is answered when it is asked for again.
        """
        upstream = Scripted(answered)
        server = self.serve(
            DNS_UPSTREAMS=f"127.0.0.1:{upstream.port}",
            AERO_L2_DNS_QPS="20",
            AERO_L2_DNS_BURST="40",
            AERO_L2_DNS_QPS_PER_IP="30",
            AERO_L2_DNS_BURST_PER_IP="50",
        )
        guests = [self.station(server) for _ in range(2)]
        begun = time.monotonic()
        stop = threading.Event()

        def flood(number: int) -> None:
            count = 0
            while not stop.is_set():
                for _ in range(20):
                    count += 1
                    query = dns.message.make_query(f"n{count}.g{number}.example", "A")
                    guests[number].sendDatagram(5_300, "10.0.2.2", 53, query.to_wire())
                time.sleep(0.01)

        threads = [threading.Thread(target=flood, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(3.0)
        stop.set()
        for thread in threads:
            thread.join()
        elapsed = time.monotonic() - begun
        self.assertLessEqual(len(upstream.asked), 50 + 30 * (elapsed + 1.0))
        self.assertGreater(len(upstream.asked), 50)
        for limit in ("guest", "address"):
            self.assertGreater(counted(server, "aero_lan_dns_limited_total", limit=limit), 10)
        guests[0].wait(2.0)
        self.assertEqual(self.addresses(guests[0], "late.example"), ["93.184.215.14"])
