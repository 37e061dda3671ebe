"""
Which ports and names guests may use, and what the LAN's DNS keeps to itself (l2.md sections
16.7, 17 and 20.1).
"""

from __future__ import annotations

import time

import dns.rcode
import dns.rdatatype
from twisted.trial.unittest import SynchronousTestCase

from .support.lancase import PLACE, LANCase
from .support.metrics import metric
from .support.nameservers import Asked, Scripted
from .support.station import Station, UDPEcho
from .support.targets import echo

#: What the name server says; nobody dials it.
ANSWER = "93.184.215.14"


def everything(asked: Asked) -> None:
    """
    Answer that there is an address, of either kind.
    """
    isFour = asked.query.question[0].rdtype == dns.rdatatype.A
    record = f"100 A {ANSWER}" if isFour else "100 AAAA 2001:db8::1"
    asked.send(asked.answer(record).to_wire())


class PortTests(LANCase, SynchronousTestCase):
    """
    Lists of ports.
    """

    def test_none(self) -> None:
        """
        A list that is there and empty allows no port at all, not even one that the operator
        leads elsewhere; each refusal is told to the guest and counted (C11).
        """
        datagrams = UDPEcho()
        self.addCleanup(datagrams.__exit__)
        server = self.serve(
            AERO_L2_ALLOWED_TCP_PORTS="",
            AERO_L2_ALLOWED_UDP_PORTS="",
            AERO_L2_ALLOW_PRIVATE_IPS="1",
            AERO_L2_TCP_FORWARD=f"{PLACE}:80=127.0.0.1:{self.target(echo)}",
            AERO_L2_UDP_FORWARD=f"{PLACE}:7=127.0.0.1:{datagrams.port}",
        )
        guest = self.station(server)
        for count, (host, port) in enumerate(((PLACE, 80), ("127.0.0.1", self.target(echo))), 1):
            connection = guest.connect(host, port)
            guest.until(lambda: connection.wasReset, "reset")  # noqa: B023
            self.assertFalse(connection.established)
            self.assertEqual(metric(server, "l2_policy_denied_total"), count)
        for count, (host, port) in enumerate(((PLACE, 7), ("127.0.0.1", datagrams.port)), 3):
            guest.errors.clear()
            guest.sendDatagram(5_000, host, port, b"x")
            guest.until(lambda: guest.errors, "refused")
            self.assertEqual(guest.errors[0][:2], (3, 13))
            self.assertEqual(metric(server, "l2_policy_denied_total"), count)
        self.assertEqual((guest.datagrams, datagrams.seen), ([], []))
        # The LAN's own services have nothing to do with it.
        self.assertEqual(self.addresses(guest, "localhost"), ["127.0.0.1"])

    def test_absent(self) -> None:
        """
        Without any list a port needs nobody to name it (C11).
        """
        datagrams = UDPEcho()
        self.addCleanup(datagrams.__exit__)
        guest = self.station(self.serve(AERO_L2_ALLOW_PRIVATE_IPS="1"))
        connection = guest.connect("127.0.0.1", self.target(echo))
        guest.sendDatagram(5_000, "127.0.0.1", datagrams.port, b"x")
        guest.until(lambda: connection.established and guest.datagrams, "answered")


class RateTests(LANCase, SynchronousTestCase):
    """
    How many connections and flows a guest may begin (W41).
    """

    def test_rate(self) -> None:
        """
        Ten seconds' worth may begin at once, the others are refused, told to the guest and counted;
        a little later there is room again, and another guest has its own.
        """
        datagrams = UDPEcho()
        self.addCleanup(datagrams.__exit__)
        server = self.serve(
            AERO_L2_NEW_FLOWS_PER_SECOND="1",
            AERO_L2_TCP_FORWARD=f"{PLACE}:80=127.0.0.1:{self.target(echo)}",
            AERO_L2_UDP_FORWARD=f"{PLACE}:7=127.0.0.1:{datagrams.port}",
        )
        guest = self.station(server)
        begin = time.monotonic()
        connections = [guest.connect(PLACE, 80) for _ in range(40)]
        guest.until(lambda: all(c.established or c.wasReset for c in connections), "answered")
        refused = sum(connection.wasReset for connection in connections)
        self.assertLessEqual(refused, 30)
        self.assertGreaterEqual(refused, 29 - (time.monotonic() - begin))
        self.assertEqual(
            metric(server, "aero_lan_refusals_total", wanted="tcp", reason="rate"), refused
        )
        guest.sendDatagram(5_000, PLACE, 7, b"x")
        guest.until(lambda: guest.errors or guest.datagrams, "answered")
        other = self.station(server)
        later = other.connect(PLACE, 80)
        other.until(lambda: later.established, "another guest")
        guest.wait(1.5)
        again = guest.connect(PLACE, 80)
        guest.until(lambda: again.established, "room again")


