"""
Tests for L{aero.stack.tcp.table}: opening, refusing, strangers, limits, turns.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import (
    AbortTCP,
    AcceptTCP,
    CloseTCP,
    ConnectTCP,
    ConsumeTCP,
    RejectTCP,
    SendTCP,
    SendUDP,
)
from aero.stack.events import (
    TCPClosed,
    TCPConnectRequested,
    TCPDataReceived,
    TCPEstablished,
)
from aero.stack.tcp import states
from aero.stack.tcp.table import MAX_REPLIES

from .guest import (
    GUEST,
    GUEST_PORT,
    ISN,
    SACK_PERMITTED,
    SERVER,
    SERVER_PORT,
    ScriptedGuest,
    mss,
    shift,
    stamps,
)

MASK = 0xFFFFFFFF


class OpenTests(SynchronousTestCase):
    """
    A SYN of the guest, and what the outside makes of it.
    """

    def test_asked(self) -> None:
        """
        The outside is asked, and the SYN is held meanwhile.
        """
        guest = ScriptedGuest()
        guest.send("S", acknowledgment=0, options=mss(1460))
        self.assertEqual(
            guest.taken(), [TCPConnectRequested(1, SERVER, SERVER_PORT, GUEST, GUEST_PORT)]
        )
        self.assertEqual(guest.receive(), [])
        self.assertEqual(guest.table.connections, 1)

    def test_accepted(self) -> None:
        """
        The answer to the SYN comes as soon as the outside is connected, with our options.
        """
        guest = ScriptedGuest()
        guest.syn(mss(1460) + SACK_PERMITTED + stamps(7, 0) + shift(5))
        guest.apply(AcceptTCP(1))
        answer = guest.one()
        self.assertEqual((answer.source, answer.sourcePort), (SERVER, SERVER_PORT))
        self.assertEqual((answer.destination, answer.destinationPort), (GUEST, GUEST_PORT))
        self.assertEqual((answer.flags, answer.acknowledgment), ("SA", ISN + 1))
        self.assertEqual(answer.window, 0xFFFF)
        self.assertEqual(answer.options[2], b"\x05\xb4")
        self.assertEqual(answer.options[3], b"\x03")
        self.assertEqual(answer.options[4], b"")
        self.assertEqual(answer.stamps[1], 7)

    def test_onCredit(self) -> None:
        """
        A SYN that nobody decided on within the hold is answered all the same.
        """
        guest = ScriptedGuest()
        guest.syn(mss(1460))
        sent = guest.advance(0.3)
        self.assertEqual([(at, segment.flags) for at, segment in sent], [(0.25, "SA")])

    def test_refusedInTime(self) -> None:
        """
        A refusal within the hold is a reset of the SYN, as from a closed port (l2.md 20.5, L3).
        """
        for reason in ("refused", "timeout"):
            guest = ScriptedGuest()
            guest.syn(mss(1460))
            guest.apply(RejectTCP(1, reason))
            answer = guest.one()
            self.assertEqual(
                (answer.flags, answer.sequence, answer.acknowledgment, answer.window),
                ("RA", 0, ISN + 1, 0),
            )
            self.assertEqual(guest.taken(), [TCPClosed(1, "rejected")])
            self.assertEqual(guest.icmp, [])

    def test_unreachableInTime(self) -> None:
        """
        Where an ICMP error says more, the guest gets that as well, quoting its SYN.
        """
        for reason, code in (("unreachable", 1), ("prohibited", 13)):
            guest = ScriptedGuest()
            packet = guest.packet("S", acknowledgment=0, options=mss(1460))
            guest.sendPacket(packet)
            guest.apply(RejectTCP(1, reason))
            self.assertEqual(guest.icmp, [(3, code, packet)])
            self.assertEqual(guest.one().flags, "RA")

    def test_errorInTime(self) -> None:
        """
        A refusal that has an ICMP error of its own gets that one.
        """
        guest = ScriptedGuest()
        packet = guest.packet("S", acknowledgment=0, options=mss(1460))
        guest.sendPacket(packet)
        guest.apply(RejectTCP(1, "unreachable", 11, 0, 0xC6336401))
        self.assertEqual(guest.icmp, [(11, 0, packet)])

    def test_rejectedLate(self) -> None:
        """
        A refusal after the SYN was answered resets the connection with the numbers it has.
        """
        guest = ScriptedGuest()
        guest.syn(mss(1460))
        [(_, answer)] = guest.advance(0.3)
        guest.send("A", acknowledgment=answer.sequence + 1)
        guest.apply(RejectTCP(1, "unreachable"))
        reset = guest.one()
        self.assertEqual(
            (reset.flags, reset.sequence, reset.acknowledgment),
            ("RA", answer.sequence + 1 & MASK, ISN + 1),
        )
        self.assertEqual(guest.icmp, [])
        self.assertEqual(guest.taken(), [TCPEstablished(1), TCPClosed(1, "rejected")])

    def test_synAgainWhileHeld(self) -> None:
        """
        A SYN that comes again while it is held asks nobody twice.
        """
        guest = ScriptedGuest()
        guest.syn(mss(1460))
        guest.send("S", sequence=ISN, acknowledgment=0, options=mss(1460))
        self.assertEqual(guest.taken(), [])
        self.assertEqual(guest.receive(), [])

    def test_synAgainAfterAnswer(self) -> None:
        """
        A SYN that comes again was not answered, as far as the guest knows: it is answered
        again, with the same number.
        """
        guest = ScriptedGuest()
        guest.syn(mss(1460))
        guest.apply(AcceptTCP(1))
        first = guest.one()
        guest.send("S", sequence=ISN, acknowledgment=0, options=mss(1460))
        self.assertEqual(guest.one(), first)

    def test_anotherSYN(self) -> None:
        """
        A SYN with another number, before the handshake is complete, begins a new connection
        (l2.md W14).
        """
        guest = ScriptedGuest()
        guest.syn(mss(1460))
        guest.apply(AcceptTCP(1))
        guest.receive()
        guest.send("S", sequence=5000, acknowledgment=0, options=mss(1460))
        self.assertEqual(
            guest.taken(),
            [
                TCPClosed(1, "reset"),
                TCPConnectRequested(2, SERVER, SERVER_PORT, GUEST, GUEST_PORT),
            ],
        )
        self.assertEqual(guest.table.connections, 1)

    def test_answerIsRepeated(self) -> None:
        """
        An answer that nobody acknowledges is repeated ever more seldom, until the handshake
        has taken too long and is reset.
        """
        guest = ScriptedGuest(hold=0.0)
        guest.syn(mss(1460))
        sent = guest.advance(100.0)
        self.assertEqual(
            [(round(at), segment.flags) for at, segment in sent],
            [(0, "SA"), (1, "SA"), (3, "SA"), (7, "SA"), (15, "SA"), (30, "RA")],
        )
        self.assertEqual(guest.taken(), [TCPClosed(1, "timeout")])
        self.assertIsNone(guest.table.nextTimeout())

    def test_unusualSYNs(self) -> None:
        """
        A SYN with a FIN opens nothing.
        """
        guest = ScriptedGuest()
        guest.send("SF", acknowledgment=0)
        self.assertEqual(guest.taken(), [])
        self.assertEqual(guest.one().flags, "RA")

    def test_sequencesDiffer(self) -> None:
        """
        Initial sequence numbers of other ports, and of the same later, tell nothing of each
        other (RFC 6528).
        """
        seen = []
        for port in (40_001, 40_002):
            guest = ScriptedGuest()
            guest.port = port
            seen.append(guest.connect().sequence)
        self.assertGreater((seen[1] - seen[0]) % 2**32, 1000)


class LimitTests(SynchronousTestCase):
    """
    How many connections there may be.
    """

    def test_none(self) -> None:
        """
        With no connections allowed a SYN is reset at once (l2.md 20.5, L10).
        """
        guest = ScriptedGuest(maxConnections=0)
        guest.send("S", sequence=77, acknowledgment=0)
        answer = guest.one()
        self.assertEqual((answer.flags, answer.acknowledgment), ("RA", 78))
        self.assertEqual(guest.taken(), [])
        self.assertEqual(guest.drops["tcp connections"], 1)

    def test_one(self) -> None:
        """
        The second is reset while the first is there, and taken when it is not any more.
        """
        guest = ScriptedGuest(maxConnections=1)
        guest.syn(mss(1460))
        guest.port += 1
        guest.send("S", sequence=500, acknowledgment=0)
        self.assertEqual(guest.one().acknowledgment, 501)
        guest.apply(AbortTCP(1))
        guest.receive()
        guest.send("S", sequence=500, acknowledgment=0)
        self.assertEqual(len(guest.taken(TCPConnectRequested)), 1)

    def test_halfOpen(self) -> None:
        """
        A flood of SYNs leaves room for those that complete their handshake.
        """
        guest = ScriptedGuest(maxConnections=200)
        for port in range(150):
            guest.port = 1000 + port
            guest.send("S", sequence=1, acknowledgment=0)
        self.assertEqual(guest.table.connections, 100)
        self.assertEqual(guest.drops["tcp half open"], 50)
        guest.taken()
        guest.advance(40.0)
        self.assertEqual(guest.table.connections, 0)
        self.assertEqual(len(guest.taken(TCPClosed)), 100)
        guest.receive(1000)
        guest.port = 5000
        guest.connect()

    def test_replies(self) -> None:
        """
        Answers to strangers do not pile up while the tunnel takes nothing.
        """
        guest = ScriptedGuest()
        for _ in range(MAX_REPLIES + 10):
            guest.send("A", acknowledgment=1)
        self.assertEqual(guest.drops["tcp replies"], 10)
        self.assertEqual(len(guest.receive(1000)), MAX_REPLIES)


class StrangerTests(SynchronousTestCase):
    """
    Segments of no connection (RFC 9293 section 3.10.7.1).
    """

    def test_acknowledgment(self) -> None:
        """
        An acknowledgment is reset with the number it expects: a guest that comes back with old
        connections learns at once that they are gone.
        """
        guest = ScriptedGuest()
        guest.send("PA", 100, 0x12345678, b"old data")
        answer = guest.one()
        self.assertEqual((answer.flags, answer.sequence), ("R", 0x12345678))
        self.assertEqual(guest.table.connections, 0)

    def test_withoutAcknowledgment(self) -> None:
        """
        Anything else is reset by acknowledging all of it.
        """
        guest = ScriptedGuest()
        guest.send("F", MASK, 0, b"abc")
        answer = guest.one()
        self.assertEqual((answer.flags, answer.sequence, answer.acknowledgment), ("RA", 0, 3))

    def test_reset(self) -> None:
        """
        A reset is not answered.
        """
        guest = ScriptedGuest()
        guest.send("R", 100, 0)
        guest.send("RA", 100, 1)
        self.assertEqual(guest.receive(), [])

    def test_malformed(self) -> None:
        """
        What is cut off or has a wrong checksum is counted and not answered.
        """
        guest = ScriptedGuest()
        packet = guest.packet("S", acknowledgment=0)
        for length in range(20, len(packet)):
            guest.sendPacket(packet[:length])
        self.assertEqual(guest.drops, {"tcp short": 20})
        changed = packet[:24] + b"\x00" + packet[25:]
        guest.sendPacket(changed)
        self.assertEqual(guest.drops["tcp checksum"], 1)
        self.assertEqual((guest.receive(), guest.taken()), ([], []))


class ActiveOpenTests(SynchronousTestCase):
    """
    Connecting to the guest.
    """

    def test_syn(self) -> None:
        """
        The SYN has our options and is repeated until the handshake has taken too long.
        """
        guest = ScriptedGuest(handshakeTimeout=10.0)
        number = guest.table.newConnection()
        guest.apply(ConnectTCP(number, SERVER, SERVER_PORT, GUEST, GUEST_PORT))
        sent = guest.advance(60.0)
        self.assertEqual([round(at) for at, _ in sent], [0, 1, 3, 7])
        self.assertEqual({segment.flags for _, segment in sent}, {"S"})
        self.assertEqual(set(sent[0][1].options), {2, 3, 4, 8})
        self.assertEqual(guest.taken(), [TCPClosed(number, "timeout")])

    def test_ports(self) -> None:
        """
        Without a port, each connection gets one of its own from the dynamic range.
        """
        guest = ScriptedGuest()
        ports = set()
        for _ in range(20):
            number = guest.table.newConnection()
            guest.apply(ConnectTCP(number, SERVER, 0, GUEST, GUEST_PORT))
            ports.add(guest.one().sourcePort)
        self.assertEqual(len(ports), 20)
        self.assertGreaterEqual(min(ports), 49_152)

    def test_taken(self) -> None:
        """
        A port in use, and a full table, are told to the outside at once.
        """
        guest = ScriptedGuest(maxConnections=1)
        for expected in ([], [TCPClosed(2, "unreachable")]):
            number = guest.table.newConnection()
            guest.apply(ConnectTCP(number, SERVER, SERVER_PORT, GUEST, GUEST_PORT))
            self.assertEqual(guest.taken(), expected)

    def test_wrongAnswer(self) -> None:
        """
        An answer to a SYN that we did not send is reset, and waits for the right one.
        """
        guest = ScriptedGuest()
        number = guest.table.newConnection()
        guest.apply(ConnectTCP(number, SERVER, SERVER_PORT, GUEST, GUEST_PORT))
        syn = guest.one()
        guest.send("SA", acknowledgment=syn.sequence + 100)
        answer = guest.one()
        self.assertEqual((answer.flags, answer.sequence), ("R", syn.sequence + 100 & MASK))
        guest.send("RA", acknowledgment=syn.sequence)
        guest.send("R")
        self.assertEqual(guest.taken(), [])
        self.assertEqual(guest.table.stateOf(number), states.SYN_SENT)


class ICMPTests(SynchronousTestCase):
    """
    ICMP errors about our segments (RFC 5927).
    """

    def told(self, guest: ScriptedGuest, code: int, sequence: int, mtu: int = 0) -> None:
        """
        The guest sends an error.
        """
        guest.table.icmpReceived(
            3, code, SERVER, SERVER_PORT, GUEST, GUEST_PORT, sequence, mtu, guest.now
        )

    def test_portUnreachable(self) -> None:
        """
        A connection to the guest that is refused by ICMP ends, if the SYN is quoted.
        """
        guest = ScriptedGuest()
        number = guest.table.newConnection()
        guest.apply(ConnectTCP(number, SERVER, SERVER_PORT, GUEST, GUEST_PORT))
        syn = guest.one()
        self.told(guest, 3, syn.sequence + 1)
        self.assertEqual(guest.taken(), [])
        self.told(guest, 3, syn.sequence)
        self.assertEqual(guest.taken(), [TCPClosed(number, "unreachable")])

    def test_soft(self) -> None:
        """
        Other errors only say why, when nothing else came.
        """
        guest = ScriptedGuest()
        number = guest.table.newConnection()
        guest.apply(ConnectTCP(number, SERVER, SERVER_PORT, GUEST, GUEST_PORT))
        self.told(guest, 1, guest.one().sequence)
        self.assertEqual(guest.taken(), [])
        guest.advance(60.0)
        self.assertEqual(guest.taken(), [TCPClosed(number, "unreachable")])

    def test_established(self) -> None:
        """
        No error ends a connection that is established.
        """
        guest = ScriptedGuest()
        guest.connect()
        guest.apply(SendTCP(1, b"data"))
        sent = guest.one()
        for code in (0, 1, 2, 3, 13):
            self.told(guest, code, sent.sequence)
        self.assertEqual(guest.taken(), [])
        self.assertEqual(guest.table.stateOf(1), states.ESTABLISHED)

    def test_fragmentationNeeded(self) -> None:
        """
        Segments that are too large for the path are sent again in smaller ones, at once, if
        the error is about one that is on its way.
        """
        guest = ScriptedGuest()
        guest.connect()
        guest.apply(SendTCP(1, bytes(3000)))
        sent = guest.receive()
        self.assertEqual([len(segment.data) for segment in sent], [1460, 1460, 80])
        self.told(guest, 4, sent[0].sequence - 1, 1000)
        self.assertEqual(guest.receive(), [])
        self.assertEqual(guest.drops["tcp icmp sequence"], 1)
        self.told(guest, 4, sent[0].sequence, 1000)
        again = guest.receive()
        self.assertEqual([len(segment.data) for segment in again], [960, 500, 960, 500])
        self.assertEqual(again[0].sequence, sent[0].sequence)
        self.assertEqual(again[2].sequence, sent[1].sequence)

    def test_smallestPath(self) -> None:
        """
        Nobody makes us send segments of nothing.
        """
        guest = ScriptedGuest()
        guest.connect()
        guest.apply(SendTCP(1, bytes(1460)))
        self.told(guest, 4, guest.one().sequence, 68)
        self.assertEqual([len(segment.data) for segment in guest.receive()], [512, 512, 436])


class TurnTests(SynchronousTestCase):
    """
    Who sends when.
    """

    def test_fair(self) -> None:
        """
        Connections that have much to send take turns, and the limit holds.
        """
        guest = ScriptedGuest()
        for port in (1, 2, 3):
            guest.port = 1000 + port
            guest.sequence = ISN
            guest.connect()
        for number in (1, 2, 3):
            guest.apply(SendTCP(number, bytes(100_000)))
        ports = [segment.destinationPort for segment in guest.receive(20)]
        self.assertEqual(ports, [1001] * 8 + [1002] * 8 + [1003] * 4)
        self.assertTrue(guest.table.hasSegments())
        self.assertEqual([s.destinationPort for s in guest.receive(64)], [1003] * 4)
        self.assertFalse(guest.table.hasSegments())

    def test_commandsForOthers(self) -> None:
        """
        Commands about connections that are over, and about UDP, change nothing.
        """
        guest = ScriptedGuest()
        guest.connect()
        guest.apply(AbortTCP(1))
        guest.receive()
        guest.taken()
        for command in (
            AcceptTCP(1),
            RejectTCP(1, "refused"),
            SendTCP(1, b"x"),
            ConsumeTCP(1, 5),
            CloseTCP(1),
            AbortTCP(1),
            SendUDP(1, 2, 3, 4, b""),
        ):
            guest.apply(command)
        self.assertEqual((guest.receive(), guest.taken()), ([], []))
        self.assertEqual(guest.table.sendRoom(1), 0)
        self.assertEqual(guest.table.heldBytes(1), 0)

    def test_numbers(self) -> None:
        """
        Numbers are never used again.
        """
        guest = ScriptedGuest()
        guest.connect()
        self.assertEqual(guest.table.newConnection(), 2)
        guest.apply(AbortTCP(1))
        self.assertEqual(guest.table.newConnection(), 3)

    def test_manyShortOnes(self) -> None:
        """
        A thousand connections with one port: each is new although the last is in TIME-WAIT.
        """
        guest = ScriptedGuest()
        for count in range(1, 1001):
            guest.sequence = guest.sequence + 1000 & MASK
            guest.connect()
            guest.connection = count
            guest.write(b"request")
            self.assertEqual(guest.read(), b"request")
            guest.apply(SendTCP(count, b"response"))
            guest.apply(CloseTCP(count))
            answer = guest.one()
            self.assertEqual((answer.flags, answer.data), ("FPA", b"response"))
            guest.acknowledgment = answer.sequence + 9
            guest.send("FA")
            self.assertEqual(guest.one().flags, "A")
            self.assertEqual(guest.taken()[-1], TCPClosed(count, "done"))
            self.assertEqual(guest.table.connections, 0)
        self.assertEqual(guest.drops, {})


class ReceivedTests(SynchronousTestCase):
    """
    Data comes out.
    """

    def test_data(self) -> None:
        """
        Data and its end, with the numbers wrapping on the way.
        """
        guest = ScriptedGuest()
        guest.connect()
        guest.write(b"0123456789")
        guest.write(b"0123456789")
        self.assertLess(guest.sequence, 100)
        self.assertEqual(
            guest.taken(), [TCPDataReceived(1, b"0123456789"), TCPDataReceived(1, b"0123456789")]
        )
        self.assertEqual(guest.one().acknowledgment, guest.sequence)
