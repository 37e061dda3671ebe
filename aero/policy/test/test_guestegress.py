"""
Tests for L{aero.policy.guestegress} and L{aero.policy.forwards}.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.forwards import Forward, ForwardMap
from aero.policy.guestegress import DomainRules, GuestEgress, GuestRules
from aero.policy.hosts import HostPattern, HostPatterns
from aero.policy.profiles import OPEN, STANDARD, WEB


def number(address: str) -> int:
    """
    An address as a number.
    """
    return int(ipaddress.IPv4Address(address))


PUBLIC = number("93.184.215.14")
OTHER = number("1.1.1.1")


def rules(**options: Any) -> GuestRules:
    """
    Rules with the open profile.
    """
    return GuestRules(**{"profile": OPEN, **options})


def patterns(*texts: str) -> HostPatterns:
    """
    Patterns of hosts.
    """
    return HostPatterns(HostPattern.parse(text) for text in texts)


class DomainTests(SynchronousTestCase):
    """
    Rules about names (l2.md C13).
    """

    def test_none(self) -> None:
        """
        Without rules every name is allowed.
        """
        found = DomainRules()
        self.assertFalse(found)
        self.assertTrue(found.allows("anything.example"))

    def test_suffix(self) -> None:
        """
        A domain stands for itself and what is below it, at the dots.
        """
        found = DomainRules(allowed=["example.com"])
        self.assertTrue(found and found.isAllowList)
        for name in ("example.com", "a.example.com", "a.b.example.com"):
            self.assertTrue(found.allows(name), name)
        for name in ("notexample.com", "com", "example.com.evil", ""):
            self.assertFalse(found.allows(name), name)

    def test_blockedWins(self) -> None:
        """
        A blocked domain within an allowed one is blocked, and leaves its siblings alone; one
        that is blocked above an allowed one takes it along.
        """
        found = DomainRules(allowed=["example.com"], blocked=["bad.example.com"])
        self.assertTrue(found.allows("good.example.com"))
        self.assertFalse(found.allows("bad.example.com"))
        self.assertFalse(found.allows("very.bad.example.com"))
        found = DomainRules(allowed=["good.example.com"], blocked=["example.com"])
        self.assertFalse(found.allows("good.example.com"))


class PortTests(SynchronousTestCase):
    """
    Ports (l2.md C11).
    """

    def test_profile(self) -> None:
        """
        Where no list says anything the profile does: no mail from a public server.
        """
        self.assertEqual(rules(profile=STANDARD).tcpPortRefusal(25, False), "port")
        self.assertEqual(rules(profile=STANDARD).tcpPortRefusal(22, False), "")
        self.assertEqual(rules(profile=WEB).udpPortRefusal(5_000, False), "port")
        self.assertEqual(rules().tcpPortRefusal(25, False), "")

    def test_lists(self) -> None:
        """
        A list is what counts, whatever the profile says; an empty one allows no port.
        """
        found = rules(profile=WEB, tcpPorts={25}, udpPorts=())
        self.assertEqual(found.tcpPortRefusal(25, False), "")
        self.assertEqual(found.tcpPortRefusal(80, False), "port")
        self.assertEqual(found.udpPortRefusal(443, False), "port")

    def test_forwarded(self) -> None:
        """
        A forward is against the profile, but not against a list.
        """
        self.assertEqual(rules(profile=WEB).tcpPortRefusal(25, True), "")
        self.assertEqual(rules(tcpPorts={80}).tcpPortRefusal(25, True), "port")

    def test_overTLS(self) -> None:
        """
        DNS over TLS is refused while there are rules about names, unless a list allows it.
        """
        found = rules(domains=DomainRules(blocked=["example.com"]))
        self.assertEqual(found.tcpPortRefusal(853, False), "port")
        self.assertEqual(rules().tcpPortRefusal(853, False), "")
        listed = rules(domains=DomainRules(blocked=["example.com"]), tcpPorts={853})
        self.assertEqual(listed.tcpPortRefusal(853, False), "")

    def test_inWords(self) -> None:
        """
        All rules can be told to people.
        """
        self.assertEqual(
            list(rules().sentences()),
            ["TCP to every port", "UDP to every port", "public addresses only"],
        )
        found = rules(
            profile=STANDARD,
            udpPorts=(),
            allowPrivate=True,
            domains=DomainRules(allowed=["b.example", "a.example"], blocked=["x.a.example"]),
            allowedHosts=patterns("example.com"),
            blockedHosts=patterns("example.net"),
        )
        first, *rest = found.sentences()
        self.assertTrue(first.startswith("TCP to every port but 19, 25, 111, "))
        self.assertEqual(
            rest,
            [
                "UDP to no port",
                "private networks too",
                "only names in a.example, b.example",
                "no names in x.a.example",
                "only some hosts",
                "not to some hosts",
                "no addresses that no name led to",
            ],
        )
        self.assertEqual(next(rules(profile=WEB).sentences()), "TCP to ports 80, 443")


class AddressTests(SynchronousTestCase):
    """
    Addresses as such (l2.md C12, sections 17.1 and 17.2).
    """

    def test_private(self) -> None:
        """
        What is not public is refused: private networks, this machine, cloud metadata, networks
        for documentation, multicast.
        """
        for address in (
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
        ):
            self.assertEqual(rules().addressRefusal(number(address)), "private", address)
        self.assertEqual(rules().addressRefusal(PUBLIC), "")

    def test_allowed(self) -> None:
        """
        Unless it is allowed; the LAN itself is never outside of it.
        """
        found = rules(allowPrivate=True)
        self.assertEqual(found.addressRefusal(number("127.0.0.1")), "")
        self.assertEqual(found.addressRefusal(number("10.0.2.77")), "private")

    def test_forwarded(self) -> None:
        """
        Forwards may be at addresses for documentation and of the LAN, nowhere else.
        """
        for address in ("192.0.2.1", "198.51.100.7", "203.0.113.10", "10.0.2.9"):
            self.assertEqual(rules().addressRefusal(number(address), True), "", address)
        for address in ("10.255.255.1", "127.0.0.1", "192.0.3.1"):
            expected = "" if address == "192.0.3.1" else "private"
            self.assertEqual(rules().addressRefusal(number(address), True), expected, address)


class NameTests(SynchronousTestCase):
    """
    Names and the addresses behind them.
    """

    def setUp(self) -> None:
        self.now = 0.0

    def refusal(self, egress: GuestEgress, address: int = PUBLIC, **options: Any) -> str:
        found = egress.tcpRefusal(address, 80, self.now, **options)
        self.assertEqual(egress.udpRefusal(address, 80, self.now, **options), found)
        if not options:
            self.assertEqual(egress.pingRefusal(address, self.now), found)
        return found

    def test_rate(self) -> None:
        """
        A guest may begin so many connections and flows, ten seconds' worth of them at once (W41).
        """
        egress = GuestEgress(rules(newPerSecond=3))
        now = 1_000.0
        self.assertEqual({egress.flowRefusal(now) for _ in range(30)}, {""})
        self.assertEqual(egress.flowRefusal(now), "rate")
        self.assertEqual([egress.flowRefusal(now + 1.0) for _ in range(4)], ["", "", "", "rate"])
        self.assertIn("3 new connections a second", list(egress.rules.sentences()))
        free = GuestEgress(rules())
        self.assertEqual({free.flowRefusal(now) for _ in range(5_000)}, {""})

    def test_unbound(self) -> None:
        """
        Without rules about names nothing is remembered.
        """
        egress = GuestEgress(rules())
        egress.learn(PUBLIC, 60, self.now, True)
        self.assertEqual((egress.remembered, self.refusal(egress)), (0, ""))

    def test_allowList(self) -> None:
        """
        With allowed domains an address needs a name, and has it for its TTL or for as long as
        names are remembered, whichever is longer.
        """
        egress = GuestEgress(rules(domains=DomainRules(allowed=["a.example"]), nameMemory=100.0))
        self.assertEqual(self.refusal(egress), "unresolved")
        egress.learn(PUBLIC, 10, self.now, True)
        egress.learn(OTHER, 200, self.now, True)
        self.assertEqual((self.refusal(egress), self.refusal(egress, OTHER)), ("", ""))
        self.now = 100.0
        self.assertEqual((self.refusal(egress), self.refusal(egress, OTHER)), ("unresolved", ""))
        self.assertEqual(egress.remembered, 1)
        self.assertEqual(self.refusal(egress, number("203.0.113.9"), forwarded=True), "")

    def test_blockList(self) -> None:
        """
        With blocked domains an address is refused while it is known as one of theirs.
        """
        egress = GuestEgress(rules(domains=DomainRules(blocked=["b.example"]), nameMemory=100.0))
        egress.learn(PUBLIC, 10, self.now, False)
        self.assertEqual((self.refusal(egress), self.refusal(egress, OTHER)), ("domain", ""))
        self.now = 100.0
        self.assertEqual(self.refusal(egress), "")

    def test_shared(self) -> None:
        """
        An address that an allowed name leads to as well counts as allowed, for as long as that
        name is remembered.
        """
        egress = GuestEgress(rules(domains=DomainRules(blocked=["b.example"]), nameMemory=100.0))
        egress.learn(PUBLIC, 10, self.now, True)
        self.now = 50.0
        egress.learn(PUBLIC, 10, self.now, False)
        self.assertEqual(self.refusal(egress), "")
        self.now = 100.0
        self.assertEqual(self.refusal(egress), "domain")

    def test_bounded(self) -> None:
        """
        Of too many addresses the one told longest ago is forgotten.
        """
        egress = GuestEgress(rules(domains=DomainRules(allowed=["a.example"]), maxRemembered=2))
        for address in (1, 2, 1, 3):
            egress.learn(PUBLIC + address, 10, self.now, True)
        found = [self.refusal(egress, PUBLIC + address) for address in (1, 2, 3)]
        self.assertEqual(found, ["", "unresolved", ""])

    def test_neverPrivate(self) -> None:
        """
        A name is no way into private networks.
        """
        egress = GuestEgress(rules(domains=DomainRules(allowed=["a.example"])))
        egress.learn(number("10.1.1.1"), 10, self.now, True)
        self.assertEqual(self.refusal(egress, number("10.1.1.1")), "private")

    def test_requireName(self) -> None:
        """
        Where targets must be names, so must those of guests.
        """
        egress = GuestEgress(rules(requireName=True))
        self.assertEqual(self.refusal(egress), "unresolved")
        egress.learn(PUBLIC, 10, self.now, True)
        self.assertEqual(self.refusal(egress), "")

    def test_hosts(self) -> None:
        """
        The lists of hosts for all clients hold too: names, and addresses as such.
        """
        found = rules(
            allowedHosts=patterns("example.com", "*.example.com", "1.1.1.1"),
            blockedHosts=patterns("bad.example.com", "93.184.215.14"),
        )
        self.assertEqual(found.nameRefusal("www.example.com"), "")
        self.assertEqual(found.nameRefusal("bad.example.com"), "host")
        self.assertEqual(found.nameRefusal("example.net"), "host")
        self.assertEqual(found.aliasRefusal("bad.example.com"), "host")
        self.assertEqual(found.aliasRefusal("cdn.example.net"), "")
        egress = GuestEgress(found)
        self.assertEqual(self.refusal(egress, OTHER), "")
        self.assertEqual(self.refusal(egress), "host")
        self.assertEqual(self.refusal(egress, OTHER + 1), "unresolved")
        egress.learn(OTHER + 1, 10, self.now, True)
        self.assertEqual(self.refusal(egress, OTHER + 1), "")


class ForwardTests(SynchronousTestCase):
    """
    L{ForwardMap}.
    """

    def test_exact(self) -> None:
        """
        A forward is for one address and port; the later of two counts.
        """
        found = ForwardMap([Forward(1, 80, "a", 1), Forward(1, 80, "b", 2), Forward(1, 81, "c", 3)])
        self.assertEqual(found.find(1, 80), ("b", 2))
        self.assertEqual(found.find(1, 81), ("c", 3))
        self.assertIsNone(found.find(2, 80))
