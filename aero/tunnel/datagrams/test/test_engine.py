"""
Tests for L{aero.tunnel.datagrams.engine}: what is relayed, and what is dropped (relay.md sections 20.7 and
20.8).
"""

from __future__ import annotations

from aero.metrics import relay as rows
from aero.policy.destinations import DestinationPolicy
from aero.wire.udprelay import encode

from .enginefixtures import MAPPED, SIX, V4, V6, A, SessionTestCase


class RelayingTests(SessionTestCase):
    """
    Datagrams there and back.
    """

    def test_v1(self) -> None:
        """
        A version 1 message leaves for its destination, and the answer comes back in version 1
        with the guest's port and the real source.
        """
        self.start().messageReceived(encode(1, 10_000, V4, 53, b"abc"))
        self.assertEqual(self.sent(), [(b"abc", A)])
        self.network.deliver(0, (b"answer", A))
        self.assertEqual(self.sink.messages, [encode(1, 10_000, V4, 53, b"answer")])
        self.assertEqual((self.event("udp_ws_datagrams_in"), self.drops()), (1, {}))
        self.assertEqual(self.event("udp_ws_datagrams_out"), 1)
        self.assertEqual(self.metrics.value(rows.BYTES, "up"), 3)
        self.assertEqual(self.metrics.value(rows.BYTES, "down"), 14)

    def test_v6(self) -> None:
        """
        IPv6 leaves from an IPv6 socket and is answered in version 2.
        """
        self.start().messageReceived(encode(2, 7, V6, 53, b"abc"))
        self.assertEqual(self.sent(), [(b"abc", SIX)])
        self.network.deliver(0, (b"answer", SIX))
        self.assertEqual(self.sink.messages, [encode(2, 7, V6, 53, b"answer")])

    def test_empty(self) -> None:
        """
        An empty payload and the guest port 0 are valid.
        """
        self.start().messageReceived(encode(1, 0, V4, 53, b""))
        self.assertEqual(self.sent(), [(b"", A)])
        self.network.deliver(0, (b"", A))
        self.assertEqual(self.sink.messages, [encode(1, 0, V4, 53, b"")])

    def test_mapped(self) -> None:
        """
        An IPv4-mapped address is the IPv4 address: it leaves from the IPv4 socket, and its
        answer is let in.
        """
        self.start().messageReceived(encode(2, 7, MAPPED, 53, b"abc"))
        self.assertEqual(self.sent(), [(b"abc", A)])
        self.network.deliver(0, (b"answer", A))
        self.assertEqual(self.sink.messages, [encode(1, 7, V4, 53, b"answer")])

    def test_preferV2(self) -> None:
        """
        With C{PREFER_V2} IPv4 is answered in version 2 from the first version 2 message on.
        """
        session = self.start(preferV2=True)
        session.messageReceived(encode(1, 7, V4, 53, b"1"))
        self.network.deliver(0, (b"1", A))
        session.messageReceived(encode(2, 7, V4, 53, b"2"))
        self.network.deliver(0, (b"2", A))
        session.messageReceived(encode(1, 7, V4, 53, b"3"))
        self.network.deliver(0, (b"3", A))
        self.assertEqual(
            self.sink.messages,
            [
                encode(1, 7, V4, 53, b"1"),
                encode(2, 7, V4, 53, b"2"),
                encode(2, 7, V4, 53, b"3"),
            ],
        )

    def test_notPreferred(self) -> None:
        """
        Without it IPv4 is always answered in version 1.
        """
        self.start().messageReceived(encode(2, 7, V4, 53, b"2"))
        self.network.deliver(0, (b"2", A))
        self.assertEqual(self.sink.messages, [encode(1, 7, V4, 53, b"2")])

    def test_droppedV2(self) -> None:
        """
        A version 2 message that is dropped counts as version 2 only on a data channel.
        """
        for eager, version in ((False, 1), (True, 2)):
            self.sink.messages.clear()
            self.network.sockets.clear()
            policy = DestinationPolicy(preset="dev", allowPrivate=True, denyPorts=[(99, 99)])
            session = self.start(policy, preferV2=True, eagerV2=eager)
            session.messageReceived(encode(2, 7, V4, 99, b"denied"))
            session.messageReceived(encode(1, 7, V4, 53, b"1"))
            self.network.deliver(0, (b"1", A))
            self.assertEqual(self.sink.messages, [encode(version, 7, V4, 53, b"1")])
            session.close()

    def test_batches(self) -> None:
        """
        What one read of the network gave goes to the client in one call.
        """
        self.start().messagesReceived([encode(1, 7, V4, 53, b"%d" % n) for n in range(3)])
        self.assertEqual([payload for payload, _ in self.sent()], [b"0", b"1", b"2"])
        self.network.deliver(0, (b"a", A), (b"b", A), (b"c", A))
        self.assertEqual(self.sink.batches, [3])

    def test_sendError(self) -> None:
        """
        What the system does not send is counted, and is no drop of ours.
        """
        session = self.start()
        session.messageReceived(encode(1, 7, V4, 53, b"1"))
        self.network.sockets[0].refuses = True
        session.messageReceived(encode(1, 7, V4, 53, b"2"))
        self.assertEqual(self.metrics.value(rows.SEND_ERRORS), 1)
        self.assertEqual(self.drops(), {})

    def test_manyFlows(self) -> None:
        """
        More flows than are remembered change nothing.
        """
        session = self.start(maxRemotes=10_000)
        for port in range(1, 5_001):
            session.messageReceived(encode(1, 7, V4, port, b"x"))
        session.messageReceived(encode(1, 7, V4, 1, b"again"))
        self.assertEqual(len(self.sent()), 5_001)
        self.network.deliver(0, *[(b"y", ("192.0.2.1", port)) for port in range(1, 60)])
        self.assertEqual(len(self.sink.messages), 59)

    def test_manySources(self) -> None:
        """
        More sources than are remembered change nothing either.
        """
        session = self.start(inboundFilter="any")
        session.messageReceived(encode(1, 7, V4, 53, b"x"))
        for first in range(1, 1_200, 50):
            self.network.deliver(
                0, *[(b"y", ("192.0.2.1", port)) for port in range(first, first + 50)]
            )
        self.assertEqual(
            self.sink.messages, [encode(1, 7, V4, port, b"y") for port in range(1, 1_201)]
        )


