"""
Tests for L{aero.lan.services.dns}.
"""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from twisted.trial.unittest import SynchronousTestCase

from aero.dns.engine import Answer
from aero.metrics import lan as rows

from .dnsrig import PUBLIC, DNSRig, addressesIn, reply


class AnswerTests(SynchronousTestCase):
    """
    What a guest is told.
    """

    def test_address(self) -> None:
        """
        An address comes from the resolver of the server, to whoever asked and from where it
        was asked.
        """
        rig = DNSRig()
        self.assertEqual(
            addressesIn(rig.resolve("www.example.com", PUBLIC, "1.1.1.1")), [PUBLIC, "1.1.1.1"]
        )
        self.assertEqual(rig.metrics.value(rows.L2_DNS_QUERIES), 1)
        self.assertEqual(rig.metrics.value(rows.L2_DNS_FAILED), 0)

    def test_otherTypes(self) -> None:
        """
        Other types are passed on as they are.
        """
        rig = DNSRig()
        for rtype, data in (
            ("TXT", '"hello"'),
            ("MX", "10 mail.example.com."),
            ("SRV", "1 2 3 a."),
        ):
            rig.ask("example.com", rtype)
            rig.upstream(f"example.com. 60 {rtype} {data}")
            self.assertEqual(rig.answer().answer[0].to_text(), f"example.com. 60 IN {rtype} {data}")
        self.assertEqual(len(rig.dns.queries), 3)

    def test_noIPv6(self) -> None:
        """
        AAAA of a name that exists is nothing, of one that does not is that (RFC 8020), and what
        nobody can tell is that; A is asked, once for both.
        """
        rig = DNSRig()
        rig.ask("www.example.com", "AAAA")
        rig.upstream(f"www.example.com. 60 A {PUBLIC}")
        self.assertEqual(rig.dns.queries[0][0].qtype, 1)
        for _ in range(2):
            message = rig.answer()
            self.assertEqual((message.rcode(), message.answer), (dns.rcode.NOERROR, []))
            self.assertEqual(message.question[0].rdtype, 28)
            rig.ask("www.example.com", "AAAA")
        rig.answer()
        rig.ask("www.example.com")
        self.assertEqual(addressesIn(rig.answer()), [PUBLIC])
        self.assertEqual(len(rig.dns.queries), 1)
        for rcode in (dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.NOERROR):
            for options in ({}, {"use_edns": 0}):
                rig.ask("other.example.com", "AAAA", **options)
                rig.upstream(rcode=rcode)
                message = rig.answer()
                self.assertEqual((message.rcode(), message.answer), (rcode, []))
                self.assertEqual(str(message.question[0]), "other.example.com. IN AAAA")

    def test_noIPv6Refused(self) -> None:
        """
        A name all of whose addresses are refused does not exist for AAAA either.
        """
        rig = DNSRig()
        rig.ask("inside.example.com", "AAAA")
        rig.upstream("inside.example.com. 60 A 192.168.1.1")
        self.assertEqual(rig.answer().rcode(), dns.rcode.NXDOMAIN)

    def test_otherQuestions(self) -> None:
        """
        What is not about the internet, another operation, or a later EDNS, is for the resolver
        to refuse.
        """
        rig = DNSRig()
        for query in (
            dns.message.make_query("example.com", "A", "CH"),
            dns.message.make_query("example.com", "A", use_edns=1),
        ):
            rig.guest.sendDatagram(5_300, "10.0.2.2", 53, query.to_wire())
            rig.settle()
            rig.dns.answer(query.to_wire()[:2] + b"\x81\x84" + query.to_wire()[4:12])
            rig.settle()
            self.assertEqual(rig.guest.datagrams.pop().data[:4].hex()[4:], "8184")
        self.assertEqual(rig.metrics.value(rows.L2_DNS_QUERIES), 0)

    def test_alias(self) -> None:
        """
        Aliases lead to their addresses.
        """
        rig = DNSRig()
        rig.ask("www.example.com")
        rig.upstream(
            "www.example.com. 60 CNAME edge.example.net.", f"edge.example.net. 60 A {PUBLIC}"
        )
        message = rig.answer()
        self.assertEqual(len(message.answer), 2)
        self.assertEqual(addressesIn(message), [PUBLIC])

    def test_notFound(self) -> None:
        """
        What does not exist does not exist, and counts as a failure; the same for a name
        without addresses and for a resolver that cannot tell.
        """
        rig = DNSRig()
        for rcode in (dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.NOERROR):
            rig.ask("nothing.example.com")
            rig.upstream(rcode=rcode)
            self.assertEqual(rig.answer().rcode(), rcode)
        self.assertEqual(rig.metrics.value(rows.L2_DNS_FAILED), 3)

    def test_timeout(self) -> None:
        """
        A guest does not wait for long.
        """
        rig = DNSRig()
        rig.ask("slow.example.com")
        rig.reactor.advance(2)
        rig.settle()
        self.assertEqual(rig.answer().rcode(), dns.rcode.SERVFAIL)
        self.assertEqual(rig.metrics.value(rows.L2_DNS_FAILED), 1)

    def test_pending(self) -> None:
        """
        Questions under way are bounded; a bound of 0 answers none, static names neither
        (l2.md L18).
        """
        rig = DNSRig(maxPendingDNS=1, staticNames=(("echo.local", 0xCB00710A),))
        rig.ask("one.example.com")
        rig.ask("two.example.com")
        self.assertEqual(rig.answer().rcode(), dns.rcode.SERVFAIL)
        rig.upstream(f"one.example.com. 60 A {PUBLIC}")
        self.assertEqual(addressesIn(rig.answer()), [PUBLIC])
        rig.ask("echo.local")
        self.assertEqual(addressesIn(rig.answer()), ["203.0.113.10"])
        rig = DNSRig(maxPendingDNS=0, staticNames=(("echo.local", 0xCB00710A),))
        rig.ask("echo.local")
        self.assertEqual(rig.answer().rcode(), dns.rcode.SERVFAIL)

    def test_static(self) -> None:
        """
        Static names are answered here, in any spelling; they have no other types. The last
        bytes of the answer are the address (l2.md L6).
        """
        rig = DNSRig(staticNames=(("echo.local", 0xCB00710A),), defaultTTL=77)
        rig.ask("Echo.LOCAL")
        self.assertEqual(rig.guest.datagrams[0].data[-4:], bytes((203, 0, 113, 10)))
        message = rig.answer()
        self.assertEqual(message.answer[0].to_text(), "Echo.LOCAL. 77 IN A 203.0.113.10")
        rig.ask("echo.local", "TXT")
        self.assertEqual((rig.answer().rcode(), rig.dns.queries), (dns.rcode.NOERROR, []))

    def test_badName(self) -> None:
        """
        A name that no host can have does not exist (l2.md L23).
        """
        rig = DNSRig()
        rig.ask("bad\\032name.local")
        self.assertEqual(rig.answer().rcode(), dns.rcode.NXDOMAIN)
        self.assertEqual(rig.metrics.value(rows.L2_DNS_FAILED), 1)

    def test_malformed(self) -> None:
        """
        What is no query is a FORMERR, if it has a header and is not an answer.
        """
        rig = DNSRig()
        good = dns.message.make_query("example.com", "A").to_wire()
        for data in (good[:-1], good + b"x"):
            rig.guest.sendDatagram(5_300, "10.0.2.2", 53, data)
            self.assertEqual(dns.message.from_wire(rig.guest.datagrams.pop().data).rcode(), 1)
        for data in (good[:11], good[:2] + b"\x80" + good[3:], b""):
            rig.guest.sendDatagram(5_300, "10.0.2.2", 53, data)
        self.assertEqual(rig.guest.datagrams, [])

    def test_ttls(self) -> None:
        """
        TTLs are cut, and those of 0 become the default (l2.md section 16.7).
        """
        rig = DNSRig()
        self.assertEqual(rig.resolve("a.example.com", PUBLIC, ttl=86_400).answer[0].ttl, 300)
        self.assertEqual(rig.resolve("b.example.com", PUBLIC, ttl=0).answer[0].ttl, 60)
        self.assertEqual(rig.resolve("c.example.com", PUBLIC, ttl=7).answer[0].ttl, 7)

    def test_cache(self) -> None:
        """
        Addresses are kept for each guest, with the rest of their TTL; the first that came
        makes room (l2.md L19, L25).
        """
        rig = DNSRig(maxDNSCacheEntries=2)
        for name in ("one", "two"):
            rig.resolve(f"{name}.example.com", PUBLIC)
        rig.reactor.advance(10)
        rig.ask("one.example.com")
        self.assertIn(rig.answer().answer[0].ttl, (49, 50))
        self.assertEqual(rig.metrics.value(rows.L2_DNS_QUERIES), 2)
        rig.resolve("three.example.com", PUBLIC)
        rig.ask("one.example.com")
        self.assertEqual(len(rig.dns.queries), 4)
        rig.reactor.advance(60)
        rig.ask("two.example.com")
        self.assertEqual(len(rig.dns.queries), 5)

    def test_truncated(self) -> None:
        """
        An answer that does not fit says so: 512 bytes, or what the guest takes, or what its
        network carries.
        """
        rig = DNSRig()
        records = [f"big.example.com. 60 TXT {'x' * 200!r}".replace("'", '"')]
        many = [f'big.example.com. 60 TXT "{"x" * 200}{n}"' for n in range(10)]
        for found, options, fits in (
            (records, {}, True),
            (many[:3], {}, False),
            (many[:3], {"use_edns": 0, "payload": 1_232}, True),
            (many, {"use_edns": 0, "payload": 4_096}, False),
        ):
            rig.ask("big.example.com", "TXT", **options)
            rig.upstream(*found)
            message = rig.answer()
            self.assertEqual(bool(message.flags & dns.flags.TC), not fits)
            self.assertEqual(bool(message.answer), fits)


