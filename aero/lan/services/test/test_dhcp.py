"""
Tests for L{aero.lan.services.dhcp}.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import lan as rows
from aero.policy.forwards import Forward
from aero.settings._lanparsers import StaticRoute
from aero.testing.lan import LANRig
from aero.testing.packets import BROADCAST, packed, readPacket

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
GATEWAY = packed("10.0.2.2")
GUEST = packed("10.0.2.15")


class LeaseTests(SynchronousTestCase):
    """
    Getting, keeping and giving back the address.
    """

    def setUp(self) -> None:
        self.rig = LANRig()
        self.guest = self.rig.guest

    def answers(self) -> list[tuple[int, str]]:
        """
        The messages since the last call: type and address.
        """
        found = [(kind, address) for kind, address, _ in self.guest.offers]
        self.guest.offers.clear()
        return found

    def request(self, *options: tuple[int, bytes], ciaddr: str = "0.0.0.0", to: str = "") -> None:
        self.guest.sendDHCP(REQUEST, options, ciaddr=ciaddr, destination=to or "255.255.255.255")

    def test_discover(self) -> None:
        """
        DISCOVER is answered with an OFFER, by broadcast and by unicast (l2.md L1).
        """
        self.guest.sendDHCP(DISCOVER)
        self.assertEqual(self.answers(), [(OFFER, "10.0.2.15")] * 2)
        first, second = map(readPacket, self.guest.frames)
        self.assertEqual(first.station[0], BROADCAST)
        self.assertEqual(first.destination, "255.255.255.255")
        self.assertEqual(second.station[0], self.guest.mac)
        self.assertEqual(second.destination, "10.0.2.15")
        self.assertEqual(first.payload[8:], second.payload[8:])
        self.assertIsNone(self.rig.lan.lease)

    def test_selecting(self) -> None:
        """
        The REQUEST that follows an OFFER gets the ACK, twice too, and with it the lease.
        """
        self.request((50, GUEST), (54, GATEWAY), (12, b"emulator"))
        self.assertEqual(self.answers(), [(ACK, "10.0.2.15")] * 2)
        lease = self.rig.lan.lease
        assert lease is not None
        self.assertEqual(lease.address, 0x0A00020F)
        self.assertEqual(lease.hardwareAddress, self.guest.mac)
        self.assertEqual(lease.hostName, "emulator")
        self.assertEqual(lease.expires, 86_400)
        self.rig.reactor.advance(86_399)
        self.assertEqual(self.rig.lan.lease, lease)
        self.rig.reactor.advance(1)
        self.assertIsNone(self.rig.lan.lease)

    def test_otherServer(self) -> None:
        """
        A client that took the offer of another server hears nothing.
        """
        self.request((50, GUEST), (54, packed("10.0.2.9")))
        self.assertEqual(self.answers(), [])

    def test_wrongAddress(self) -> None:
        """
        A client that wants another address than it was offered is refused, by broadcast.
        """
        self.request((50, packed("10.0.2.16")), (54, GATEWAY))
        self.assertEqual(self.answers(), [(NAK, "0.0.0.0")])
        self.assertEqual(readPacket(self.guest.frames[0]).destination, "255.255.255.255")

    def test_initReboot(self) -> None:
        """
        A client that had the address before gets it again; one that had another, somewhere
        else, is refused.
        """
        self.request((50, GUEST))
        self.assertEqual(self.answers(), [(ACK, "10.0.2.15")] * 2)
        self.request((50, packed("192.168.1.7")))
        self.assertEqual(self.answers(), [(NAK, "0.0.0.0")])

    def test_renewing(self) -> None:
        """
        A client that renews is answered where it is, once, and has the address for longer.
        """
        self.guest.askForLease()
        self.answers()
        self.guest.frames.clear()
        self.rig.reactor.advance(43_200)
        self.request(ciaddr="10.0.2.15", to="10.0.2.2")
        self.assertEqual(self.answers(), [(ACK, "10.0.2.15")])
        packet = readPacket(self.guest.frames[-1])
        self.assertEqual(packet.destination, "10.0.2.15")
        assert self.rig.lan.lease is not None
        self.assertEqual(self.rig.lan.lease.expires, 43_200 + 86_400)
        self.request(ciaddr="10.0.2.99", to="10.0.2.2")
        self.assertEqual(self.answers(), [(NAK, "0.0.0.0")])

    def test_rebinding(self) -> None:
        """
        The same by broadcast, when the client could not renew.
        """
        self.request(ciaddr="10.0.2.15")
        self.assertEqual(self.answers(), [(ACK, "10.0.2.15")])
        self.request(ciaddr="10.0.2.99")
        self.assertEqual(self.answers(), [(NAK, "0.0.0.0")])

    def test_elsewhere(self) -> None:
        """
        A guest that wakes up here with a lease of another network is told that it has none.
        """
        self.request(ciaddr="172.16.0.4")
        self.assertEqual(self.answers(), [(NAK, "0.0.0.0")])
        seen: list[bytes] = []
        server: Any = DatagramProtocol()
        server.noisy = False
        server.datagramReceived = lambda data, address: seen.append(data)
        self.rig.lan.listenUDP(7, server)
        self.guest.address = "172.16.0.4"
        self.guest.sendDatagram(5_000, "255.255.255.255", 7, b"hello")
        self.assertEqual(seen, [])

    def test_release(self) -> None:
        """
        A lease that is given back is over; one that was never had is not.
        """
        self.guest.askForLease()
        self.answers()
        self.guest.sendDHCP(RELEASE, [(54, GATEWAY)], ciaddr="10.0.2.99", destination="10.0.2.2")
        self.assertIsNotNone(self.rig.lan.lease)
        self.guest.sendDHCP(RELEASE, [(54, GATEWAY)], ciaddr="10.0.2.15", destination="10.0.2.2")
        self.assertIsNone(self.rig.lan.lease)
        self.assertEqual(self.answers(), [])

    def test_decline(self) -> None:
        """
        An address that somebody else has is not offered again.
        """
        self.guest.askForLease()
        self.answers()
        self.guest.sendDHCP(DECLINE, [(50, GUEST), (54, GATEWAY)])
        self.assertIsNone(self.rig.lan.lease)
        self.guest.sendDHCP(DISCOVER)
        self.assertEqual(self.answers(), [(OFFER, "10.0.2.16")] * 2)
        self.guest.sendDHCP(DECLINE, [(50, GUEST), (54, GATEWAY)])
        self.guest.askForLease()
        self.assertEqual(self.rig.lan.guestAddress, "10.0.2.16")

    def test_declineAll(self) -> None:
        """
        However often it declines, a client is offered an address of the network other than
        the gateway's two.
        """
        seen = set()
        for _ in range(300):
            self.guest.sendDHCP(DISCOVER)
            offered = self.answers()[0][1]
            seen.add(offered)
            self.guest.sendDHCP(DECLINE, [(50, packed(offered)), (54, GATEWAY)])
        self.assertEqual(len(seen), 252)
        self.assertEqual(seen & {"10.0.2.2", "10.0.2.3"}, set())

    def test_owned(self) -> None:
        """
        An address that the LAN answers for is never offered: not that of a forward, nor one that
        something listens at, even if it was the guest's before. The client's probe of what it
        is offered gets no answer.
        """
        forwards = (
            Forward(0x0A000210, 80, "127.0.0.1", 8_080),
            Forward(0x0A000211, 80, "127.0.0.1", 8_080),
        )
        self.rig = rig = LANRig(tcpForwards=forwards)
        self.guest = rig.guest
        self.guest.askForLease()
        self.answers()
        self.guest.sendDHCP(DECLINE, [(50, GUEST), (54, GATEWAY)])
        self.guest.sendDHCP(DISCOVER)
        self.assertEqual(self.answers(), [(OFFER, "10.0.2.18")] * 2)
        self.guest.askWho("10.0.2.18", "0.0.0.0")
        self.assertEqual(self.guest.arps, [])
        self.request((50, packed("10.0.2.18")), (54, GATEWAY))
        self.assertEqual(self.answers(), [(ACK, "10.0.2.18")] * 2)
        server: Any = Factory()
        server.noisy = False
        rig.lan.listenTCP(80, server, "10.0.2.18")
        self.request((50, packed("10.0.2.18")))
        self.assertEqual(self.answers(), [(NAK, "0.0.0.0")])
        self.assertEqual(rig.lan.guestAddress, "10.0.2.19")
        self.guest.sendDHCP(DISCOVER)
        self.assertEqual(self.answers(), [(OFFER, "10.0.2.19")] * 2)

    def test_allOwned(self) -> None:
        """
        Where the LAN answers for every address, none is offered.
        """
        self.rig = rig = LANRig(subnet=ip_network("10.0.2.0/30"))
        self.guest = rig.guest
        self.guest.sendDHCP(DECLINE, [(50, packed("10.0.2.1")), (54, GATEWAY)])
        self.guest.sendDHCP(DISCOVER)
        self.assertEqual(self.answers(), [(OFFER, "10.0.2.1")] * 2)
        server: Any = Factory()
        server.noisy = False
        rig.lan.listenTCP(80, server, "10.0.2.1")
        self.guest.sendDHCP(DISCOVER)
        self.assertEqual(self.answers(), [])
        self.request((50, packed("10.0.2.1")), (54, GATEWAY))
        self.assertEqual(self.answers(), [(NAK, "0.0.0.0")])

    def test_inform(self) -> None:
        """
        A client with an address of its own gets the options and no lease.
        """
        self.guest.sendDHCP(INFORM, [(55, bytes((1, 15, 6)))], ciaddr="10.0.2.15")
        kind, address, options = self.guest.offers[0]
        self.assertEqual((kind, address, len(self.guest.offers)), (ACK, "0.0.0.0", 1))
        self.assertEqual(options[6], GATEWAY)
        self.assertEqual(options.keys() & {51, 58, 59}, set())
        self.assertIsNone(self.rig.lan.lease)

    def test_newMAC(self) -> None:
        """
        A guest that comes back with another MAC address gets its address again.
        """
        self.guest.askForLease()
        self.guest.mac = b"\x02\xaa\xbb\xcc\xdd\x01"
        self.guest.askForLease()
        self.assertEqual(self.guest.address, "10.0.2.15")
        assert self.rig.lan.lease is not None
        self.assertEqual(self.rig.lan.lease.hardwareAddress, self.guest.mac)
        self.guest.ping("10.0.2.2")
        self.assertEqual(len(self.guest.echoes), 1)

    def test_noise(self) -> None:
        """
        What is no request of a client is not answered: nonsense, replies, messages by way of a
        relay, messages from another port.
        """
        self.guest.sendDatagram(68, "10.0.2.2", 67, b"nonsense")
        self.guest.sendDatagram(69, "10.0.2.2", 67, bytes(300))
        for kind in (OFFER, ACK, NAK):
            self.guest.sendDHCP(kind)
        self.assertEqual(self.answers(), [])
        self.assertEqual(self.rig.metrics.value(rows.DHCP, "malformed"), 1)


class BOOTPTests(SynchronousTestCase):
    """
    Clients of BOOTP (RFC 951, RFC 1534, RFC 1542).
    """

    cookie = b"\x63\x82\x53\x63"

    def setUp(self) -> None:
        self.rig = LANRig(hostName="emulator")
        self.guest = self.rig.guest

    def replies(self) -> list[tuple[bytes, dict[int, bytes]]]:
        found, self.guest.bootReplies = self.guest.bootReplies, []
        self.assertEqual(self.guest.offers, [])
        return found

    def test_withoutCookie(self) -> None:
        """
        A client without the cookie gets its address in a message of 300 bytes without options, by
        broadcast and by unicast, whether it can take unicast or not.
        """
        for flags in (0, 0x8000):
            self.guest.frames.clear()
            self.guest.sendBOOTP(flags=flags)
            (data, options), again = self.replies()
            self.assertEqual((len(data), options, again), (300, {}, (data, {})))
            self.assertEqual(data[:4], b"\2\1\6\0")
            self.assertEqual(
                data[10:28], flags.to_bytes(2, "big") + bytes(4) + GUEST + GATEWAY + bytes(4)
            )
            self.assertEqual(data[44:], bytes(256))
            places = [readPacket(each).destination for each in self.guest.frames]
            self.assertEqual(places, ["255.255.255.255", "10.0.2.15"])
        self.assertEqual(self.rig.metrics.value(rows.DHCP, "bootp"), 2)
        self.assertEqual(self.rig.metrics.value(rows.DHCP, "bootreply"), 2)

    def test_withCookie(self) -> None:
        """
        One with the cookie gets the vendor options too, and none that are DHCP's alone.
        """
        self.guest.sendBOOTP(self.cookie + b"\xff")
        data, options = self.replies()[0]
        self.assertEqual(len(data), 300)
        self.assertEqual(list(options), [1, 3, 6, 12, 28, 26])
        self.assertEqual((options[3], options[6], options[12]), (GATEWAY, GATEWAY, b"emulator"))

    def test_lease(self) -> None:
        """
        The lease lasts as long as the LAN, because such a client never renews.
        """
        self.guest.sendBOOTP(self.cookie + b"\x0c\x03old\xff")
        self.rig.reactor.advance(1_000_000)
        lease = self.rig.lan.lease
        assert lease is not None
        self.assertEqual((lease.address, lease.hostName), (0x0A00020F, "old"))
        self.assertEqual(lease.hardwareAddress, self.guest.mac)

    def test_hasAddress(self) -> None:
        """
        A client that knows its address is answered there, and given none.
        """
        self.guest.address = "10.0.2.77"
        self.guest.sendBOOTP(ciaddr="10.0.2.77")
        ((data, _),) = self.replies()
        self.assertEqual(data[12:24], packed("10.0.2.77") + bytes(4) + GATEWAY)
        self.assertEqual(readPacket(self.guest.frames[-1]).destination, "10.0.2.77")
        self.assertIsNone(self.rig.lan.lease)

    def test_files(self) -> None:
        """
        A client that wants a boot file gets an address and no file; one that asks another server
        by name gets nothing.
        """
        self.guest.sendBOOTP(file=b"kernel")
        self.assertEqual(self.replies()[0][0][44:236], bytes(192))
        self.guest.sendBOOTP(sname=b"other")
        self.assertEqual(self.replies(), [])

    def test_nothingFree(self) -> None:
        """
        Where the LAN answers for every address, there is no answer.
        """
        stack: Any = self.rig.lan.driver.stack
        stack.addresses.owned.update(range(0x0A000200, 0x0A000300))
        self.guest.sendBOOTP()
        self.assertEqual(self.replies(), [])


class OptionTests(SynchronousTestCase):
    """
    What the guest is told.
    """

    def options(self, rig: LANRig, *asked: tuple[int, bytes]) -> dict[int, bytes]:
        rig.guest.sendDHCP(DISCOVER, asked)
        return rig.guest.offers[-1][2]

    def test_always(self) -> None:
        """
        Mask, router, DNS server and times, whether they are asked for or not, in the order of
        l2.md section 16.4.
        """
        found = self.options(LANRig(), (55, b"\x0c"))
        self.assertEqual(list(found), [53, 54, 1, 3, 6, 51, 58, 59])
        self.assertEqual((found[54], found[3], found[6]), (GATEWAY,) * 3)
        self.assertEqual(found[1], packed("255.255.255.0"))
        times = [int.from_bytes(found[code], "big") for code in (51, 58, 59)]
        self.assertEqual(times, [86_400, 43_200, 75_600])

    def test_asked(self) -> None:
        """
        The rest as it is asked for, as far as there is something to say.
        """
        rig = LANRig(
            hostName="emulator",
            dhcpDomain="lab.example",
            searchDomains=("lab.example", "example"),
            ntpServers=(0x0A000202, 0xC0000201),
            routes=(StaticRoute(0xC0A80700, 24, 0x0A000202),),
            mtu=1_400,
        )
        found = self.options(rig, (55, bytes((12, 15, 26, 28, 42, 119, 121, 66))))
        self.assertEqual(found[12], b"emulator")
        self.assertEqual(found[15], b"lab.example")
        self.assertEqual(int.from_bytes(found[26], "big"), 1_400)
        self.assertEqual(found[28], packed("10.0.2.255"))
        self.assertEqual(found[42], GATEWAY + packed("192.0.2.1"))
        self.assertEqual(found[119], b"\x03lab\x07example\x00\xc0\x04")
        self.assertEqual(found[121], b"\x18\xc0\xa8\x07" + GATEWAY + b"\x00" + GATEWAY)
        self.assertNotIn(66, found)
        self.assertNotIn(42, self.options(rig, (55, b"\x0c")))

    def test_unasked(self) -> None:
        """
        A client that does not say what it wants is told the MTU and the broadcast address.
        """
        found = self.options(LANRig())
        self.assertEqual(int.from_bytes(found[26], "big"), 1_500)
        self.assertEqual(found[28], packed("10.0.2.255"))

    def test_identifier(self) -> None:
        """
        What a client calls itself comes back as it came, in every answer and in none to a client
        that does not (RFC 6842 section 3).
        """
        rig = LANRig()
        for identifier in (b"\1" + rig.guest.mac, b"\xff" + bytes(range(90))):
            for kind, asked, ciaddr in (
                (DISCOVER, (), "0.0.0.0"),
                (REQUEST, ((50, GUEST),), "0.0.0.0"),
                (REQUEST, ((50, packed("10.0.2.99")),), "0.0.0.0"),
                (INFORM, (), "10.0.2.15"),
            ):
                for sent in (identifier, None):
                    named = () if sent is None else ((61, sent),)
                    rig.guest.offers.clear()
                    rig.guest.sendDHCP(kind, (*asked, *named), ciaddr=ciaddr)
                    self.assertEqual(rig.guest.offers[-1][2].get(61), sent)

    def test_size(self) -> None:
        """
        An answer is no longer than the client takes.
        """
        rig = LANRig(searchDomains=tuple(f"domain-number-{n}.example" for n in range(30)))
        self.options(rig, (55, b"\x77"))
        self.assertLessEqual(len(rig.guest.frames[-1]), 14 + 576)
        self.assertNotIn(119, rig.guest.offers[-1][2])
        found = self.options(rig, (57, (1_400).to_bytes(2, "big")), (55, b"\x77"))
        self.assertEqual(found[119].count(b"domain-number-"), 30)