class DropTests(SessionTestCase):
    """
    What is not passed on, and how it is counted.
    """

    def test_malformed(self) -> None:
        """
        A message that is no datagram is dropped; the next one is not.
        """
        session = self.start(prefix="webrtc_udp")
        for message in (b"", b"x", bytes(7), b"\xa2\x02", b"\xa2\x02\x09\x00" + bytes(20)):
            session.messageReceived(message)
        session.messageReceived(encode(2, 7, V6, 53, b"x")[:23])
        self.assertEqual(self.drops(), {"malformed": 6})
        self.assertEqual(self.event("webrtc_udp_datagrams_in"), 6)
        self.assertEqual(self.event("webrtc_udp_dropped"), 6)
        session.messageReceived(encode(1, 7, V4, 53, b"x"))
        self.assertEqual(len(self.sent()), 1)

    def test_oversized(self) -> None:
        """
        A payload over the limit is dropped, of a known flow and of a new one.
        """
        session = self.start(maxPayload=4)
        session.messageReceived(encode(1, 7, V4, 53, b"12345"))
        session.messageReceived(encode(1, 7, V4, 53, b"1234"))
        session.messageReceived(encode(1, 7, V4, 53, b"12345"))
        self.assertEqual((self.drops(), len(self.sent())), ({"oversized": 2}, 1))

    def test_inboundOversized(self) -> None:
        """
        So is one from the network, which is counted too; a small one after it arrives.
        """
        session = self.start(maxPayload=4)
        session.messageReceived(encode(1, 7, V4, 53, b"x"))
        self.network.deliver(0, (b"12345", A), (b"1234", A))
        self.assertEqual(self.sink.messages, [encode(1, 7, V4, 53, b"1234")])
        self.assertEqual(self.drops(), {"oversized": 1})

    def test_denied(self) -> None:
        """
        The policy decides about every destination, port 0 is never one, and without a policy
        nothing is permitted.
        """
        session = self.start(DestinationPolicy(preset="prod"))
        session.messageReceived(encode(1, 7, V4, 53, b"x"))
        session.messageReceived(encode(1, 7, b"\x08\x08\x08\x08", 53, b"x"))
        session = self.start()
        session.messageReceived(encode(1, 7, V4, 0, b"x"))
        session = self.start(denied=True)
        session.messageReceived(encode(1, 7, V4, 53, b"x"))
        self.assertEqual(self.drops(), {"denied_by_policy": 4})
        self.assertEqual(self.network.sockets, [])

    def test_filtered(self) -> None:
        """
        What strangers send is counted by itself, and not as a drop.
        """
        self.start().messageReceived(encode(1, 7, V4, 53, b"x"))
        self.network.deliver(0, (b"stranger", ("192.0.2.9", 53)))
        self.assertEqual(self.sink.messages, [])
        self.assertEqual(self.event("udp_remote_allowlist_overflow_drops_total"), 1)
        self.assertEqual(self.drops(), {})

    def test_allowListEviction(self) -> None:
        """
        A remote that makes room for another may not answer any more.
        """
        session = self.start(maxRemotes=1)
        for port in (1, 2):
            session.messageReceived(encode(1, 7, V4, port, b"x"))
        self.network.deliver(0, (b"late", ("192.0.2.1", 1)), (b"now", ("192.0.2.1", 2)))
        self.assertEqual(self.sink.messages, [encode(1, 7, V4, 2, b"now")])
        self.assertEqual(self.event("udp_remote_allowlist_evictions_total"), 1)

    def test_noSocket(self) -> None:
        """
        A guest port that gets no socket is counted, and tried again.
        """
        session = self.start(maxSockets=1)
        for guestPort in (1, 2):
            session.messageReceived(encode(1, guestPort, V4, 53, b"x"))
        self.assertEqual(self.drops(), {"too_many_bindings": 1})
        self.assertEqual(session.bindings, (1,))
        self.network.sockets[0].closed = False
        self.ports.open = 0
        session.messageReceived(encode(1, 2, V4, 53, b"x"))
        self.assertEqual(session.bindings, (1, 2))


