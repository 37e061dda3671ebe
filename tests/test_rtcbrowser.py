"""
The relay's WebRTC with a real browser: Chromium in a network namespace, datagrams to real sockets
(relay.md sections 20.4 to 20.8 and 20.10).
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.jwt import mintRelayToken

from .support.browser import inBrowserThread
from .support.metrics import counted, metric
from .support.rtcstreet import HERE_V6, RelayPage, sharedRelay
from .support.server import Aero

EVENTS = "aero_webrtc_udp_relay_events_total"
SECRET = "a secret of the tests"


def v1(port: int, remote: int, payload: bytes = b"") -> bytes:
    """
    A message in version 1, for 127.0.0.1.
    """
    return struct.pack("!H4sH", port, socket.inet_aton("127.0.0.1"), remote) + payload


def v2(port: int, remote: int, payload: bytes = b"", *, ipv6: bool = False) -> bytes:
    """
    A message in version 2, for 127.0.0.1 or ::1.
    """
    if ipv6:
        address = socket.inet_pton(socket.AF_INET6, "::1")
        return struct.pack("!HBBH16sH", 0xA202, 6, 0, port, address, remote) + payload
    address = socket.inet_aton("127.0.0.1")
    return struct.pack("!HBBH4sH", 0xA202, 4, 0, port, address, remote) + payload


class Remote:
    """
    A UDP socket that guests talk to.
    """

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self.socket.settimeout(10)
        self.port: int = self.socket.getsockname()[1]

    def receive(self) -> tuple[bytes, Any]:
        """
        The next datagram and where it came from.
        """
        return self.socket.recvfrom(65_536)

    def send(self, payload: bytes, address: Any) -> None:
        """
        Send a datagram.
        """
        self.socket.sendto(payload, address)

    def echo(self) -> Any:
        """
        Send the next datagram back; says where to.
        """
        payload, address = self.receive()
        self.send(payload, address)
        return address


def event(server: Aero, name: str) -> int:
    """
    How often something happened.
    """
    return int(counted(server, EVENTS, event=name))


def eventually(ready: Any, timeout: float = 10.0) -> bool:
    """
    Wait until something holds.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class RelayTestCase(SynchronousTestCase):
    """
    One relay for all tests of a class.

    @cvar variables: Its environment.
    """

    variables: dict[str, str] = {}

    @property
    def server(self) -> Aero:
        """
        It is started for the first test.
        """
        return sharedRelay(**self.variables)

    def remote(self, family: socket.AddressFamily = socket.AF_INET) -> Remote:
        """
        A remote that lasts as long as the test.
        """
        remote = Remote(family)
        self.addCleanup(remote.socket.close)
        return remote

    def sessions(self) -> int:
        """
        How many relay sessions there are.
        """
        return int(metric(self.server, "aero_relay_sessions"))