class DomainTests(LANCase, SynchronousTestCase):
    """
    Lists of names (C13).
    """

    def setUp(self) -> None:
        """
        A name server that has an address for everything.
        """
        self.nameServer = Scripted(everything)

    def guestOf(self, **variables: str) -> Station:
        """
        A guest of a server with some rules.
        """
        self.server = self.serve(DNS_UPSTREAMS=f"127.0.0.1:{self.nameServer.port}", **variables)
        return self.station(self.server, lease=False)

    def resolves(self, guest: Station, *names: str) -> None:
        """
        These names are found.
        """
        for name in names:
            self.assertEqual(self.addresses(guest, name), [ANSWER], name)

    def refuses(self, guest: Station, *names: str) -> None:
        """
        These are not, nor are they asked for, and each is counted.
        """
        for name in names:
            before = metric(self.server, "l2_policy_denied_total")
            answer = self.ask(guest, name)
            self.assertEqual((answer.rcode(), answer.answer), (dns.rcode.NXDOMAIN, []), name)
            self.assertEqual(metric(self.server, "l2_policy_denied_total"), before + 1, name)
            self.assertEqual(self.nameServer.times(name), 0, name)

    def test_lists(self) -> None:
        """
        An entry stands for a name and all below it, from one dot to the next, in whatever case
        and with dots around it or without; what is blocked is, however allowed, and what is
        beside it is not.
        """
        guest = self.guestOf(
            AERO_L2_ALLOWED_DOMAINS="Example.COM, .dotted.test ,trailing.test.,.,both.test",
            AERO_L2_BLOCKED_DOMAINS="BAD.example.com,..,Both.TEST.",
        )
        self.resolves(
            guest,
            "example.com",
            "www.example.com",
            "a.b.c.example.com",
            "WWW.eXample.Com.",
            "dotted.test",
            "www.dotted.test",
            "trailing.test",
            "www.trailing.test",
            # Beside what is blocked.
            "good.example.com",
            "notbad.example.com",
            "bad.dotted.test",
        )
        self.refuses(
            guest,
            "notexample.com",
            "example.com.evil.test",
            "example.org",
            "com",
            "wwwdotted.test",
            "xample.com",
            # Allowed as well, but blocked.
            "bad.example.com",
            "deep.bad.example.com",
            "Bad.Example.Com.",
            "both.test",
            "www.both.test",
        )

    def test_noList(self) -> None:
        """
        A list of dots is no list.
        """
        guest = self.guestOf(AERO_L2_ALLOWED_DOMAINS=" . ,..", AERO_L2_BLOCKED_DOMAINS=".")
        self.resolves(guest, "example.com", "anything.test")
        self.assertEqual(metric(self.server, "l2_policy_denied_total"), 0)


class UpstreamTests(LANCase, SynchronousTestCase):
    """
    What becomes of questions.
    """

    def test_quadA(self) -> None:
        """
        A question for an IPv6 address is answered with nothing where the name exists: guests have
        no use for one. The resolver is asked for A, which tells whether the name exists, and once
        for both.
        """
        upstream = Scripted(everything)
        server = self.serve(DNS_UPSTREAMS=f"127.0.0.1:{upstream.port}")
        guest = self.station(server, lease=False)
        for name in ("first.test", "second.test"):
            answer = self.ask(guest, name, "AAAA")
            self.assertEqual((answer.rcode(), answer.answer), (dns.rcode.NOERROR, []))
        # Before and after its other address is known.
        self.assertEqual(self.addresses(guest, "first.test"), [ANSWER])
        self.assertEqual(self.ask(guest, "first.test", "AAAA").answer, [])
        asked = [(one.labels[0], int(one.query.question[0].rdtype)) for one in upstream.asked]
        self.assertEqual(asked, [(b"first", 1), (b"second", 1)])
