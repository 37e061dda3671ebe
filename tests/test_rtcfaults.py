"""
Peers that vanish, break off, flood and lie: the process lives, sessions are released, and what was
taken is given back.
"""

from __future__ import annotations

import contextlib
import json
import struct
import time
from typing import Any

from google_crc32c import value as crc32c
from twisted.trial.unittest import SynchronousTestCase

from .support.http import Connection, request
from .support.relay import UDPTarget, startRelay
from .support.rtcpeer import Peer, Signal, run
from .support.server import Aero
from .test_rtcsignal import event, eventually, sessions

#: Chunk types of SCTP.
INIT, SACK, HEARTBEAT, ABORT, COOKIE_ECHO, RECONFIG, FORWARD_TSN = 1, 3, 4, 6, 10, 130, 192


def chunk(kind: int, value: bytes, flags: int = 0, length: int | None = None) -> bytes:
    """
    A chunk, whose length may lie.
    """
    size = 4 + len(value) if length is None else length
    return struct.pack("!BBH", kind, flags, size) + value + bytes(-len(value) % 4)


def send(peer: Peer, *chunks: bytes, tag: int | None = None) -> None:
    """
    Send a packet of a peer's own making inside its DTLS connection.
    """
    sctp: Any = peer.connection.sctp
    header = struct.pack(
        "!HHL", 5_000, 5_000, sctp._remote_verification_tag if tag is None else tag
    )
    body = b"".join(chunks)
    packet = header + struct.pack("<L", crc32c(header + bytes(4) + body)) + body
    run(sctp.transport._send_data(packet))