class PolicyTests(SynchronousTestCase):
    """
    Names and addresses that a guest may not have.
    """

    def test_privateAddress(self) -> None:
        """
        Names that lead into private networks do not exist, unless guests may go there
        (l2.md L22); of a mixed answer the rest is left.
        """
        rig = DNSRig()
        message = rig.resolve("inside.example.com", "192.168.1.1")
        self.assertEqual(message.rcode(), dns.rcode.NXDOMAIN)
        self.assertEqual(rig.metrics.value(rows.L2_POLICY_DENIED), 1)
        self.assertEqual(rig.metrics.value(rows.L2_DNS_FAILED), 0)
        self.assertEqual(
            addressesIn(rig.resolve("mixed.example.com", "10.1.1.1", PUBLIC)), [PUBLIC]
        )
        rig = DNSRig(rules={"allowPrivateAddresses": True})
        self.assertEqual(addressesIn(rig.resolve("inside.example.com", "10.1.1.1")), ["10.1.1.1"])

    def test_privateStatic(self) -> None:
        """
        A static name is no way around that, and no refusal of the policy's (l2.md L21).
        """
        for allowed, expected in ((False, []), (True, ["127.0.0.1"])):
            rig = DNSRig(
                staticNames=(("loop.local", 0x7F000001),), rules={"allowPrivateAddresses": allowed}
            )
            rig.ask("loop.local")
            self.assertEqual(addressesIn(rig.answer()), expected)
            self.assertEqual(rig.metrics.value(rows.L2_POLICY_DENIED), 0)
            self.assertEqual(rig.metrics.value(rows.L2_DNS_FAILED), 0)

    def test_blocked(self) -> None:
        """
        A blocked name does not exist, whatever the type (l2.md L20).
        """
        rig = DNSRig(rules={"blockedDomains": ("blocked.local",)})
        for count, rtype in enumerate(("A", "AAAA", "TXT"), 1):
            rig.ask("www.Blocked.local", rtype)
            self.assertEqual(rig.answer().rcode(), dns.rcode.NXDOMAIN)
            self.assertEqual(rig.metrics.value(rows.L2_POLICY_DENIED), count)
        rig.ask("notblocked.local")
        rig.upstream(f"notblocked.local. 60 A {PUBLIC}")
        self.assertEqual(addressesIn(rig.answer()), [PUBLIC])

    def test_blockedAddress(self) -> None:
        """
        The addresses of a blocked name are blocked too, although the guest was not told them.
        """
        rig = DNSRig(rules={"blockedDomains": ("blocked.example",)})
        rig.ask("blocked.example")
        rig.answer()
        rig.upstream(f"blocked.example. 60 A {PUBLIC}")
        guest = rig.guest.connect(PUBLIC, 80)
        rig.settle()
        self.assertTrue(guest.wasReset)
        self.assertEqual(rig.metrics.value(rows.REFUSALS, "tcp", "domain"), 1)
        rig.resolve("good.example", PUBLIC)
        rig.guest.connect(PUBLIC, 80)
        self.assertEqual(len(rig.reactor.tcpClients), 1)

    def test_blockedElsewhere(self) -> None:
        """
        So is that of a blocked name that is static; a blocked name without addresses, and a
        resolver that cannot tell, change nothing.
        """
        rig = DNSRig(
            staticNames=(("static.blocked.example", 0xCB00710A),),
            rules={"blockedDomains": ("blocked.example",), "allowPrivateAddresses": True},
        )
        rig.ask("static.blocked.example")
        rig.ask("nothing.blocked.example")
        rig.upstream(rcode=dns.rcode.NXDOMAIN)
        rig.ask("broken.blocked.example")
        rig.dns.queries[-1][1].callback(Answer(b"broken", 0, "upstream", None))
        rig.ask("failing.blocked.example")
        rig.dns.queries[-1][1].errback(RuntimeError("failing"))
        self.assertEqual({a.rcode() for a in rig.answers()}, {dns.rcode.NXDOMAIN})
        rig.guest.connect("203.0.113.10", 80)
        self.assertEqual(rig.reactor.tcpClients, [])
        rig.guest.connect(PUBLIC, 80)
        self.assertEqual(len(rig.reactor.tcpClients), 1)

    def test_blockedAlias(self) -> None:
        """
        An alias into a blocked domain is blocked, and so is its address.
        """
        rig = DNSRig(rules={"blockedDomains": ("tracker.example",)})
        rig.ask("innocent.example")
        rig.upstream(
            "innocent.example. 60 CNAME x.tracker.example.", f"x.tracker.example. 60 A {PUBLIC}"
        )
        self.assertEqual(rig.answer().rcode(), dns.rcode.NXDOMAIN)
        rig.guest.connect(PUBLIC, 80)
        self.assertEqual(rig.reactor.tcpClients, [])

    def test_blockedAliasOfOtherTypes(self) -> None:
        """
        So it is whatever was asked for, and the addresses behind it are blocked: those in the
        answer, and where it has none, those that a question about addresses would have got.
        """
        for rtype, data in (
            ("TXT", '"hidden"'),
            ("CNAME", ""),
            ("HTTPS", f'1 . alpn="h2" ipv4hint="{PUBLIC}"'),
        ):
            rig = DNSRig(rules={"blockedDomains": ("tracker.example",)})
            rig.ask("innocent.example", rtype)
            records = ["innocent.example. 60 CNAME x.tracker.example."]
            if data:
                records.append(f"x.tracker.example. 60 {rtype} {data}")
            rig.upstream(*records)
            message = rig.answer()
            self.assertEqual((message.rcode(), message.answer), (dns.rcode.NXDOMAIN, []))
            self.assertEqual(rig.metrics.value(rows.REFUSALS, "dns", "domain"), 1)
            if rtype != "HTTPS":
                rig.upstream(records[0], f"x.tracker.example. 60 A {PUBLIC}")
            rig.guest.connect(PUBLIC, 80)
            self.assertEqual(rig.reactor.tcpClients, [])

    def test_addressesOfServices(self) -> None:
        """
        The addresses in an answer about a service are the name's: with a list of allowed
        domains they may be reached.
        """
        rig = DNSRig(rules={"allowedDomains": ("allowed.example",)})
        rig.ask("www.allowed.example", "HTTPS")
        text = f'1 . alpn="h2" ipv4hint="{PUBLIC}"'
        rig.upstream(f"www.allowed.example. 60 HTTPS {text}")
        self.assertEqual(
            [rrset.to_text() for rrset in rig.answer().answer],
            [f"www.allowed.example. 60 IN HTTPS {text}"],
        )
        rig.guest.connect(PUBLIC, 443)
        self.assertEqual(len(rig.reactor.tcpClients), 1)

    def test_refusedServices(self) -> None:
        """
        A service at a private address or in a blocked domain is left out; one of many, without
        the others, and the guest may still ask for addresses.
        """
        for refused, reason in (
            ('1 . ipv4hint="192.168.1.1"', "private"),
            (f'1 x.tracker.example. ipv4hint="{PUBLIC}"', "domain"),
            ("0 tracker.example.", "domain"),
        ):
            for others in (["2 . port=8443"], []):
                rig = DNSRig(rules={"blockedDomains": ("tracker.example",)})
                rig.ask("www.example.com", "HTTPS")
                texts = [refused, *others]
                rig.upstream(*(f"www.example.com. 60 HTTPS {text}" for text in texts))
                message = rig.answer()
                self.assertEqual(message.rcode(), dns.rcode.NOERROR)
                left = [str(record) for rrset in message.answer for record in rrset]
                self.assertEqual(left, ['2 . port="8443"'] if others else [])
                self.assertEqual(rig.metrics.value(rows.REFUSALS, "dns", reason), 1)
                self.assertEqual(rig.metrics.value(rows.L2_POLICY_DENIED), 1)
                rig.guest.connect(PUBLIC, 80)
                allowed = "x.tracker" not in refused
                self.assertEqual(len(rig.reactor.tcpClients), int(allowed))

    def test_additional(self) -> None:
        """
        With rules about names a guest gets nothing but the answer: an upstream may add addresses
        of names that it would not be told.
        """
        for blocked in ((), ("tracker.example",)):
            rig = DNSRig(rules={"blockedDomains": blocked})
            rig.ask("example.com", "MX", use_edns=0)
            wire = dns.message.from_wire(
                reply(rig.dns.queries[-1][0], "example.com. 60 MX 10 x.tracker.example.")
            )
            extra = dns.rrset.from_text("x.tracker.example.", 60, "IN", "A", PUBLIC)
            wire.additional.append(extra)
            rig.dns.answer(wire.to_wire())
            rig.settle()
            message = rig.answer()
            self.assertEqual((message.edns, len(message.answer)), (0, 1))
            self.assertEqual(len(message.additional), 0 if blocked else 1)

    def test_malformedService(self) -> None:
        """
        An answer that cannot be read is none.
        """
        rig = DNSRig()
        rig.ask("www.example.com", "HTTPS")
        whole = reply(rig.dns.queries[-1][0], 'www.example.com. 60 HTTPS 1 . ipv4hint="1.2.3.4"')
        rig.dns.answer(whole[:-6] + b"\0\x09" + whole[-4:])
        rig.settle()
        self.assertEqual(rig.answer().rcode(), dns.rcode.SERVFAIL)
        self.assertEqual(rig.metrics.value(rows.L2_DNS_FAILED), 1)

    def test_allowList(self) -> None:
        """
        With a list of allowed domains an address may be reached only after one of their names
        led there, and for as long as that is remembered.
        """
        rig = DNSRig(rules={"allowedDomains": ("allowed.example",), "nameMemory": 100})
        rig.guest.connect(PUBLIC, 80)
        self.assertEqual(rig.reactor.tcpClients, [])
        self.assertEqual(rig.metrics.value(rows.REFUSALS, "tcp", "unresolved"), 1)
        rig.resolve("www.allowed.example", PUBLIC)
        rig.guest.connect(PUBLIC, 80)
        self.assertEqual(len(rig.reactor.tcpClients), 1)
        rig.ask("other.example")
        self.assertEqual(rig.answer().rcode(), dns.rcode.NXDOMAIN)
        self.assertEqual(len(rig.dns.queries), 1)
        rig.reactor.advance(120)
        rig.guest.connect(PUBLIC, 80)
        self.assertEqual(len(rig.reactor.tcpClients), 1)

    def test_otherServers(self) -> None:
        """
        With rules about names, questions to other servers are answered here, as if they had;
        without, they are datagrams like any other.
        """
        rig = DNSRig(rules={"blockedDomains": ("blocked.example",)})
        rig.ask("www.blocked.example", to="8.8.8.8")
        self.assertEqual(rig.guest.datagrams[0].source, ("8.8.8.8", 53))
        self.assertEqual(rig.answer().rcode(), dns.rcode.NXDOMAIN)
        overTCP = rig.guest.connect("8.8.8.8", 53)
        rig.settle()
        self.assertTrue(overTCP.established)
        self.assertEqual((rig.reactor.tcpClients, rig.network.sockets), ([], []))
        rig.guest.connect("8.8.8.8", 853)
        self.assertEqual(rig.reactor.tcpClients, [])
        rig = DNSRig()
        rig.ask("www.blocked.example", to="8.8.8.8")
        self.assertEqual(len(rig.network.sockets), 1)
