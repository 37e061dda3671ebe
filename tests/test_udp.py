"""
Datagrams through C{/udp}, to real UDP servers on loopback (relay.md sections 20.7 to 20.9).

What does not depend on how the server is reached holds for the relay alone and behind the TLS
edge.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from .support.metrics import counted, metric
from .support.relay import UDPClient, UDPTarget, fromElsewhere, relayServer, v1, v2
from .support.server import Aero, run
from .support.websocket import PING, PONG, TEXT

if TYPE_CHECKING:
    Case = SynchronousTestCase
else:
    Case = object


class UDPCase(Case):
    """
    Tests that use a relay.

    @cvar kind: See L{relayServer}.
    """

    kind: ClassVar[str] = "relay"
    _before: dict[str, float]

    def server(self, **variables: str) -> Aero:
        """
        A relay with these settings, its counters noted.
        """
        self.relay = relayServer(self.kind, **variables)
        self._before = {}
        return self.relay

    def note(self, *events: str) -> None:
        """
        Remember how often something happened.
        """
        for event in events:
            self._before[event] = self.count(event)

    def count(self, event: str) -> float:
        """
        How often something happened in the life of the server.
        """
        return counted(self.relay, "aero_webrtc_udp_relay_events_total", event=event)

    def since(self, event: str) -> float:
        """
        How often it happened since L{note}.
        """
        return self.count(event) - self._before[event]

    def until(self, event: str, least: float = 1) -> None:
        """
        Wait until something happened since L{note}.
        """
        deadline = time.monotonic() + 30
        while self.since(event) < least:
            if time.monotonic() > deadline:
                raise AssertionError(f"{event} did not happen")
            time.sleep(0.02)

    def client(self, server: Aero) -> UDPClient:
        """
        A client that is ready.
        """
        client = UDPClient(server)
        self.addCleanup(client.socket.connection.close)
        client.ready()
        return client

    def target(self, target: UDPTarget) -> UDPTarget:
        """
        A target that ends with the test.
        """
        self.addCleanup(target.__exit__)
        return target


class _PathTests(UDPCase):
    """
    There and back.
    """

    def test_v1ThenV2(self) -> None:
        """
        On one connection a version 1 request gets a version 1 reply, and a version 2 request
        one in version 2, with guest port, source and payload kept.
        """
        client = self.client(self.server())
        echo = self.target(UDPTarget())
        self.note("udp_ws_datagrams_in", "udp_ws_datagrams_out", "udp_ws_dropped")
        for message in (echo.v1(10_000, b"one"), echo.v2(10_000, b"two"), echo.v2(0, b"")):
            client.send(message)
            self.assertEqual(client.receive(), message)
        self.assertEqual(self.since("udp_ws_datagrams_in"), 3)
        self.assertEqual(self.since("udp_ws_datagrams_out"), 3)
        self.assertEqual(self.since("udp_ws_dropped"), 0)

    def test_ipv6(self) -> None:
        """
        An IPv6 server answers in version 2, with its 16-byte address.
        """
        client = self.client(self.server())
        echo = self.target(UDPTarget(host="::1"))
        message = echo.v2(4_242, bytes(range(256)))
        client.send(message)
        self.assertEqual(client.receive(), message)

    def test_mapped(self) -> None:
        """
        An IPv4-mapped destination is the IPv4 server, which may answer.
        """
        client = self.client(self.server())
        echo = self.target(UDPTarget())
        client.send(v2(7, "::ffff:127.0.0.1", echo.port, b"mapped"))
        self.assertEqual(client.receive(), echo.v2(7, b"mapped"))

    def test_guestPorts(self) -> None:
        """
        One guest port is one source port, whatever the destination; another one is another.
        """
        client = self.client(self.server())
        first, second = self.target(UDPTarget()), self.target(UDPTarget())
        for message in (first.v1(1, b"a"), second.v1(1, b"b"), first.v1(2, b"c")):
            client.send(message)
            self.assertEqual(client.receive(), message)
        sources = [source for _, source in first.received]
        self.assertEqual(second.received[0][1], sources[0])
        self.assertNotEqual(sources[0], sources[1])

    def test_manyAtOnce(self) -> None:
        """
        A burst comes back whole and in order.
        """
        client = self.client(self.server())
        echo = self.target(UDPTarget())
        messages = [echo.v1(9, b"%d" % number) for number in range(100)]
        for message in messages:
            client.send(message)
        self.assertEqual([client.receive() for _ in messages], messages)

    def test_dropped(self) -> None:
        """
        What cannot be relayed is dropped without a word, is counted, and the connection goes
        on.
        """
        client = self.client(self.server(DENY_UDP_PORTS="9"))
        echo = self.target(UDPTarget())
        reasons = ("malformed", "oversized", "denied_by_policy")
        self.note("udp_ws_dropped", *(f"udp_ws_dropped_{reason}" for reason in reasons))
        client.send(b"x")
        client.send(b"\xa2\x02\x09\x00" + bytes(20))
        client.send(echo.v1(1, bytes(1_201)))
        client.send(v1(1, "127.0.0.1", 9, b"discard"))
        client.send(v1(1, "127.0.0.1", 0, b"no port"))
        client.silence(echo.v1(1, bytes(1_200)))
        found = [self.since(f"udp_ws_dropped_{reason}") for reason in reasons]
        self.assertEqual(found, [2, 1, 2])
        self.assertEqual(self.since("udp_ws_dropped"), 5)

    def test_filtered(self) -> None:
        """
        An answer from another port than was asked does not arrive, and is counted by itself.
        """
        client = self.client(self.server())
        other = self.target(UDPTarget(fromElsewhere))
        drops = "udp_remote_allowlist_overflow_drops_total"
        self.note(drops, "udp_ws_dropped")
        client.send(other.v1(1, b"?"))
        self.until(drops)
        client.silence(other.v1(1, b"!"))
        self.assertEqual(self.since("udp_ws_dropped"), 0)

    def test_text(self) -> None:
        """
        A repeated auth message is ignored, other text closes with 1003.
        """
        client = self.client(self.server())
        echo = self.target(UDPTarget())
        client.say({"type": "auth", "token": "x" * 3_000})
        client.silence(echo.v1(1, b"still there"))
        client.socket.send(b"hello", TEXT)
        self.assertEqual(
            client.failure(),
            ("bad_message", "expected binary message", 1003, "expected binary message"),
        )

    def test_tooLong(self) -> None:
        """
        A message longer than the longest datagram closes with 1009 and without a word.
        """
        for size in (1_225, 100_000):
            client = self.client(self.server())
            self.note("udp_ws_dropped_oversized", "udp_ws_dropped")
            client.send(bytes(size))
            self.assertEqual(client.closed(), (1009, ""))
            self.assertEqual(self.since("udp_ws_dropped_oversized"), 1)
            self.assertEqual(self.since("udp_ws_dropped"), 1)

    def test_violation(self) -> None:
        """
        A frame that breaks the framing of WebSocket closes with 1002, and frees everything.
        """
        client = self.client(self.server())
        client.socket.connection.send(b"\xf2\x80\0\0\0\0")
        self.assertEqual(client.closed()[0], 1002)


class PathTests(_PathTests, SynchronousTestCase):
    """
    The relay alone.
    """


class EdgePathTests(_PathTests, SynchronousTestCase):
    """
    Behind the TLS edge, on the one origin.
    """

    kind = "edge"


class FilterTests(UDPCase, SynchronousTestCase):
    """
    Who may answer, and for how long.
    """

    def test_any(self) -> None:
        """
        With the filter C{any} another port may answer, and is told as what it is.
        """
        client = self.client(self.server(UDP_INBOUND_FILTER_MODE="any"))
        other = self.target(UDPTarget(fromElsewhere))
        drops = "udp_remote_allowlist_overflow_drops_total"
        self.note(drops)
        client.send(other.v1(1, b"?"))
        message = client.receive()
        payload, _, port = message[8:].partition(b" from ")
        self.assertEqual(payload, b"?")
        self.assertEqual(message, v1(1, "127.0.0.1", int(port), message[8:]))
        self.assertNotEqual(int(port), other.port)
        self.assertEqual(self.since(drops), 0)

    def test_expiry(self) -> None:
        """
        A remote that was silent for too long may not answer any more.
        """
        client = self.client(self.server(UDP_REMOTE_ALLOWLIST_IDLE_TIMEOUT="250ms"))
        late = self.target(UDPTarget())
        client.silence(late.v1(1, b"at once"))
        drops = "udp_remote_allowlist_overflow_drops_total"
        self.note(drops)
        (_, source) = late.received[0]
        time.sleep(0.6)
        late._socket.sendto(b"late", source)
        self.until(drops)
        client.silence(late.v1(1, b"again"))

    def test_eviction(self) -> None:
        """
        With room for one remote, the second one evicts the first; of another guest port it
        does not.
        """
        server = self.server(
            MAX_ALLOWED_REMOTES_PER_BINDING="1", UDP_REMOTE_ALLOWLIST_IDLE_TIMEOUT="10s"
        )
        evictions = "udp_remote_allowlist_evictions_total"
        drops = "udp_remote_allowlist_overflow_drops_total"
        first, second = self.target(UDPTarget()), self.target(UDPTarget())
        client = self.client(server)
        self.note(evictions, drops)
        client.silence(first.v1(10_000, b"a"))
        client.silence(second.v1(10_001, b"b"))
        first._socket.sendto(b"late", first.received[0][1])
        self.assertEqual(client.receive(), first.v1(10_000, b"late"))
        self.assertEqual((self.since(evictions), self.since(drops)), (0, 0))
        client.silence(second.v1(10_000, b"c"))
        first._socket.sendto(b"too late", first.received[0][1])
        self.until(drops)
        self.assertEqual(self.since(evictions), 1)
        client.silence(second.v1(10_000, b"d"))

    def test_idleBinding(self) -> None:
        """
        A guest port that is unused for less than two minutes has to keep its socket: a smaller
        setting stops the start (RFC 4787 section 4.3).
        """
        done = run("--domain", "localhost", UDP_BINDING_IDLE_TIMEOUT="200ms")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("UDP_BINDING_IDLE_TIMEOUT", done.stderr)
        self.assertIn("expected a duration of 2m or more", done.stderr)

    def test_bindingCap(self) -> None:
        """
        Beyond the cap the guest port that was unused longest loses its socket.
        """
        server = self.server(MAX_UDP_BINDINGS_PER_SESSION="2")
        client = self.client(server)
        echo = self.target(UDPTarget())
        for guestPort in (1, 2, 1, 3, 1):
            client.silence(echo.v1(guestPort, b"x"))
        self.assertEqual(metric(server, "aero_relay_udp_bindings"), 2)
        sources = [source for _, source in echo.received]
        self.assertEqual(len({sources[0], sources[2], sources[4]}), 1)


class LimitTests(UDPCase, SynchronousTestCase):
    """
    Limits, each at a server of its own settings.
    """

    def test_rate(self) -> None:
        """
        Of five datagrams at once two are forwarded at 2/s; the session stays open.
        """
        client = self.client(self.server(MAX_UDP_PPS_PER_SESSION="2"))
        echo = self.target(UDPTarget())
        self.note("rate_limited", "udp_ws_dropped_rate_limited")
        for number in range(5):
            client.send(echo.v1(1, b"%d" % number))
        self.until("udp_ws_dropped_rate_limited", 3)
        self.assertEqual(self.since("rate_limited"), 3)
        time.sleep(0.6)
        client.send(echo.v1(1, b"5"))
        self.assertEqual(echo.wait(3), [b"0", b"1", b"5"])

    def test_unique(self) -> None:
        """
        One destination more than allowed is a quota.
        """
        client = self.client(self.server(MAX_UNIQUE_DESTINATIONS_PER_SESSION="1"))
        first, second = self.target(UDPTarget()), self.target(UDPTarget())
        events = ("udp_ws_dropped_quota_exceeded", "quota_exceeded", "too_many_destinations")
        self.note(*events)
        client.silence(first.v1(1, b"a"))
        client.send(second.v1(1, b"b"))
        client.silence(first.v1(1, b"c"))
        self.assertEqual([self.since(event) for event in events], [1, 1, 1])

    def test_queue(self) -> None:
        """
        A queue too short for any message drops every answer.
        """
        client = self.client(self.server(DATACHANNEL_SEND_QUEUE_BYTES="1"))
        echo = self.target(UDPTarget())
        self.note("udp_ws_dropped_backpressure")
        client.send(echo.v1(1, b"a"))
        self.until("udp_ws_dropped_backpressure")

    def test_towardsClient(self) -> None:
        """
        A rate towards the client lets through what fits, header included.
        """
        client = self.client(self.server(MAX_DC_BPS_PER_SESSION="9"))
        echo = self.target(UDPTarget())
        self.note("udp_ws_dropped_rate_limited")
        client.silence(echo.v1(1, b"a"))
        client.send(echo.v1(1, b"b"))
        self.until("udp_ws_dropped_rate_limited")

    def test_hardClose(self) -> None:
        """
        The second violation closes with 1008.
        """
        server = self.server(MAX_UDP_PPS_PER_SESSION="1", HARD_CLOSE_AFTER_VIOLATIONS="2")
        client = self.client(server)
        echo = self.target(UDPTarget(lambda *ignored: None))
        self.note("session_hard_closed")
        for number in range(5):
            client.send(echo.v1(1, b"%d" % number))
        self.assertEqual(client.closed(), (1008, "session closed"))
        self.assertEqual(self.since("session_hard_closed"), 1)

    def test_payload(self) -> None:
        """
        With a cap of 5 bytes, 10 are dropped and 5 come back, in either direction.
        """
        client = self.client(self.server(MAX_DATAGRAM_PAYLOAD_BYTES="5"))
        echo = self.target(UDPTarget())
        self.note("udp_ws_dropped", "udp_ws_dropped_oversized")
        client.send(echo.v1(1, bytes(10)))
        client.silence(echo.v1(1, b"12345"))
        echo._socket.sendto(bytes(6), echo.received[0][1])
        client.silence(echo.v1(1, b"54321"))
        self.assertEqual(self.since("udp_ws_dropped_oversized"), 2)

    def test_policy(self) -> None:
        """
        The preset C{prod} permits what networks name, and ports narrow that.
        """
        echo = self.target(UDPTarget())
        server = self.server(
            ALLOW_PRIVATE_NETWORKS="true",
            ALLOW_UDP_CIDRS="127.0.0.0/30",
            DENY_UDP_CIDRS="127.0.0.2/32",
            DESTINATION_POLICY_PRESET="prod",
        )
        client = self.client(server)
        self.note("udp_ws_dropped_denied_by_policy")
        client.send(v1(1, "127.0.0.2", echo.port, b"denied"))
        client.send(v1(1, "127.0.0.8", echo.port, b"not named"))
        client.send(v2(1, "::1", echo.port, b"not named"))
        client.silence(echo.v1(1, b"good"))
        self.assertEqual(self.since("udp_ws_dropped_denied_by_policy"), 3)
        self.assertEqual(echo.wait(1), [b"good"])

    def test_closedByDefault(self) -> None:
        """
        Where nothing is said about destinations, none is permitted.
        """
        echo = self.target(UDPTarget())
        server = self.server(ALLOW_PRIVATE_NETWORKS="", DESTINATION_POLICY_PRESET="")
        client = self.client(server)
        self.note("udp_ws_dropped_denied_by_policy")
        client.send(echo.v1(1, b"x"))
        client.send(v1(1, "192.0.2.1", 53, b"x"))
        self.until("udp_ws_dropped_denied_by_policy", 2)
        self.assertEqual(echo.received, [])


class GoneTests(UDPCase, SynchronousTestCase):
    """
    Clients that are gone.
    """

    def test_nothingIsLeft(self) -> None:
        """
        Clients that vanish, and clients that close, leave no socket, session or queue behind.
        """
        server = self.server()
        echo = self.target(UDPTarget())
        before = server.descriptors()
        clients = [self.client(server) for _ in range(20)]
        for client in clients:
            for guestPort in (1, 2, 3):
                client.silence(echo.v1(guestPort, b"x"))
        self.assertGreaterEqual(server.descriptors(), before + 20 * 4)
        for number, client in enumerate(clients):
            if number % 2:
                client.close()
            else:
                client.socket.connection.close()
        deadline = time.monotonic() + 30
        gauges = ("aero_relay_sessions", "aero_relay_udp_bindings", "aero_relay_queue_bytes")
        while any(metric(server, gauge) for gauge in gauges) or server.descriptors() > before + 11:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_lifetime(self) -> None:
        """
        A session ends when its time is over.
        """
        client = self.client(self.server(AERO_RELAY_MAX_SESSION_TIME="300ms"))
        self.assertEqual(client.closed(), (1008, "session expired"))

    def test_sockets(self) -> None:
        """
        Beyond the limit on sockets a guest port gets none, and is counted.
        """
        client = self.client(self.server(AERO_UDP_MAX_SOCKETS="2"))
        echo = self.target(UDPTarget())
        self.note("udp_ws_dropped_too_many_bindings")
        for guestPort in (1, 2):
            client.silence(echo.v1(guestPort, b"x"))
        client.send(echo.v1(3, b"no socket"))
        client.silence(echo.v1(1, b"still there"))
        self.assertEqual(self.since("udp_ws_dropped_too_many_bindings"), 1)


class LivenessTests(UDPCase, SynchronousTestCase):
    """
    Clients that fall silent.
    """

    settings: ClassVar[dict[str, str]] = {
        "UDP_WS_IDLE_TIMEOUT": "500ms",
        "UDP_WS_PING_INTERVAL": "50ms",
    }

    def test_silent(self) -> None:
        """
        Without a pong a client is closed with 1000.
        """
        client = self.client(self.server(**self.settings))
        opcodes = []
        while (frame := client.socket.receive())[0] == PING:
            opcodes.append(frame)
        self.assertGreater(len(opcodes), 2)
        self.assertEqual(frame, (8, b"\x03\xe8idle timeout"))

    def test_pongs(self) -> None:
        """
        With pongs it stays.
        """
        client = self.client(self.server(**self.settings))
        begun = time.monotonic()
        while time.monotonic() - begun < 0.8:
            opcode, payload = client.socket.receive()
            self.assertEqual(opcode, PING)
            client.socket.send(payload, PONG)
        echo = self.target(UDPTarget())
        message = echo.v1(1, b"alive")
        client.send(message)
        self.assertEqual(client.receive(), message)
