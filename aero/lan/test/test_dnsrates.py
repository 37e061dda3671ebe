"""
Tests for L{aero.lan.dnsrates}.
"""

from __future__ import annotations

from typing import Any

import dns.message
import dns.rcode
from twisted.trial.unittest import SynchronousTestCase

from aero.lan.dnsrates import QuestionRates
from aero.lan.peer import GuestPeer
from aero.metrics import ROWS, Metrics
from aero.metrics import lan as rows
from aero.settings.lan import LANSettings

from ..services.test.dnsrig import PUBLIC, DNSRig, addressesIn


class LimitedGuestTests(SynchronousTestCase):
    """
    What a guest sees that asks too much.
    """

    def setUp(self) -> None:
        self.rig = DNSRig(dnsQPS=2, dnsBurst=3)

    def test_datagramsAreDropped(self) -> None:
        """
        The questions of a burst are asked, the others are dropped and get no answer. The same
        question, asked again a second later, is answered.
        """
        rig = self.rig
        for index in range(10):
            rig.ask(f"host{index}.example")
        self.assertEqual(len(rig.dns.queries), 3)
        self.assertEqual(rig.answers(), [])
        self.assertEqual(rig.metrics.value(rows.DNS_LIMITED, "guest"), 7)
        rig.reactor.advance(1.0)
        self.assertEqual(addressesIn(rig.resolve("host9.example", PUBLIC)), [PUBLIC])

    def test_rate(self) -> None:
        """
        A guest that goes on asking gets the rate, and not more.
        """
        rig = self.rig
        for index in range(200):
            rig.ask(f"host{index}.example", "TXT")
        elapsed = 200 * rig.moment
        self.assertLessEqual(len(rig.dns.queries), 3 + 2 * elapsed + 1)
        self.assertGreaterEqual(len(rig.dns.queries), 2 * elapsed - 1)

    def test_streamsAreRefused(self) -> None:
        """
        Over TCP each question has an answer, and the connection goes on.
        """
        rig = self.rig
        guest = rig.guest.connect("10.0.2.2", 53)
        rig.settle()
        for index in range(5):
            wire = dns.message.make_query(f"host{index}.example", "A").to_wire()
            guest.write(len(wire).to_bytes(2, "big") + wire)
        rig.settle()
        self.assertEqual(len(rig.dns.queries), 3)
        length = int.from_bytes(guest.received[:2], "big")
        first = dns.message.from_wire(guest.received[2 : 2 + length])
        self.assertEqual(first.rcode(), dns.rcode.REFUSED)
        self.assertEqual(str(first.question[0].name), "host3.example.")
        self.assertEqual(len(guest.received), 2 * (2 + length))
        rig.reactor.advance(1.0)
        wire = dns.message.make_query("late.example", "A").to_wire()
        guest.write(len(wire).to_bytes(2, "big") + wire)
        rig.settle()
        self.assertEqual(len(rig.dns.queries), 4)

    def test_whatCostsNothing(self) -> None:
        """
        Answers from the guest's own cache do not count, AAAA of the same name included.
        """
        rig = self.rig
        rig.resolve("host.example", PUBLIC)
        for _ in range(50):
            rig.ask("host.example")
            self.assertEqual(addressesIn(rig.answer()), [PUBLIC])
            rig.ask("host.example", "AAAA")
            self.assertEqual(rig.answer().rcode(), dns.rcode.NOERROR)
        self.assertEqual(rig.metrics.value(rows.DNS_LIMITED, "guest"), 0)

    def test_staticNames(self) -> None:
        """
        The operator's own names do not count.
        """
        rig = DNSRig(dnsQPS=1, dnsBurst=1, staticNames=(("printer.lab", 0x0A000207),))
        for _ in range(5):
            rig.ask("printer.lab")
            self.assertEqual(rig.answer().rcode(), dns.rcode.NOERROR)

    def test_otherQuestionsCount(self) -> None:
        """
        Questions of another class, and names that are blocked, reach the resolver as well.
        """
        rig = DNSRig(dnsQPS=2, dnsBurst=3, rules={"blockedDomains": ("bad.example",)})
        for index in range(6):
            query = dns.message.make_query("version.bind", "TXT", "CH")
            rig.guest.sendDatagram(5_300, "10.0.2.2", 53, query.to_wire())
            rig.ask(f"h{index}.bad.example")
        self.assertLessEqual(len(rig.dns.queries), 4)

    def test_outsideResolver(self) -> None:
        """
        Questions to a resolver elsewhere that the LAN answers in its place count too.
        """
        rig = DNSRig(dnsQPS=2, dnsBurst=3, rules={"allowedDomains": ("example",)})
        for index in range(10):
            rig.ask(f"host{index}.example", to="8.8.8.8")
        self.assertEqual(len(rig.dns.queries), 3)

    def test_off(self) -> None:
        """
        An internal name has no limit by default.
        """
        rig = DNSRig()
        for index in range(500):
            rig.ask(f"host{index}.example", "TXT")
        self.assertEqual(len(rig.dns.queries), 500)


class SharedRatesTests(SynchronousTestCase):
    """
    Guests beside each other.
    """

    def rates(self, **settings: Any) -> tuple[QuestionRates, Metrics]:
        metrics = Metrics(ROWS)
        return QuestionRates(LANSettings(**settings), metrics), metrics

    def test_oneAddress(self) -> None:
        """
        The guests of one client address share a rate; more tunnels do not get more. An IPv6
        client is known by its /64.
        """
        rates, metrics = self.rates(dnsQPS=10, dnsBurst=10, dnsQPSPerIP=10, dnsBurstPerIP=15)
        admitted = 0
        for tunnel in range(20):
            peer = GuestPeer(str(tunnel), f"2001:db8::{tunnel:x}")
            admitted += sum(rates.admit(peer, 0.0) for _ in range(10))
        self.assertEqual(admitted, 15)
        self.assertEqual(metrics.value(rows.DNS_LIMITED, "address"), 185)

    def test_neighbour(self) -> None:
        """
        A guest of another address is not limited by what a flood uses up.
        """
        rates, _ = self.rates(dnsQPS=10, dnsBurst=10, dnsQPSPerIP=10, dnsBurstPerIP=15)
        for _ in range(1_000):
            rates.admit(GuestPeer("1", "192.0.2.1"), 0.0)
        for _ in range(10):
            self.assertTrue(rates.admit(GuestPeer("2", "192.0.2.2"), 0.0))
