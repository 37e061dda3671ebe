"""
Tests for L{aero.net.udp.binding}.
"""

from __future__ import annotations

from typing import Any, Sequence

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from aero.net.udp.binding import BindingProtocol, UDPBinding
from aero.net.udp.ports import DatagramPorts, Received
from aero.testing.udp import MemoryNetwork

A, B, C, D = (("192.0.2.1", port) for port in (1, 2, 3, 4))
SIX = ("2001:db8::1", 53)


class Receiver:
    """
    Keeps what a binding tells.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.counts: dict[str, int] = {}

    def datagramsReceived(self, binding: UDPBinding, datagrams: Sequence[Received]) -> None:
        self.received.extend(datagrams)

    def datagramsCounted(self, reason: str, count: int) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + count


class _BindingTests(SynchronousTestCase):
    """
    What the test cases share.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.network = MemoryNetwork(self.reactor)
        self.ports = DatagramPorts(self.reactor, maxSockets=4, openSocket=self.network.openSocket)
        self.receiver = Receiver()

    def binding(self, **options: Any) -> UDPBinding:
        """
        A binding of the guest port 10000.
        """
        made = UDPBinding(
            self.receiver, 10_000, ports=self.ports, seconds=self.reactor.seconds, **options
        )
        self.addCleanup(made.close)
        return made

    def send(self, binding: UDPBinding, address: tuple[str, int], payload: bytes = b"?") -> bool:
        """
        Send now.
        """
        return binding.send(payload, address, ":" in address[0], self.reactor.seconds())


class MappingTests(_BindingTests):
    """
    One guest port has one port on the network.
    """

    def test_oneSocket(self) -> None:
        """
        Whatever the destination, datagrams leave from one socket for each family, opened when
        it is first needed.
        """
        binding = self.binding()
        self.assertEqual((self.ports.open, binding.port()), (0, 0))
        for address in (A, B, C):
            self.assertTrue(self.send(binding, address))
        self.assertEqual(self.network.sockets[0].sent, [(b"?", A), (b"?", B), (b"?", C)])
        self.assertEqual(self.ports.open, 1)
        self.send(binding, SIX)
        self.assertEqual(self.network.sockets[1].sent, [(b"?", SIX)])
        self.assertEqual(binding.port(), binding.port(isIPv6=True))

    def test_samePortTaken(self) -> None:
        """
        Where the other family's port is taken, a different one will do.
        """
        binding = self.binding()
        binding.open()
        self.network.used.add((10, binding.port()))
        self.assertTrue(self.send(binding, SIX))
        self.assertNotEqual(binding.port(), binding.port(isIPv6=True))

    def test_preferredPort(self) -> None:
        """
        A port that is asked for is kept if it is free.
        """
        binding = self.binding(preferredPort=5_000)
        self.send(binding, A)
        self.assertEqual(binding.port(), 5_000)
        other = self.binding(preferredPort=5_000)
        self.send(other, A)
        self.assertNotIn(other.port(), (0, 5_000))

    def test_noSocket(self) -> None:
        """
        Without a socket nothing is sent, and the next datagram tries again.
        """
        self.network.families.clear()
        binding = self.binding()
        self.assertFalse(self.send(binding, A))
        self.network.families.add(2)
        self.assertTrue(self.send(binding, A))

    def test_refused(self) -> None:
        """
        What the system does not take is reported.
        """
        binding = self.binding()
        self.send(binding, A)
        self.network.sockets[0].refuses = True
        self.assertFalse(self.send(binding, A))

    def test_use(self) -> None:
        """
        Sending and accepted datagrams are use; what strangers send is not.
        """
        binding = self.binding()
        self.reactor.advance(1)
        self.send(binding, A)
        self.assertEqual(binding.lastUsed, 1)
        self.reactor.advance(1)
        self.network.deliver(0, (b"!", B))
        self.assertEqual(binding.lastUsed, 1)
        self.network.deliver(0, (b"!", A))
        self.assertEqual(binding.lastUsed, 2)

    def test_close(self) -> None:
        """
        A closed binding has no sockets and opens no more; what was read before is dropped.
        """
        binding = self.binding()
        self.send(binding, A)
        self.send(binding, SIX)
        binding.close()
        binding.close()
        self.assertEqual(self.ports.open, 0)
        self.assertFalse(self.send(binding, A))
        binding.datagramsReceived([(b"late", A)])
        self.assertEqual(self.receiver.received, [])

    def test_protocol(self) -> None:
        """
        A protocol of one's own sees everything first, whole or one by one, and can send.
        """
        seen: list[Received] = []

        class Watching(BindingProtocol):
            def datagramsReceived(self, datagrams: Sequence[Received]) -> None:
                seen.extend(datagrams)
                self.transport.write(b"seen", B)
                super().datagramsReceived(datagrams)

        binding = self.binding(protocol=Watching)
        self.send(binding, A)
        self.network.deliver(0, (b"1", A), (b"2", B))
        self.assertEqual(seen, [(b"1", A), (b"2", B)])
        self.assertEqual(self.receiver.received, [(b"1", A)])
        self.assertEqual(self.network.sockets[0].sent, [(b"?", A), (b"seen", B)])
        plain = BindingProtocol()
        plain.binding = binding
        plain.datagramReceived(b"3", A)
        self.assertEqual(self.receiver.received[-1], (b"3", A))