class DatagramTests(RelayTestCase):
    """
    Datagrams over the data channel C{udp}.
    """

    variables = {"PREFER_V2": "true"}

    @inBrowserThread
    def test_versionsAndFamilies(self) -> None:
        """
        Version 1 is answered in version 1, also while the client has not spoken version 2;
        version 2 in version 2 afterwards; IPv6 always in version 2. Guest port, source and
        payload are kept.
        """
        remote, remote6 = self.remote(), self.remote(socket.AF_INET6)
        with RelayPage(self.server) as page:
            page.connect()
            for message in (
                v1(10_000, remote.port, b"one"),
                v2(10_001, remote.port, b"two"),
                v2(10_002, remote.port, b""),
            ):
                page.send("udp", message)
                remote.echo()
                self.assertEqual(page.receive("udp"), message)
            message = v2(48_879, remote6.port, b"\1\2\3", ipv6=True)
            page.send("udp", message)
            remote6.echo()
            self.assertEqual(page.receive("udp"), message)
        self.assertGreaterEqual(event(self.server, "webrtc_udp_datagrams_out"), 4)

    @inBrowserThread
    def test_everyWayIn(self) -> None:
        """
        The WebSocket and all shapes of the HTTP offers lead to a channel that works.
        """
        remote = self.remote()
        with RelayPage(self.server) as page:
            for via in ("signal", "offer", "bare", "legacy"):
                found = page.connect(peer=via, via=via)
                page.send("udp", v1(45_000, remote.port, b"\1\2\3\4\5"), peer=via)
                remote.echo()
                self.assertEqual(
                    page.receive("udp", peer=via), v1(45_000, remote.port, b"\1\2\3\4\5")
                )
                if via in ("offer", "bare"):
                    self.assertRegex(found["sessionId"], "^[0-9a-f]{32}$")
                page.call("close", peer=via)

    @inBrowserThread
    def test_releasedAtOnce(self) -> None:
        """
        A closed connection, or a closed signalling socket, gives the session back at once.
        """
        with RelayPage(self.server) as page:
            for via in ("signal", "offer"):
                page.connect(via=via)
                self.assertEqual(self.sessions(), 1)
                page.call("close")
                self.assertTrue(eventually(lambda: self.sessions() == 0, 2))
            page.connect()
            page.call("closeSocket")
            self.assertEqual(self.sessions(), 0)
            page.call("state", states=["closed", "failed", "disconnected"])

    @inBrowserThread
    def test_closedTab(self) -> None:
        """
        A closed tab gives its session back, and the next one connects at once.
        """
        with RelayPage(self.server) as page:
            page.connect()
        self.assertTrue(eventually(lambda: self.sessions() == 0, 5))
        with RelayPage(self.server) as page:
            page.connect()

    @inBrowserThread
    def test_refusedChannels(self) -> None:
        """
        Channels with another label, with wrong parameters and second ones are closed; the good
        one goes on, and its place is free once it is closed.
        """
        before = [
            event(self.server, f"webrtc_datachannel_rejected_{name}")
            for name in ("unknown_label", "duplicate_udp")
        ]
        remote = self.remote()
        with RelayPage(self.server) as page:
            page.connect()
            for key, label, options in (
                ("a", "udp", {"ordered": False, "maxRetransmits": 0}),
                ("b", "UDP", {}),
                ("c", "udp", {"ordered": True, "maxRetransmits": 0}),
                ("d", "udp", {"ordered": False}),
                ("e", "udp", {"ordered": False, "maxRetransmits": 1}),
                ("f", "udp", {"ordered": False, "maxPacketLifeTime": 1}),
                ("g", "l2", {}),
            ):
                page.call("add", key=key, label=label, options=options, open=False)
                page.call("closed", label=key)
            page.send("udp", v1(1, remote.port, b"still here"))
            remote.echo()
            self.assertEqual(page.receive("udp"), v1(1, remote.port, b"still here"))
            page.call("closeChannel", label="udp")
            page.call("closed", label="udp")
            page.call(
                "add", key="again", label="udp", options={"ordered": False, "maxRetransmits": 0}
            )
            page.send("again", v2(1, remote.port, b"anew"))
            remote.echo()
            self.assertEqual(page.receive("again"), v2(1, remote.port, b"anew"))
        after = [
            event(self.server, f"webrtc_datachannel_rejected_{name}")
            for name in ("unknown_label", "duplicate_udp")
        ]
        self.assertEqual([now - then for now, then in zip(after, before, strict=True)], [1, 1])

    @inBrowserThread
    def test_textIsIgnored(self) -> None:
        """
        A string on the channel is nothing.
        """
        remote = self.remote()
        with RelayPage(self.server) as page:
            page.connect()
            page.call("sendText", label="udp", text="hello")
            page.call("sendText", label="udp", text="")
            page.send("udp", b"", b"x", v1(1, remote.port, b"data"))
            remote.echo()
            self.assertEqual(page.receive("udp"), v1(1, remote.port, b"data"))

    @inBrowserThread
    def test_otherPortIsFiltered(self) -> None:
        """
        By default an answer from another port than was asked does not come through.
        """
        remote, other = self.remote(), self.remote()
        before = event(self.server, "udp_remote_allowlist_overflow_drops_total")
        with RelayPage(self.server) as page:
            page.connect()
            page.send("udp", v1(1, remote.port, b"ask"))
            _, address = remote.receive()
            other.send(b"answer", address)
            self.assertIsNone(page.receive("udp", timeout=500))
            remote.send(b"answer", address)
            self.assertEqual(page.receive("udp"), v1(1, remote.port, b"answer"))
        after = event(self.server, "udp_remote_allowlist_overflow_drops_total")
        self.assertEqual(after, before + 1)

    @inBrowserThread
    def test_steadyStream(self) -> None:
        """
        Two thousand datagrams a second go there and back. A virtual network on a busy machine may
        lose some; the channel neither stalls nor stops.
        """
        remote = self.remote()
        remote.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_194_304)
        with RelayPage(self.server) as page, Echo(remote):
            page.connect()
            header = list(v1(1, remote.port))
            found = page.call(
                "burst", label="udp", count=2_000, rate=2_000, size=100, header=header
            )
            self.assertGreater(found["got"], 1_900, found)


