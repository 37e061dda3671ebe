"""
PING and PONG of C{/l2}, what counts as a sign of life, and what of WebSocket itself counts in
the quota (l2.md sections 10 and 11).
"""

from __future__ import annotations

import select
import struct
from functools import cache
from typing import Iterator

from twisted.trial.unittest import SynchronousTestCase

from tests.support.l2 import L2_PING, L2_PONG, OPEN, Guest, l2Options, message
from tests.support.l2case import L2Case
from tests.support.metrics import metric
from tests.support.server import Aero
from tests.support.websocket import BINARY, CLOSE, PING, PONG, TEXT

RTT = "l2_ping_rtt_ms_count"


#: All that a metered tunnel may carry.
QUOTA = 1_000


@cache
def pinging() -> Aero:
    """
    A server that closes whoever says nothing, a little before the sixth interval of its PINGs.
    """
    variables = OPEN | {"AERO_L2_PING_INTERVAL_MS": "400", "AERO_L2_IDLE_TIMEOUT_MS": "2300"}
    return Aero(*l2Options(), state=None, runDir=None, **variables)


@cache
def metered() -> Aero:
    """
    A server that PINGs once, which is the first 12 bytes of a quota.
    """
    variables = OPEN | {
        "AERO_L2_PING_INTERVAL_MS": "60000",
        "AERO_L2_MAX_BYTES_PER_CONNECTION": str(QUOTA),
    }
    return Aero(*l2Options(), state=None, runDir=None, **variables)


class KeepaliveCase(L2Case):
    """
    Tests that look at each message, in either layer.
    """

    def arrived(self, guest: Guest, seconds: float = 0.0) -> Iterator[tuple[int, bytes]]:
        """
        What there is to read.

        @param seconds: How long to wait for more.
        """
        connection = guest.connection
        while connection.pending or select.select([connection.socket], [], [], seconds)[0]:
            opcode, payload = guest.receive()
            yield opcode, payload
            if opcode == CLOSE:
                return

    def passed(self, guest: Guest) -> None:
        """
        Wait until the server has handled what it was sent.
        """
        guest.sendMessage(L2_PING, b"mark")
        while guest.receive() != (BINARY, message(L2_PONG, b"mark")):
            pass


class PingTests(KeepaliveCase, SynchronousTestCase):
    """
    PINGs of the server.
    """

    def test_outstanding(self) -> None:
        """
        While a PING is not answered there is no other, until three intervals later it is
        forgotten: a guest that says nothing gets two of them before it is closed. Both are
        measured by the server's clock, however slow the guest is.
        """
        ended = self.guest(pinging()).untilEnd()
        self.assertEqual((ended.code, ended.reason), (1008, "idle timeout"))
        numbers = [(kind, int.from_bytes(payload, "big")) for kind, payload in ended.messages]
        self.assertEqual(numbers, [(L2_PING, 1), (L2_PING, 2)])

    def test_forgotten(self) -> None:
        """
        The answer to a PING that was forgotten is none; the numbers go on from PING to PING, and
        begin anew in each tunnel.
        """
        server = pinging()
        for _ in range(2):
            guest = self.guest(server)
            for number in (1, 2, 3):
                self.assertEqual(guest.receiveMessage(), (L2_PING, struct.pack("!Q", number)))
                guest.sendMessage(L2_PONG, struct.pack("!Q", number))
            guest.close()
        guest = self.guest(server)
        before = metric(server, RTT)
        for number in (1, 2):
            self.assertEqual(guest.receiveMessage(), (L2_PING, struct.pack("!Q", number)))
            guest.sendText("a sign of life")
        guest.sendMessage(L2_PONG, struct.pack("!Q", 1))
        self.passed(guest)
        self.assertEqual(metric(server, RTT), before)

    def test_foreign(self) -> None:
        """
        A PONG is an answer if it has the eight bytes of the PING that waits for one; nothing
        else is, and nothing is twice.
        """
        server = metered()
        guest = self.guest(server)
        kind, right = guest.receiveMessage()
        self.assertEqual((kind, right), (L2_PING, bytes(7) + b"\1"))
        before = metric(server, RTT)
        for wrong in (
            b"",
            right[:-1],
            right[1:],
            right + b"\0",
            b"\0" + right,
            bytes(8),
            bytes(7) + b"\2",
            right[::-1],
            b"\xff" * 8,
        ):
            guest.sendMessage(L2_PONG, wrong)
        self.passed(guest)
        self.assertEqual(metric(server, RTT), before)
        for _ in range(2):
            guest.sendMessage(L2_PONG, right)
            self.passed(guest)
            self.assertEqual(metric(server, RTT), before + 1)


class IdleTests(KeepaliveCase, SynchronousTestCase):
    """
    Who is there, and who is not.
    """

    def test_signs(self) -> None:
        """
        Text and the pings and pongs of WebSocket are signs of life as any message is; the PINGs
        of the server are none of the guest.
        """
        server = pinging()
        signs = (
            (TEXT, b""),
            (PING, b""),
            (PONG, b"unasked"),
            (BINARY, message(L2_PONG, b"unasked")),
        )
        guests = [self.guest(server) for _ in signs]
        before = metric(server, "aero_l2_idle_timeouts_total")
        # It comes last, and so has the others there for longer than anybody may be silent.
        silent = self.guest(server)
        ended = False
        while not ended:
            for guest, (opcode, payload) in zip(guests, signs, strict=True):
                guest.send(payload, opcode)
                for received, _ in self.arrived(guest):
                    self.assertIn(received, (BINARY, PONG))
            ended = CLOSE in [opcode for opcode, _ in self.arrived(silent, 0.05)]
        for guest in guests:
            self.passed(guest)
        self.assertEqual(metric(server, "aero_l2_idle_timeouts_total"), before + 1)


class QuotaTests(KeepaliveCase, SynchronousTestCase):
    """
    Bytes of messages that mean nothing to the tunnel.
    """

    def closes(self, guest: Guest) -> None:
        """
        The quota is exceeded.
        """
        text = "byte quota exceeded"
        ended = guest.untilEnd()
        self.assertEqual((ended.error, ended.code, ended.reason), ((6, text), 1008, text))

    def test_counted(self) -> None:
        """
        Pings count with their answers, pongs and text as they are, to the byte; what makes
        exactly the limit is not too much.
        """
        guest = self.guest(metered())
        self.assertEqual(guest.receive()[0], BINARY)
        left = QUOTA - 12
        for _ in range(4):
            guest.send(bytes(100), PING)
            self.assertEqual(guest.receive(), (PONG, bytes(100)))
            left -= 2 * 100
        guest.send(bytes(100), PONG)
        guest.sendText("x" * 80)
        guest.send(bytes(left - 180), PONG)
        guest.send(b"", PING)
        self.assertEqual(guest.receive(), (PONG, b""))
        guest.send(b"x", PONG)
        self.closes(guest)

    def test_answer(self) -> None:
        """
        An answer that would be too much is not sent.
        """
        guest = self.guest(metered())
        self.assertEqual(guest.receive()[0], BINARY)
        guest.sendText("x" * (QUOTA - 12 - 100))
        guest.send(bytes(60), PING)
        ended = guest.untilEnd()
        self.assertEqual((ended.error, ended.code), ((6, "byte quota exceeded"), 1008))
        self.assertEqual(ended.messages, [])