class FilterTests(_BindingTests):
    """
    Who may answer (relay.md section 11.3; acceptance 20.8).
    """

    def test_addressAndPort(self) -> None:
        """
        The contacted address and port may answer, another port of the same host may not.
        """
        binding = self.binding()
        self.send(binding, A)
        self.network.deliver(0, (b"good", A), (b"port", B), (b"host", ("192.0.2.9", 1)))
        self.assertEqual(self.receiver.received, [(b"good", A)])
        self.assertEqual(self.receiver.counts, {"filtered": 2})

    def test_any(self) -> None:
        """
        With the filter C{any} everybody may answer, and nothing is remembered.
        """
        binding = self.binding(inboundFilter="any")
        self.send(binding, A)
        self.network.deliver(0, (b"stranger", D))
        self.assertEqual(self.receiver.received, [(b"stranger", D)])
        self.assertEqual((binding.remotes, self.receiver.counts), (0, {}))

    def test_unknownMode(self) -> None:
        """
        A mode that nobody knows is the strict one.
        """
        binding = self.binding(inboundFilter="whatever")
        self.send(binding, A)
        self.network.deliver(0, (b"stranger", D))
        self.assertEqual(self.receiver.received, [])

    def test_ofItsOwn(self) -> None:
        """
        What one guest port was allowed, another was not.
        """
        one, two = self.binding(), self.binding()
        self.send(one, A)
        self.send(two, B)
        self.network.deliver(1, (b"!", A))
        self.assertEqual(self.receiver.received, [])

    def test_oversized(self) -> None:
        """
        A datagram that is too long is dropped whole; the next one arrives.
        """
        binding = self.binding(maxPayload=4)
        self.send(binding, A)
        self.network.deliver(0, (b"12345", A), (b"1234", A), (b"1234567890", A))
        self.assertEqual(self.receiver.received, [(b"1234", A)])
        self.assertEqual(self.receiver.counts, {"oversized": 2})

    def test_neverTooMany(self) -> None:
        """
        Ten thousand remotes never make the list longer than its cap.
        """
        binding = self.binding(maxRemotes=16)
        for port in range(1, 10_001):
            self.send(binding, ("192.0.2.1", port))
            self.assertLessEqual(binding.remotes, 16)
        self.assertEqual(self.receiver.counts, {"evicted": 10_000 - 16})

    def test_eviction(self) -> None:
        """
        The remote that was silent longest makes room: A at 0 s, B, C, A again at 3 s, then D
        evicts B.
        """
        binding = self.binding(maxRemotes=3)
        for address in (A, B, C, A, D):
            self.send(binding, address)
            self.reactor.advance(1)
        self.assertEqual(self.receiver.counts, {"evicted": 1})
        self.network.deliver(0, *[(address[0].encode(), address) for address in (A, B, C, D)])
        self.assertEqual([address for _, address in self.receiver.received], [A, C, D])

    def test_expiredMakeRoomFirst(self) -> None:
        """
        An expired remote is purged and is no eviction; one of exactly the age is kept.
        """
        binding = self.binding(maxRemotes=2, remoteIdle=1.0)
        self.send(binding, A)
        self.reactor.advance(0.5)
        self.send(binding, B)
        self.reactor.advance(1.0)
        self.send(binding, C)
        self.assertEqual(self.receiver.counts, {})
        self.network.deliver(0, (b"!", A), (b"!", B), (b"!", C))
        self.assertEqual([address for _, address in self.receiver.received], [B, C])

    def test_expiry(self) -> None:
        """
        A remote may answer until it was silent for too long; what comes in refreshes it.
        """
        binding = self.binding(remoteIdle=1.0)
        self.send(binding, A)
        for wait in (0.5, 0.9):
            self.reactor.advance(wait)
            self.network.deliver(0, (b"!", A))
        self.assertEqual(len(self.receiver.received), 2)
        self.reactor.advance(1.1)
        self.network.deliver(0, (b"late", A))
        self.assertEqual(len(self.receiver.received), 2)
        self.assertEqual((binding.remotes, self.receiver.counts), (0, {"filtered": 1}))