class IPv6Tests(RelayTestCase):
    """
    ICE over IPv6 alone.
    """

    variables = {"WEBRTC_UDP_LISTEN_IP": HERE_V6}

    @inBrowserThread
    def test_connects(self) -> None:
        """
        The browser comes by IPv6, and gets the answers of IPv6 and of IPv4.
        """
        remote, remote6 = self.remote(), self.remote(socket.AF_INET6)
        with RelayPage(self.server) as page:
            found = page.connect()
            self.assertIn(f" {HERE_V6} ", found["answer"])
            for each, message in (
                (remote, v1(1, remote.port, b"four")),
                (remote6, v2(2, remote6.port, b"six", ipv6=True)),
            ):
                page.send("udp", message)
                each.echo()
                self.assertEqual(page.receive("udp"), message)


class Echo:
    """
    Has a remote echo in a thread for a while.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._over = False

    def __enter__(self) -> None:
        self._remote.socket.settimeout(0.1)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __exit__(self, *ignored: object) -> None:
        self._over = True
        self._thread.join(10)

    def _run(self) -> None:
        while not self._over:
            try:
                self._remote.echo()
            except TimeoutError:
                continue


class AnyFilterTests(RelayTestCase):
    """
    C{UDP_INBOUND_FILTER_MODE=any}.
    """

    variables = {"UDP_INBOUND_FILTER_MODE": "any"}

    @inBrowserThread
    def test_otherPort(self) -> None:
        """
        Anybody may answer, and is shown as who it is.
        """
        remote, other = self.remote(), self.remote()
        with RelayPage(self.server) as page:
            page.connect()
            page.send("udp", v1(1, remote.port, b"ask"))
            _, address = remote.receive()
            other.send(b"answer", address)
            self.assertEqual(page.receive("udp"), v1(1, other.port, b"answer"))
        self.assertEqual(event(self.server, "udp_remote_allowlist_overflow_drops_total"), 0)


class ExpiryTests(RelayTestCase):
    """
    Remotes that may answer for a quarter of a second.
    """

    variables = {"UDP_REMOTE_ALLOWLIST_IDLE_TIMEOUT": "250ms"}

    @inBrowserThread
    def test_expires(self) -> None:
        """
        An answer in time comes through, one too late does not.
        """
        remote = self.remote()
        with RelayPage(self.server) as page:
            page.connect()
            page.send("udp", v1(1, remote.port, b"ask"))
            address = remote.echo()
            self.assertEqual(page.receive("udp"), v1(1, remote.port, b"ask"))
            time.sleep(0.9)
            remote.send(b"late", address)
            self.assertIsNone(page.receive("udp", timeout=400))
        self.assertGreaterEqual(event(self.server, "udp_remote_allowlist_overflow_drops_total"), 1)


class EvictionTests(RelayTestCase):
    """
    One remote that may answer at a time.
    """

    variables = {
        "MAX_ALLOWED_REMOTES_PER_BINDING": "1",
        "UDP_REMOTE_ALLOWLIST_IDLE_TIMEOUT": "10s",
    }

    @inBrowserThread
    def test_eachPortHasItsOwn(self) -> None:
        """
        A second remote of one guest port evicts the first; of another port it does not.
        """
        first, second = self.remote(), self.remote()
        with RelayPage(self.server) as page:
            page.connect()
            page.send("udp", v1(10_000, first.port, b"a"))
            address = first.echo()
            self.assertEqual(page.receive("udp"), v1(10_000, first.port, b"a"))
            page.send("udp", v1(10_001, second.port, b"b"))
            second.echo()
            self.assertEqual(page.receive("udp"), v1(10_001, second.port, b"b"))
            first.send(b"late", address)
            self.assertEqual(page.receive("udp"), v1(10_000, first.port, b"late"))
            self.assertEqual(event(self.server, "udp_remote_allowlist_evictions_total"), 0)
            page.send("udp", v1(10_000, second.port, b"c"))
            second.echo()
            self.assertEqual(page.receive("udp"), v1(10_000, second.port, b"c"))
            first.send(b"too late", address)
            self.assertIsNone(page.receive("udp", timeout=400))
        self.assertGreaterEqual(event(self.server, "udp_remote_allowlist_evictions_total"), 1)


class SizeTests(RelayTestCase):
    """
    Messages that are too long (relay.md section 9.3).
    """

    variables = {
        "MAX_DATAGRAM_PAYLOAD_BYTES": "8",
        "L2_MAX_MESSAGE_BYTES": "200",
        "WEBRTC_DATACHANNEL_MAX_MESSAGE_BYTES": "256",
        "WEBRTC_SCTP_MAX_RECEIVE_BUFFER_BYTES": "4096",
    }

    @inBrowserThread
    def test_ladder(self) -> None:
        """
        A payload too long is dropped; a message too long closes the channel; one longer than the
        answer said ends the session.
        """
        remote = self.remote()
        with RelayPage(self.server) as page:
            found = page.connect(mangle=262_144)
            self.assertIn("a=max-message-size:256\r\n", found["answer"])
            page.send("udp", v1(1, remote.port, b"123456789"), v1(1, remote.port, b"12345678"))
            remote.echo()
            self.assertEqual(page.receive("udp"), v1(1, remote.port, b"12345678"))
            self.assertEqual(event(self.server, "webrtc_udp_dropped_oversized"), 1)
            page.send("udp", bytes(33))
            page.call("closed", label="udp")
            self.assertEqual(event(self.server, "webrtc_udp_dropped_oversized"), 2)
            self.assertEqual(self.sessions(), 1)
            page.call(
                "add", key="again", label="udp", options={"ordered": False, "maxRetransmits": 0}
            )
            page.send("again", bytes(512))
            page.call("closed", label="again")
            self.assertTrue(eventually(lambda: self.sessions() == 0, 5))
            closed = page.call("socketClosed")
            self.assertEqual((closed["code"], closed["reason"]), (1000, "message too large"))
        self.assertEqual(event(self.server, "webrtc_datachannel_udp_message_too_large"), 1)

    @inBrowserThread
    def test_longerThanTheBuffer(self) -> None:
        """
        16 KiB, with 4 KiB of buffer: nothing arrives, and the session is over.
        """
        with RelayPage(self.server) as page:
            page.connect(mangle=262_144)
            before = event(self.server, "webrtc_udp_datagrams_in")
            page.send("udp", bytes(16_384))
            self.assertTrue(eventually(lambda: self.sessions() == 0, 5))
            self.assertEqual(event(self.server, "webrtc_udp_datagrams_in"), before)


def token(sid: str, **claims: Any) -> str:
    """
    A relay token.
    """
    return mintRelayToken(SECRET, sid, now=time.time(), ttl=300, **claims)[0]


class TokenTests(RelayTestCase):
    """
    C{AUTH_MODE=jwt}.
    """

    variables = {"AUTH_MODE": "jwt", "JWT_SECRET": SECRET}

    @inBrowserThread
    def test_everyCarrier(self) -> None:
        """
        A token in the query, in a header and in the first message connects, one after the other
        with the same C{sid} and without a pause.
        """
        good = token("one")
        ways: list[dict[str, Any]] = [
            {"query": {"token": good}},
            {"query": {"apiKey": good}},
            {"auth": {"token": good}},
            {"auth": {"apiKey": good}},
            {"auth": {"apiKey": good, "token": good}},
            {"via": "offer", "headers": {"authorization": f"Bearer {good}"}},
            {"via": "offer", "headers": {"x-api-key": good}},
            {"via": "legacy", "query": {"token": good}},
        ]
        with RelayPage(self.server) as page:
            for way in ways:
                page.connect(**way)
                page.call("close")
                self.assertTrue(eventually(lambda: self.sessions() == 0, 2), way)

    @inBrowserThread
    def test_lock(self) -> None:
        """
        While a session is open its C{sid} gets no second one, on any surface; another C{sid} does;
        and the lock is gone once the socket is closed.
        """
        with RelayPage(self.server) as page:
            page.connect(peer="a", auth={"token": token("same")})
            for way in (
                {"auth": {"token": token("same", origin="https://x")}},
                {"query": {"token": token("same")}},
                {"via": "offer", "headers": {"authorization": f"Bearer {token('same')}"}},
                {"via": "legacy", "headers": {"authorization": f"Bearer {token('same')}"}},
            ):
                with self.assertRaises(Exception) as raised:
                    page.connect(peer="b", **way)
                self.assertIn("session_already_active", str(raised.exception))
            page.connect(peer="c", auth={"token": token("different")})
            closed = page.call("closeSocket", peer="a")
            self.assertEqual(closed["code"], 1005)
            page.connect(peer="d", auth={"token": token("same")})

    @inBrowserThread
    def test_refused(self) -> None:
        """
        A bad token is told and closed with 1008.
        """
        with RelayPage(self.server) as page:
            for way in ({"auth": {"token": "bad"}}, {"query": {"token": "bad"}}):
                with self.assertRaises(Exception) as raised:
                    page.connect(**way)
                self.assertIn("unauthorized", str(raised.exception))
                closed = page.call("socketClosed")
                self.assertEqual(closed, {"code": 1008, "reason": "unauthorized"})


class KeyTests(RelayTestCase):
    """
    C{AUTH_MODE=api_key}.
    """

    variables = {"AUTH_MODE": "api_key", "API_KEY": "the key"}

    @inBrowserThread
    def test_everyCarrier(self) -> None:
        """
        The key in the query, in headers and in the first message; there is no lock.
        """
        ways: list[dict[str, Any]] = [
            {"query": {"apiKey": "the key"}},
            {"query": {"token": "the key"}},
            {"auth": {"apiKey": "the key"}},
            {"via": "offer", "headers": {"x-api-key": "the key"}},
            {"via": "bare", "headers": {"authorization": "ApiKey the key"}},
        ]
        with RelayPage(self.server) as page:
            for number, way in enumerate(ways):
                page.connect(peer=str(number), **way)
            self.assertEqual(self.sessions(), len(ways))
            with self.assertRaises(Exception) as raised:
                page.connect(peer="x", via="offer", headers={"x-api-key": "another"})
            self.assertIn("401 unauthorized", str(raised.exception))
