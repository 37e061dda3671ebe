"""
Tests for L{aero.lan.nat.udp}.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from aero.lan.nat import udp as udpnat
from aero.metrics import lan as rows
from aero.net.resolver import LookupFailed
from aero.policy.forwards import Forward
from aero.testing.lan import LANRig
from aero.testing.packets import BROADCAST, ICMP, UDP, ipFrame, readPacket

REMOTE = ("93.184.215.14", 4_000)
OTHER = ("93.184.215.15", 4_000)


class FlowTests(SynchronousTestCase):
    """
    Datagrams to the outside and back.
    """

    def rigFor(self, **options: Any) -> LANRig:
        self.rig = LANRig(**options)
        return self.rig

    def send(self, port: int, to: tuple[str, int] = REMOTE, data: bytes = b"ping") -> None:
        self.rig.guest.sendDatagram(port, *to, data)
        self.rig.settle()

    def deliver(self, data: bytes, remote: tuple[str, int] = REMOTE, index: int = 0) -> None:
        self.rig.network.deliver(index, (data, remote))
        self.rig.settle()

    def got(self) -> list[tuple[tuple[str, int], int, bytes]]:
        """
        What the guest got since the last call: from whom, at which port, what.
        """
        found = [(d.source, d.destination[1], d.data) for d in self.rig.guest.datagrams]
        self.rig.guest.datagrams.clear()
        return found

    def value(self, row: Any, *labels: str) -> float:
        return self.rig.metrics.value(row, *labels)

    def test_thereAndBack(self) -> None:
        """
        A datagram gets to the outside, and the answer back.
        """
        rig = self.rigFor()
        self.send(5_000)
        self.assertEqual(rig.network.sockets[0].sent, [(b"ping", REMOTE)])
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 1)
        self.deliver(b"pong")
        self.assertEqual(self.got(), [(REMOTE, 5_000, b"pong")])
        self.assertEqual(self.value(rows.BYTES, "udp", "up"), 4)
        self.assertEqual(self.value(rows.BYTES, "udp", "down"), 4)

    def test_everybody(self) -> None:
        """
        A datagram in a frame to every station is for who listens in the LAN. It is not
        forwarded, and there is no error about it (RFC 1812 section 5.3.4, RFC 1122 section 3.2.2).
        """
        forward = Forward(0x0A000263, 4_000, "127.0.0.1", 4_000)
        rig = self.rigFor(udpForwards=(forward,))
        heard: list[bytes] = []
        server: Any = DatagramProtocol()
        server.noisy = False
        server.datagramReceived = lambda data, address: heard.append(data)
        rig.lan.listenUDP(4_000, server)
        guest = rig.guest
        guest.askForLease()
        places = (REMOTE[0], "192.168.1.1", "10.0.2.99", "10.0.2.98", "10.0.2.2")
        for port in (4_000, 4_001):
            for place in places:
                datagram = guest._datagram(guest.address, 5_000, place, port, b"hello")
                frame = ipFrame(BROADCAST, guest.mac, guest.address, place, UDP, datagram)
                guest.send(frame)
                rig.settle()
        self.assertEqual((heard, rig.network.sockets, guest.errors), ([b"hello"], [], []))
        self.assertEqual(self.value(rows.L2_POLICY_DENIED), 0)

    def test_sharedPort(self) -> None:
        """
        A guest's port has one port on the network, whoever it talks to; another port has
        another one.
        """
        rig = self.rigFor()
        self.send(5_000)
        self.send(5_000, OTHER)
        self.assertEqual(len(rig.network.sockets), 1)
        self.send(5_001)
        self.assertEqual(len(rig.network.sockets), 2)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 3)
        self.assertEqual(self.value(rows.UDP_SOCKETS), 2)

    def test_ownPorts(self) -> None:
        """
        Or one for each remote, if that is asked for.
        """
        rig = self.rigFor(udpMapping="address-and-port")
        self.send(5_000)
        self.send(5_000, OTHER)
        self.assertEqual(len(rig.network.sockets), 2)
        self.deliver(b"stranger", OTHER)
        self.assertEqual(self.got(), [])
        self.deliver(b"friend", OTHER, 1)
        self.assertEqual(self.got(), [(OTHER, 5_000, b"friend")])

    def test_filtering(self) -> None:
        """
        Those that the guest has written to may answer; by setting, others at their addresses,
        or everybody who is public.
        """
        strangers = {
            "address-and-port": [],
            "address": [(REMOTE[0], 9)],
            "endpoint-independent": [(REMOTE[0], 9), OTHER],
        }
        for filtering, expected in strangers.items():
            self.rigFor(udpFiltering=filtering)
            self.send(5_000)
            for remote in ((REMOTE[0], 9), OTHER, ("192.168.1.1", 53)):
                self.deliver(b"knock", remote)
            self.assertEqual([source for source, _, _ in self.got()], expected)
            self.assertEqual(self.value(rows.UDP_FILTERED), 3 - len(expected))
            self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 1)

    def test_preserved(self) -> None:
        """
        A port keeps its number where it is free, for the ports that are clients'.
        """
        for preserve, wanted in (("all", 5_000), ("off", 40_001), ("ephemeral", 40_001)):
            rig = self.rigFor(preservePorts=preserve)
            self.send(5_000)
            self.assertEqual(rig.network.sockets[0].getsockname()[1], wanted)
        rig = self.rigFor(preservePorts="all")
        rig.network.used.add((socket.AF_INET, 5_000))
        self.send(5_000)
        self.assertEqual(rig.network.sockets[0].getsockname()[1], 40_001)

    def test_idle(self) -> None:
        """
        A flow that is silent ends, and its socket with the last one; whatever passes in either
        direction makes it start anew (l2.md L16).
        """
        rig = self.rigFor(flowIdle=10.0)
        self.send(5_000)
        rig.reactor.advance(6)
        self.send(5_000, OTHER)
        self.deliver(b"still here")
        rig.reactor.advance(8)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 2)
        rig.reactor.advance(3)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 0)
        self.assertTrue(rig.network.sockets[0].closed)
        self.assertEqual(self.value(rows.UDP_SOCKETS), 0)
        self.send(5_000)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 1)
        rig.lan.stop()
        self.assertEqual(rig.reactor.getDelayedCalls(), [])

    def test_idleDNS(self) -> None:
        """
        A flow to the port of DNS ends after half a minute, beside others that go on.
        """
        rig = self.rigFor()
        self.send(5_000)
        rig.reactor.advance(10)
        self.send(5_001, (REMOTE[0], 53))
        self.send(5_002, (OTHER[0], 53))
        rig.reactor.advance(20)
        self.deliver(b"late", (OTHER[0], 53), 2)
        rig.reactor.advance(9)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 3)
        rig.reactor.advance(1.1)
        self.assertEqual([each.closed for each in rig.network.sockets], [False, True, False])
        rig.reactor.advance(20)
        self.assertEqual([each.closed for each in rig.network.sockets], [False, True, True])
        rig.reactor.advance(238)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 1)
        rig.reactor.advance(2)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 0)

    def test_socketEvicted(self) -> None:
        """
        Where the system has no socket left, the guest's longest silent flow gives up its own.
        """
        rig = self.rigFor()
        self.send(5_000)
        self.send(5_001)
        families, rig.network.families = set(rig.network.families), set()
        self.send(5_002)
        self.assertEqual(self.value(rows.L2_UDP_SEND_FAILED), 1)
        rig.reactor.advance(6)
        rig.network.sockets[0].close = lambda: rig.network.families.update(families)  # type: ignore[method-assign]
        self.send(5_003)
        self.assertEqual(self.value(rows.UDP_EVICTED), 1)
        self.assertEqual(rig.network.sockets[-1].sent, [(b"ping", REMOTE)])

    def test_neverIdle(self) -> None:
        """
        Without an idle time flows stay.
        """
        rig = self.rigFor(flowIdle=0.0)
        self.send(5_000)
        rig.reactor.advance(100_000)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 1)

    def test_limit(self) -> None:
        """
        More flows than there may be are not made; those that are there stay (l2.md L15).
        """
        rig = self.rigFor(maxFlows=2)
        for port in (5_000, 5_001, 5_002):
            self.send(port)
        self.assertEqual(len(rig.network.sockets), 2)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 2)
        self.assertEqual(self.value(rows.L2_UDP_FLOW_LIMIT), 1)

    def test_evicted(self) -> None:
        """
        Unless one of them has been silent for a while: the longest silent one makes room.
        """
        rig = self.rigFor(maxFlows=2)
        self.send(5_000)
        self.send(5_001)
        rig.reactor.advance(4)
        self.deliver(b"here")
        rig.reactor.advance(2)
        self.send(5_002)
        self.assertEqual([each.closed for each in rig.network.sockets], [False, True, False])
        self.assertEqual(self.value(rows.UDP_EVICTED), 1)
        self.assertEqual(self.value(rows.L2_UDP_FLOW_LIMIT), 0)

    def test_unlimited(self) -> None:
        """
        A limit of 0 is none.
        """
        rig = self.rigFor(maxFlows=0)
        for port in range(5_000, 5_300):
            rig.guest.sendDatagram(port, *REMOTE, b"x")
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 300)

    def test_prohibited(self) -> None:
        """
        What the policy refuses leaves no trace on the network; the guest is told.
        """
        rig = self.rigFor(rules={"udpPorts": frozenset({4_000})})
        self.send(5_000, ("10.1.1.1", 4_000))
        self.send(5_000, (REMOTE[0], 53))
        self.assertEqual(rig.network.sockets, [])
        self.assertEqual([error[:2] for error in rig.guest.errors], [(3, 13), (3, 13)])
        self.assertEqual(self.value(rows.L2_POLICY_DENIED), 2)
        self.assertEqual(self.value(rows.REFUSALS, "udp", "port"), 1)

    def test_noise(self) -> None:
        """
        Multicast and broadcast that nothing listens to are neither sent nor refused.
        """
        rig = self.rigFor()
        for address in ("224.0.0.251", "239.255.255.250", "255.255.255.255", "10.0.2.255"):
            self.send(5_353, (address, 5_353))
        self.assertEqual((rig.network.sockets, rig.guest.errors), ([], []))
        self.assertEqual(self.value(rows.L2_POLICY_DENIED), 0)

    def test_closedGatewayPort(self) -> None:
        """
        Nothing at the gateway's port is said so.
        """
        rig = self.rigFor()
        self.send(5_000, ("10.0.2.2", 69))
        self.assertEqual(rig.guest.errors[0][:2], (3, 3))

    def test_large(self) -> None:
        """
        Datagrams larger than a frame are put together and taken apart; nothing is cut.
        """
        self.rigFor()
        self.send(5_000)
        self.deliver(b"z" * 20_000)
        self.assertEqual(self.got(), [(REMOTE, 5_000, b"z" * 20_000)])
        self.deliver(b"")
        self.assertEqual(self.got(), [(REMOTE, 5_000, b"")])

    def test_noSockets(self) -> None:
        """
        Without a socket the datagram is lost, and nothing else is.
        """
        rig = self.rigFor()
        rig.network.families.clear()
        self.send(5_000)
        self.assertEqual(self.value(rows.L2_UDP_SEND_FAILED), 1)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 0)
        rig.guest.ping("10.0.2.2")
        self.assertEqual(len(rig.guest.echoes), 1)

    def test_sendFails(self) -> None:
        """
        A datagram that the system does not take ends its flow, and the guest is told why
        (l2.md L17).
        """
        rig = self.rigFor()
        self.send(5_000)
        rig.network.sockets[0].refuses = True
        self.send(5_000)
        self.assertEqual(self.value(rows.L2_UDP_SEND_FAILED), 1)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 0)
        self.assertEqual(rig.guest.errors[0][:2], (3, 1))

    def test_refused(self) -> None:
        """
        A remote that nothing listens at ends that flow only, and the guest gets the port
        unreachable that it would have got itself.
        """
        rig = self.rigFor()
        self.send(5_000)
        self.send(5_000, OTHER)
        made: Any = rig.network.sockets[0]
        errors = [(errno.ECONNREFUSED, REMOTE), (errno.ECONNREFUSED, ("93.184.215.99", 1))]

        def recvmsg(size: int, extra: int, flags: int) -> Any:
            if not errors:
                raise BlockingIOError
            number, remote = errors.pop(0)
            told = struct.pack("=IBBBBII", number, 2, 3, 3, 0, 0, 0) + bytes(16)
            return b"", [(socket.IPPROTO_IP, 11, told)], flags, remote

        made.recvmsg = recvmsg
        rig.network.deliver(0)
        rig.settle()
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 1)
        self.assertEqual(self.value(rows.L2_UDP_SEND_FAILED), 1)
        self.assertEqual([error[:2] for error in rig.guest.errors], [(3, 3)])
        self.deliver(b"other lives", OTHER)
        self.assertEqual(self.got(), [(OTHER, 5_000, b"other lives")])

    def test_routers(self) -> None:
        """
        The error of a router gets to the guest from that router, with the guest's datagram
        quoted, and the flow goes on (RFC 5508 REQ-4, RFC 4787 REQ-12). What an earlier datagram
        had is taken from the error itself.
        """
        rig = self.rigFor()
        self.send(5_000, data=b"earlier one")
        self.send(5_000, data=b"latest")
        told = [
            (11, 0, "198.51.100.1", b"lat"),
            (3, 13, "198.51.100.2", b"earlier"),
            (3, 1, "10.0.2.9", b""),
            (3, 3, "127.0.0.1", b"latest"),
        ]

        def recvmsg(size: int, extra: int, flags: int) -> Any:
            if not told:
                raise BlockingIOError
            kind, code, router, quoted = told.pop(0)
            error = struct.pack("=IBBBBII", errno.EHOSTUNREACH, 2, kind, code, 0, 0, 0)
            error += struct.pack("=H", socket.AF_INET) + b"\0\0" + socket.inet_aton(router)
            return quoted, [(socket.IPPROTO_IP, 11, error + bytes(8))], flags, REMOTE

        made: Any = rig.network.sockets[0]
        made.recvmsg = recvmsg
        rig.network.deliver(0)
        rig.settle()
        errors = [readPacket(frame) for frame in rig.guest.frames if frame[23] == ICMP]
        self.assertEqual(
            [(each.source, *each.payload[:2]) for each in errors],
            [
                ("198.51.100.1", 11, 0),
                ("198.51.100.2", 3, 13),
                ("10.0.2.2", 3, 1),
                (REMOTE[0], 3, 3),
            ],
        )
        quotes = [quoted for _, _, quoted in rig.guest.errors]
        for quoted in quotes:
            self.assertEqual(quoted[20:24], b"\x13\x88\x0f\xa0")
        self.assertEqual(
            [quoted[28:] for quoted in quotes], [b"latest", b"earlier", b"latest", b"latest"]
        )
        self.assertNotEqual(quotes[0][26:28], b"\0\0")
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 1)

    def test_hops(self) -> None:
        """
        The TTL of the guest is carried out, less the gateway's hop; at 1 the gateway answers.
        """
        rig = self.rigFor()
        guest = rig.guest
        guest.askForLease()
        for ttl in (64, 64, 3, 2, 1):
            datagram = guest._datagram(guest.address, 5_000, *REMOTE, b"probe")
            guest.send(
                ipFrame(
                    guest.gatewayMAC, guest.mac, guest.address, REMOTE[0], UDP, datagram, ttl=ttl
                )
            )
            rig.settle()
        made: Any = rig.network.sockets[0]
        hops = [value for level, name, value in made.options if name == 2]
        self.assertEqual((hops, len(made.sent)), ([63, 2, 1], 4))
        self.assertEqual([error[:2] for error in guest.errors], [(11, 0)])

    def test_tooLong(self) -> None:
        """
        A datagram that may not be cut and is too long for the way out is answered with how long
        it may be, whoever finds out; its flow goes on, and there is no answer without a number,
        or with one that would be wrong.
        """
        rig = self.rigFor()
        self.send(5_000, data=bytes(1_400))
        made: Any = rig.network.sockets[0]
        self.assertEqual(made.options, [(socket.IPPROTO_IP, 10, 2), (socket.IPPROTO_IP, 2, 63)])
        told: list[Any] = []

        def recvmsg(size: int, extra: int, flags: int) -> Any:
            if not told:
                raise BlockingIOError
            mtu, origin, port = told.pop(0)
            error = struct.pack("=IBBBBII", errno.EMSGSIZE, origin, 3, 4, 0, mtu, 0) + bytes(16)
            return b"", [(socket.IPPROTO_IP, 11, error)], flags, (REMOTE[0], port)

        def sendto(data: bytes, address: Any) -> int:
            raise OSError(errno.EMSGSIZE, "Message too long")

        made.recvmsg = recvmsg
        sends, made.sendto = made.sendto, sendto
        for mtu in (1_300, 1_428, 60):
            told.append((mtu, 1, 0))
            self.send(5_000, data=bytes(1_400))
        self.send(5_000, data=bytes(1_400))
        made.sendto = sends
        told.append((1_200, 2, REMOTE[1]))
        self.deliver(b"pong")
        errors = [readPacket(frame) for frame in rig.guest.frames if frame[23] == ICMP]
        self.assertEqual(
            [error.payload[:2] + error.payload[4:8] for error in errors],
            [bytes((3, 4)) + mtu.to_bytes(4, "big") for mtu in (1_300, 1_200)],
        )
        self.assertEqual([quoted[2:4] for _, _, quoted in rig.guest.errors], [b"\5\x94"] * 2)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 1)
        self.assertEqual(self.value(rows.L2_UDP_SEND_FAILED), 5)
        self.assertEqual(self.got(), [(REMOTE, 5_000, b"pong")])

    def test_stop(self) -> None:
        """
        The end of the tunnel closes every socket.
        """
        rig = self.rigFor()
        self.send(5_000)
        self.send(5_001)
        rig.lan.stop()
        self.assertEqual([each.closed for each in rig.network.sockets], [True, True])
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 0)
        self.assertEqual(rig.reactor.getReaders(), [])


class ForwardTests(FlowTests):
    """
    Addresses that are elsewhere. Everything else holds beside them.
    """

    def rigFor(self, **options: Any) -> LANRig:
        forwards = (
            Forward(0xCB00710A, 7, "127.0.0.1", 7_777),
            Forward(0xCB00710A, 8, "echo.internal", 8_888),
        )
        return super().rigFor(**{"udpForwards": forwards, **options})

    def test_forwarded(self) -> None:
        """
        The guest sees the address it wrote to, and the target a port that nobody else sees
        (l2.md L5).
        """
        rig = self.rigFor()
        self.send(5_000, ("203.0.113.10", 7))
        self.send(5_000)
        self.assertEqual(rig.network.sockets[0].sent, [(b"ping", ("127.0.0.1", 7_777))])
        self.deliver(b"pong", ("127.0.0.1", 7_777))
        self.assertEqual(self.got(), [(("203.0.113.10", 7), 5_000, b"pong")])
        self.assertEqual(len(rig.network.sockets), 2)

    def test_portList(self) -> None:
        """
        A list of ports holds for forwards too (l2.md L5).
        """
        rig = self.rigFor(rules={"udpPorts": frozenset()})
        self.send(5_000, ("203.0.113.10", 7))
        self.assertEqual(rig.network.sockets, [])

    def test_name(self) -> None:
        """
        The target's name is looked up while nothing else waits, and what is sent meanwhile
        follows, up to a number.
        """
        rig = self.rigFor()
        found: Deferred[list[str]] = Deferred()
        rig.names.resolve = lambda name: found  # type: ignore[method-assign]
        for number in range(20):
            self.send(5_000, ("203.0.113.10", 8), b"%d" % number)
        self.assertEqual((rig.network.sockets, self.value(rows.L2_UDP_ACTIVE)), ([], 1))
        found.callback(["2001:db8::1", "192.0.2.9"])
        sent = rig.network.sockets[0].sent
        self.assertEqual(sent[0], (b"0", ("192.0.2.9", 8_888)))
        self.assertEqual(len(sent), 16)
        self.assertEqual(self.value(rows.L2_UDP_SEND_FAILED), 4)

    def test_nameBytes(self) -> None:
        """
        What waits so is bounded in bytes over all of a guest's flows, and there is room again once
        it went or is lost.
        """
        self.patch(udpnat, "_WAITING_BYTES", 3_000)
        rig = self.rigFor()
        for _ in range(3):
            found: Deferred[list[str]] = Deferred()
            rig.names.resolve = lambda name, found=found: found  # type: ignore[method-assign,misc]
            before = self.value(rows.L2_UDP_SEND_FAILED)
            for port in range(5_000, 5_010):
                self.send(port, ("203.0.113.10", 8), bytes(1_000))
            self.assertEqual(self.value(rows.L2_UDP_SEND_FAILED), before + 7)
            found.errback(LookupFailed("echo.internal", "failed"))

    def test_unknownName(self) -> None:
        """
        A name that is not found is a datagram lost, at once or later.
        """
        rig = self.rigFor()
        self.send(5_000, ("203.0.113.10", 8))
        self.assertEqual(self.value(rows.L2_DNS_FAILED), 1)
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 0)
        found: Deferred[list[str]] = Deferred()
        rig.names.resolve = lambda name: found  # type: ignore[method-assign]
        self.send(5_000, ("203.0.113.10", 8))
        found.errback(RuntimeError("nothing"))
        self.assertEqual(self.value(rows.L2_UDP_ACTIVE), 0)
