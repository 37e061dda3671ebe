"""
Tests for L{aero.lan.names}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.packets import packed

from ..services.test.dnsrig import DNSRig, addressesIn

NOERROR, NXDOMAIN = 0, 3


class NamesTests(SynchronousTestCase):
    """
    Names that the LAN's own DNS knows.
    """

    def ask(self, rig: DNSRig, name: str, rtype: str = "A", **options: Any) -> Any:
        """
        Ask, and get an answer that nobody else was asked about.
        """
        rig.ask(name, rtype, **options)
        self.assertEqual(rig.dns.queries, [], (name, rtype))
        return rig.answer()

    def targets(self, rig: DNSRig, name: str) -> list[str]:
        """
        The names that a reverse name has.
        """
        answer = self.ask(rig, name, "PTR")
        return [str(each.target) for rrset in answer.answer for each in rrset]

    def test_gateway(self) -> None:
        """
        The gateway and the DNS have names, alone and in the domain, whatever the spelling, and
        whatever rules there are about names.
        """
        rig = DNSRig(dhcpDomain="Lab.example", rules={"allowedDomains": ("example.org",)})
        for name, address in (
            ("gateway", "10.0.2.2"),
            ("GateWay.lab.EXAMPLE", "10.0.2.2"),
            ("dns.lab.example", "10.0.2.3"),
        ):
            answer = self.ask(rig, name)
            self.assertEqual(addressesIn(answer), [address])
            self.assertTrue(answer.flags & 0x0400)
            for rtype in ("AAAA", "MX"):
                empty = self.ask(rig, name, rtype)
                self.assertEqual((empty.rcode(), empty.answer), (NOERROR, []))
        self.assertEqual(self.targets(rig, "2.2.0.10.in-addr.arpa"), ["gateway.lab.example."])
        self.assertEqual(self.targets(rig, "3.2.0.10.IN-ADDR.ARPA"), ["dns.lab.example."])

    def test_noDomain(self) -> None:
        """
        Without a domain they have only one label, and names below it are somebody else's.
        """
        rig = DNSRig()
        self.assertEqual(addressesIn(self.ask(rig, "gateway")), ["10.0.2.2"])
        self.assertEqual(self.targets(rig, "2.2.0.10.in-addr.arpa"), ["gateway."])
        rig.ask("gateway.example")
        self.assertEqual(len(rig.dns.queries), 1)

    def test_guest(self) -> None:
        """
        The guest has the name that it gave itself, or else the one that DHCP suggests; never one
        that is taken, or that is no name.
        """
        rig = DNSRig(hostName="emulator", dhcpDomain="lab.example")
        rig.guest.askForLease()
        self.assertEqual(addressesIn(self.ask(rig, "emulator.lab.example")), ["10.0.2.15"])
        self.assertEqual(self.targets(rig, "15.2.0.10.in-addr.arpa"), ["emulator.lab.example."])
        for given, name in (
            (b"DOS-622", "dos-622"),
            (b"dos.lab.example", "dos"),
            (b"gateway", ""),
            (b"a.b", ""),
            (b"\xff\xfe", ""),
            (b"-a", ""),
        ):
            rig.guest.sendDHCP(3, [(50, packed("10.0.2.15")), (12, given)])
            found = self.targets(rig, "15.2.0.10.in-addr.arpa")
            self.assertEqual(found, [f"{name}.lab.example."] if name else [], given)
            self.assertEqual(addressesIn(self.ask(rig, "gateway")), ["10.0.2.2"])
            if name:
                self.assertEqual(addressesIn(self.ask(rig, name)), ["10.0.2.15"])

    def test_static(self) -> None:
        """
        The operator's names are found by private addresses as well.
        """
        rig = DNSRig(staticNames=(("echo.local", 0xCB00710A),))
        self.assertEqual(self.targets(rig, "10.113.0.203.in-addr.arpa"), ["echo.local."])

    def test_private(self) -> None:
        """
        Reverse names of private addresses that nobody here has do not exist, for three hours
        (RFC 6303 section 3, RFC 2308 section 5), whatever the type.
        """
        rig = DNSRig()
        for name in ("1.0.168.192.in-addr.arpa", "9.2.0.10.in-addr.arpa", "x.d.f.ip6.arpa"):
            for rtype in ("PTR", "A", "TXT", "AAAA"):
                answer = self.ask(rig, name, rtype)
                self.assertEqual((answer.rcode(), answer.answer), (NXDOMAIN, []), (name, rtype))
                ((soa,),) = answer.authority
                self.assertEqual((soa.rdtype, soa.minimum), (6, 10_800))
        answer = self.ask(rig, "9.2.0.10.in-addr.arpa", "PTR", use_edns=0)
        self.assertEqual((str(answer.authority[0].name), answer.edns), ("10.in-addr.arpa.", 0))

    def test_zone(self) -> None:
        """
        A zone itself, and names between it and one that is there, exist and have nothing else.
        """
        rig = DNSRig()
        for name in ("10.in-addr.arpa", "0.10.in-addr.arpa", "2.0.10.in-addr.arpa"):
            answer = self.ask(rig, name, "PTR")
            self.assertEqual((answer.rcode(), len(answer.authority)), (NOERROR, 1), name)
        for rtype in ("SOA", "NS"):
            answer = self.ask(rig, "10.in-addr.arpa", rtype)
            self.assertEqual((answer.rcode(), len(answer.answer)), (NOERROR, 1))
        answer = self.ask(rig, "2.2.0.10.in-addr.arpa", "TXT")
        self.assertEqual((answer.rcode(), len(answer.authority)), (NOERROR, 1))

    def test_forwarded(self) -> None:
        """
        Where the server's resolver is to have such questions, the LAN answers about its own.
        """
        rig = DNSRig()
        rig.lan.dns._names._forwardReverse = True
        self.assertEqual(self.targets(rig, "2.2.0.10.in-addr.arpa"), ["gateway."])
        rig.ask("1.0.168.192.in-addr.arpa", "PTR")
        self.assertEqual(len(rig.dns.queries), 1)

    def test_public(self) -> None:
        """
        Reverse names of public addresses are looked up.
        """
        rig = DNSRig()
        rig.ask("14.215.184.93.in-addr.arpa", "PTR")
        rig.upstream("14.215.184.93.in-addr.arpa. 60 PTR www.example.com.")
        self.assertEqual(len(rig.answer().answer), 1)


class AddressTests(SynchronousTestCase):
    """
    The second address of the DNS.
    """

    def test_answers(self) -> None:
        """
        It answers like the first one, is there for ARP and ping, and has no other ports.
        """
        rig = DNSRig()
        rig.ask("gateway", to="10.0.2.3")
        self.assertEqual(rig.guest.datagrams[0].source, ("10.0.2.3", 53))
        self.assertEqual(addressesIn(rig.answer()), ["10.0.2.2"])
        rig.guest.ping("10.0.2.3")
        self.assertEqual([echo[0] for echo in rig.guest.echoes], ["10.0.2.3"])
        rig.guest.sendDatagram(5_000, "10.0.2.3", 69, b"x")
        rig.settle()
        self.assertEqual(rig.guest.errors[0][:2], (3, 3))
        connection = rig.guest.connect("10.0.2.3", 80)
        rig.settle()
        self.assertTrue(connection.wasReset)
        stream = rig.guest.connect("10.0.2.3", 53)
        rig.settle()
        self.assertTrue(stream.established)

    def test_off(self) -> None:
        """
        It can be turned off, and then nobody has it.
        """
        rig = DNSRig(dnsAddress=0)
        rig.guest.ping("10.0.2.3")
        self.assertEqual(rig.guest.echoes, [])
        rig.ask("dns")
        self.assertEqual(len(rig.dns.queries), 1)