class FaultTests(SynchronousTestCase):
    """
    One relay for each test, so that its memory and descriptors are the test's.
    """

    def start(self, **variables: str) -> Aero:
        """
        A relay on loopback.
        """
        server = startRelay(WEBRTC_UDP_LISTEN_IP="127.0.0.1", **variables)
        self.addCleanup(server.stop)
        return server

    def assertServes(self, server: Aero) -> None:
        """
        Another client connects and gets its echo.
        """
        with Peer() as peer, UDPTarget() as target:
            self.assertEqual(peer.post(server).status, 200)
            channel = peer.channels["udp"].opened()
            channel.send(target.v1(1, b"alive"))
            self.assertEqual(channel.receive(), target.v1(1, b"alive"))
        self.assertTrue(eventually(lambda: sessions(server) == 0, 5))

    def test_waysToEnd(self) -> None:
        """
        An ABORT, a SHUTDOWN, a DTLS alert and a closed connection end a session at once, one that
        was set up by HTTP included, and all of its sockets are closed.
        """
        server = self.start()
        self.assertServes(server)
        descriptors = server.descriptors()

        def abort(peer: Peer) -> None:
            send(peer, chunk(ABORT, b""))

        def shutdown(peer: Peer) -> None:
            send(peer, chunk(7, bytes(4)))

        def alert(peer: Peer) -> None:
            sctp: Any = peer.connection.sctp
            run(sctp.transport.stop())

        for end in (abort, shutdown, alert, Peer.close):
            with Peer() as peer:
                peer.post(server)
                peer.channels["udp"].opened()
                self.assertEqual(sessions(server), 1)
                end(peer)
                self.assertTrue(eventually(lambda: sessions(server) == 0, 1), end)
        self.assertTrue(eventually(lambda: server.descriptors() <= descriptors))

    def test_vanishes(self) -> None:
        """
        A peer that is gone without a word is given up when it answers no checks.
        """
        server = self.start(AERO_WEBRTC_CONSENT_TIMEOUT="2s")
        with Peer() as peer:
            peer.post(server)
            peer.channels["udp"].opened()
            peer.vanish()
            self.assertTrue(eventually(lambda: sessions(server) == 0, 10))
        self.assertServes(server)

    def test_vanishesWithItsSocket(self) -> None:
        """
        With the signalling gone it is given up at once.
        """
        server = self.start()
        with Peer() as peer:
            signal = peer.signal(server)
            peer.channels["udp"].opened()
            signal.socket.connection.socket.close()
            self.assertTrue(eventually(lambda: sessions(server) == 0, 2))

    def test_parameterOfLengthZero(self) -> None:
        """
        The packet that a parser without the check stays on for ever, in every chunk that has
        parameters: it is dropped, and the same connection goes on.
        """
        server = self.start()
        zero = struct.pack("!HH", 0xC000, 0)
        with Peer() as peer, UDPTarget() as target:
            peer.post(server)
            channel = peer.channels["udp"].opened()
            for kind in (HEARTBEAT, 5, 9, RECONFIG):
                send(peer, chunk(kind, zero))
            send(peer, chunk(2, bytes(16) + zero))
            send(peer, chunk(INIT, bytes(16) + zero), tag=0)
            channel.send(target.v1(1, b"after"))
            self.assertEqual(channel.receive(), target.v1(1, b"after"))
        self.assertServes(server)

    def test_nonsense(self) -> None:
        """
        Lengths that lie, gaps without end, streams by the thousand and chunks out of turn: none of
        them takes the process, or its time.
        """
        server = self.start()
        gaps = struct.pack("!HH", 0, 65_535) * 280
        packets: list[list[bytes]] = [
            [chunk(SACK, struct.pack("!LLHH", 0, 0, 280, 0) + gaps)],
            [chunk(SACK, struct.pack("!LLHH", 0, 0, 65_535, 65_535))],
            [chunk(0, bytes(8))],
            [chunk(0, bytes(12))],
            [chunk(200, b"x", length=65_535)],
            [chunk(HEARTBEAT, b"", length=0)],
            [chunk(FORWARD_TSN, bytes(2))],
            [chunk(FORWARD_TSN, struct.pack("!L", 0x7FFFFFFF) + bytes(1_100))],
            [chunk(COOKIE_ECHO, b"stale cookie")],
            [chunk(RECONFIG, struct.pack("!HHLLL", 13, 16, 1, 2, 0x7FFFFFFF))],
            [chunk(RECONFIG, struct.pack("!HHLL", 16, 12, 7, 1))],
            [chunk(RECONFIG, struct.pack("!HHLHH", 17, 12, 7, 65_535, 0))],
            [chunk(14, b""), chunk(8, b""), chunk(11, b"")],
        ]
        spent = server.cpuSeconds()
        for packet in packets:
            with Peer() as peer:
                peer.post(server)
                peer.channels["udp"].opened()
                for _ in range(50):
                    send(peer, *packet)
        self.assertLess(server.cpuSeconds() - spent, 10)
        self.assertTrue(eventually(lambda: sessions(server) == 0, 5))
        self.assertServes(server)
        self.assertNotIn("Traceback", "\n".join(server.log))

    def test_channelsWithoutEnd(self) -> None:
        """
        A peer that opens channels without end is cut off, and nothing of it stays.
        """
        server = self.start()
        with Peer() as peer:
            peer.post(server)
            peer.channels["udp"].opened()
            opening = struct.pack("!BBHLHH", 3, 0, 0, 0, 1, 0) + b"x"
            sctp: Any = peer.connection.sctp
            tsn = sctp._local_tsn
            with contextlib.suppress(ConnectionError):
                for number in range(200):
                    stream = 1_000 + 2 * number
                    data = struct.pack("!LHHL", (tsn + number) % 2**32, stream, 0, 50) + opening
                    send(peer, chunk(0, data, flags=3))
            self.assertTrue(eventually(lambda: sessions(server) == 0, 5))
        self.assertServes(server)

    def test_fragmentsWithoutEnd(self) -> None:
        """
        Beginnings of messages that never end fill a bounded buffer, and then the session is over.
        """
        server = self.start()
        self.assertServes(server)
        resident = server.residentBytes()
        with Peer() as peer:
            peer.post(server)
            peer.channels["udp"].opened()
            sctp: Any = peer.connection.sctp
            tsn = sctp._local_tsn
            for number in range(1_500):
                if sessions(server) == 0:
                    break
                head = struct.pack("!LHHL", (tsn + number) % 2**32, number % 500, number // 500, 53)
                send(peer, chunk(0, head + bytes(1_000), flags=2))
            self.assertTrue(eventually(lambda: sessions(server) == 0, 5))
        self.assertLess(server.residentBytes() - resident, 16_000_000)
        self.assertServes(server)

    def test_halfOpenOffers(self) -> None:
        """
        Two thousand offers whose clients never come: as many as may are kept, the others are told
        to come back, and when their time is over memory and sockets are back.
        """
        server = self.start(WEBRTC_SESSION_CONNECT_TIMEOUT="4s", AERO_WEBRTC_MAX_CONNECTING="100")
        self.assertServes(server)
        descriptors, resident = server.descriptors(), server.residentBytes()
        with Peer() as peer:
            offer = {"sdp": {"type": "offer", "sdp": peer.offer()}}
            body = json.dumps(offer).encode()
            seen: dict[int, int] = {}
            with Connection.to(server) as connection:
                head = (
                    f"POST /webrtc/offer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                for _ in range(2_000):
                    connection.send(head.encode() + body)
                    status = connection.response().status
                    seen[status] = seen.get(status, 0) + 1
                    self.assertLessEqual(server.descriptors(), descriptors + 110)
        self.assertEqual(set(seen), {200, 503})
        self.assertGreaterEqual(seen[503], 1)
        self.assertTrue(eventually(lambda: sessions(server) == 0, 15))
        self.assertTrue(eventually(lambda: server.descriptors() <= descriptors + 2))
        self.assertServes(server)
        self.assertLess(server.residentBytes() - resident, 40_000_000)

    def test_hugeDescriptions(self) -> None:
        """
        Ten megabytes of SDP are refused on every way in.
        """
        server = self.start()
        text = "v=0\r\n" + "a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n" * 230_000
        body = json.dumps({"type": "offer", "sdp": text}).encode()
        self.assertGreater(len(body), 10_000_000)
        with Connection.to(server) as connection:
            head = f"POST /webrtc/offer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.send(head.encode())
            self.assertIn(connection.response().status, (400, 413))
        smaller = json.dumps({"type": "offer", "sdp": text[:900_000]}).encode()
        begun = time.monotonic()
        response = request(server, "POST", "/webrtc/offer", body=smaller)
        self.assertEqual((response.status, response.json()["code"]), (400, "bad_message"))
        self.assertLess(time.monotonic() - begun, 5)
        with Signal(server) as signal:
            signal.socket.connection.send(b"\x81\xff" + struct.pack("!Q", len(body)) + bytes(4))
            self.assertEqual(signal.closed()[0], 1009)
        self.assertServes(server)

    def test_candidatesWithoutEnd(self) -> None:
        """
        A client may name as many candidates as it may send messages; the relay keeps few of them.
        """
        server = self.start(MAX_SIGNALING_MESSAGES_PER_SECOND="100000")
        with Peer() as peer, peer.signal(server) as signal:
            for number in range(2_000):
                text = f"candidate:1 1 udp 1 127.0.0.1 {1_024 + number} typ host"
                told = {"candidate": text, "sdpMid": "0", "sdpMLineIndex": 0}
                signal.say({"type": "candidate", "candidate": told})
            peer.channels["udp"].opened()
        self.assertTrue(eventually(lambda: sessions(server) == 0, 5))
        self.assertServes(server)

    def test_stopsWithPeers(self) -> None:
        """
        With connections open the process stops by itself, and the clients are told.
        """
        server = self.start()
        with Peer() as peer, Peer() as other, peer.signal(server) as signal:
            other.post(server)
            for each in (peer, other):
                each.channels["udp"].opened()
            server.sendSignal(15)
            self.assertEqual(signal.closed()[0], 1001)
            self.assertEqual(server.wait(), 0)
            for each in (peer, other):
                each.channels["udp"].closed()

    def test_counters(self) -> None:
        """
        Frames that are none, and payloads that are too long, are counted and nothing else.
        """
        server = self.start(MAX_DATAGRAM_PAYLOAD_BYTES="5")
        with Peer() as peer, UDPTarget() as target:
            peer.post(server)
            channel = peer.channels["udp"].opened()
            channel.send(b"x", target.v1(1, b"123456"), target.v1(1, b"12345"))
            self.assertEqual(channel.receive(), target.v1(1, b"12345"))
        self.assertEqual(event(server, "webrtc_udp_datagrams_in"), 3)
        self.assertEqual(event(server, "webrtc_udp_dropped_malformed"), 1)
        self.assertEqual(event(server, "webrtc_udp_dropped_oversized"), 1)