class BindingTests(SessionTestCase):
    """
    Guest ports.
    """

    def send(self, guestPort: int) -> None:
        """
        Send from a guest port.
        """
        self.session.messageReceived(encode(1, guestPort, V4, 53, b"x"))

    def test_cap(self) -> None:
        """
        Beyond the cap the longest unused makes room: of 1, 2, 3 with a cap of 2 remain 2 and 3.
        """
        session = self.start(maxBindings=2)
        for guestPort in (1, 2, 3):
            self.send(guestPort)
            self.reactor.advance(0.005)
        self.assertEqual(session.bindings, (2, 3))
        self.assertEqual(self.ports.open, 2)
        self.assertEqual(self.metrics.value(rows.BINDINGS_CLOSED, "evicted"), 1)

    def test_use(self) -> None:
        """
        Sending and receiving are use.
        """
        session = self.start(maxBindings=3)
        for guestPort in (1, 2, 3, 1):
            self.send(guestPort)
        self.network.deliver(1, (b"y", A))
        self.assertEqual(session.bindings, (3, 1, 2))

    def test_evictedFlow(self) -> None:
        """
        A flow whose binding was closed gets a new one.
        """
        session = self.start(maxBindings=1)
        for guestPort in (1, 2, 1):
            self.send(guestPort)
        self.assertEqual(session.bindings, (1,))
        self.assertEqual(self.sent(2), [(b"x", A)])
        self.network.deliver(2, (b"y", A))
        self.assertEqual(self.sink.messages, [encode(1, 1, V4, 53, b"y")])

    def test_makesRoom(self) -> None:
        """
        Where all sockets of the process are in use, the guest port that was unused for longest
        gives its up, after a few seconds; its guest port gets a new one when it is used again.
        """
        session = self.start(maxSockets=2)
        self.send(1)
        self.reactor.advance(1)
        self.send(2)
        self.reactor.advance(3)
        self.send(3)
        self.assertEqual((session.bindings, self.drops()), ((1, 2), {"too_many_bindings": 1}))
        self.reactor.advance(1.5)
        self.send(3)
        self.assertEqual((session.bindings, self.ports.open), ((2, 3), 2))
        self.send(1)
        self.assertEqual(session.bindings, (2, 3))
        self.reactor.advance(6)
        self.send(2)
        self.send(1)
        self.assertEqual((session.bindings, self.ports.open), ((2, 1), 2))
        self.assertEqual(self.metrics.value(rows.BINDINGS_CLOSED, "evicted"), 2)

    def test_idle(self) -> None:
        """
        An unused binding is closed, one in use is not.
        """
        session = self.start(bindingIdle=0.4)
        self.send(1)
        self.send(2)
        for _ in range(5):
            self.reactor.advance(0.1)
            self.send(2)
        self.reactor.advance(0.2)
        self.assertEqual(session.bindings, (2,))
        self.reactor.pump([0.1] * 10)
        self.assertEqual((session.bindings, self.ports.open), ((), 0))
        self.assertEqual(self.metrics.value(rows.BINDINGS_CLOSED, "idle"), 2)
        self.assertEqual(self.metrics.value(rows.BINDINGS), 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.send(1)
        self.assertEqual(session.bindings, (1,))

    def test_close(self) -> None:
        """
        The end of the session is the end of its sockets, and of everything that waits.
        """
        session = self.start()
        self.send(1)
        self.send(2)
        session.pauseProducing()
        self.network.deliver(0, (b"y", A))
        self.assertGreater(self.metrics.value(rows.QUEUE_BYTES), 0)
        session.close()
        session.close()
        self.assertEqual((self.ports.open, self.metrics.value(rows.BINDINGS)), (0, 0))
        self.assertEqual(self.metrics.value(rows.QUEUE_BYTES), 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.send(1)
        session.resumeProducing()
        self.assertEqual((self.ports.open, self.sink.messages), (0, []))
