"""
Tests for L{aero.lan.services.dnsserver}.
"""

from __future__ import annotations

from typing import Any

import dns.message
import dns.rcode
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from aero.lan.services.dnsserver import DNSStream
from aero.testing.guest import GuestTCP

from .dnsrig import PUBLIC, DNSRig, addressesIn


class StreamTests(SynchronousTestCase):
    """
    DNS over TCP.
    """

    def setUp(self) -> None:
        self.rig = DNSRig()
        self.guest: GuestTCP = self.rig.guest.connect("10.0.2.2", 53)
        self.rig.settle()

    def frame(self, name: str, rtype: str = "A") -> bytes:
        wire: bytes = dns.message.make_query(name, rtype).to_wire()
        return len(wire).to_bytes(2, "big") + wire

    def messages(self) -> list[bytes]:
        found, data = [], self.guest.received
        offset = 0
        while offset < len(data):
            end = offset + 2 + int.from_bytes(data[offset : offset + 2], "big")
            found.append(data[offset + 2 : end])
            offset = end
        return found

    def answers(self) -> list[Any]:
        return [dns.message.from_wire(message) for message in self.messages()]

    def test_pipelined(self) -> None:
        """
        Questions follow each other without waiting, in pieces of any size; answers come as
        they are found, and are as long as they are.
        """
        for byte in self.frame("one.example") + self.frame("two.example", "TXT"):
            self.guest.write(bytes((byte,)))
        self.rig.settle()
        self.assertEqual(len(self.rig.dns.queries), 2)
        self.rig.upstream(*(f'two.example. 60 TXT "{"x" * 200}{n}"' for n in range(10)))
        self.rig.upstream(f"one.example. 60 A {PUBLIC}", index=0)
        first, second = self.answers()
        self.assertEqual(len(first.answer[0]), 10)
        self.assertEqual(addressesIn(second), [PUBLIC])

    def test_halfClosed(self) -> None:
        """
        A guest that has asked everything may say so, and still gets its answers.
        """
        self.guest.write(self.frame("one.example"))
        self.guest.close()
        self.rig.settle()
        self.assertFalse(self.guest.ended)
        self.rig.upstream(f"one.example. 60 A {PUBLIC}")
        self.assertEqual(len(self.answers()), 1)
        self.assertTrue(self.guest.ended)

    def test_idle(self) -> None:
        """
        A connection that nothing is asked on is closed.
        """
        self.rig.reactor.advance(31)
        self.rig.settle()
        self.assertTrue(self.guest.ended)

    def test_nonsense(self) -> None:
        """
        A message that can have no answer ends the connection.
        """
        self.guest.write(b"\0\2hi")
        self.rig.settle()
        self.assertTrue(self.guest.ended)

    def test_many(self) -> None:
        """
        A connection with many questions under way is not read until some are answered.
        """
        self.guest.write(b"".join(self.frame(f"n{n}.example") for n in range(100)))
        self.rig.settle()
        under = len(self.rig.dns.queries)
        self.assertLess(under, 100)
        done = 0
        while done < 100:
            self.rig.upstream(f"n{done}.example. 60 A {PUBLIC}", index=done)
            done += 1
        self.assertEqual(len(self.answers()), 100)

    def held(self) -> int:
        """
        Bytes that the connection holds for the guest.
        """
        lan = self.rig.lan
        return lan.settings.tcpBufferBytes - lan.driver.stack.sendRoom(1)

    def askMuch(self) -> int:
        """
        Ask for long answers that are known, and take none of them.

        @return: The bytes of one answer.
        """
        self.rig.ask("big.example")
        self.rig.upstream(*(f"big.example. 300 A 8.8.{n >> 8}.{n & 255}" for n in range(400)))
        self.rig.guest.datagrams.clear()
        self.guest.openWindow(0)
        for _ in range(5):
            self.guest.write(self.frame("big.example") * 40)
            self.rig.settle()
        return 400 * 16

    def test_takesNothing(self) -> None:
        """
        A guest that takes no answers is asked for no more questions: what waits for it is the
        send buffer and one answer. When it takes them it gets all.
        """
        size = self.askMuch()
        self.assertLess(self.held(), self.rig.lan.settings.tcpBufferBytes + 2 * size)
        self.guest.openWindow(65_535)
        for _ in range(50):
            self.rig.settle()
        self.assertEqual(len(self.messages()), 200)

    def test_takesNothingLate(self) -> None:
        """
        Long answers that come when the guest has taken no others are not kept for it: it is told
        to ask again.
        """
        for number in range(20):
            self.guest.write(self.frame(f"n{number}.example", "TXT"))
        self.rig.settle()
        self.askMuch()
        before = self.held()
        for number in range(20):
            many = (f'n{number}.example. 60 TXT "{"x" * 250}{n}"' for n in range(200))
            self.rig.upstream(*many, index=number)
        self.assertLess(self.held() - before, 20 * 64)
        self.guest.openWindow(65_535)
        for _ in range(50):
            self.rig.settle()
        short = [dns.message.from_wire(each) for each in self.messages() if len(each) < 100]
        self.assertEqual([answer.rcode() for answer in short], [dns.rcode.SERVFAIL] * 20)

    def test_takesNothingForLong(self) -> None:
        """
        Answers that nobody takes keep no connection: what is asked meanwhile is not even read.
        """
        self.askMuch()
        for _ in range(70):
            self.guest.write(self.frame("big.example"))
            self.guest.openWindow(0)
            self.rig.reactor.advance(1)
            self.rig.settle(2)
        self.assertTrue(self.guest.wasReset)
        self.assertEqual(self.rig.lan.driver.stack.connections, 0)

    def test_manyAtOnce(self) -> None:
        """
        However many questions one segment has, others have their turn between them.
        """
        self.rig.resolve("one.example", PUBLIC)
        asked: list[bytes] = []
        ask = self.rig.lan.dns.ask

        def count(data: bytes, **options: Any) -> Any:
            asked.append(data)
            return ask(data, **options)

        self.rig.lan.dns.ask = count  # type: ignore[method-assign,assignment]
        stream = DNSStream(self.rig.lan.dns, self.rig.reactor)
        stream.makeConnection(StringTransport())
        stream.dataReceived(self.frame("one.example") * 200)
        self.assertEqual(len(asked), 64)
        self.rig.reactor.advance(0)
        self.assertEqual(len(asked), 200)
        stream.dataReceived(self.frame("one.example") * 100)
        stream.connectionLost()
        self.rig.reactor.advance(0)
        self.assertEqual(len(asked), 264)

    def test_stop(self) -> None:
        """
        The end of the tunnel leaves nothing behind.
        """
        self.guest.write(self.frame("one.example"))
        self.rig.settle()
        self.rig.lan.stop()
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])
