"""
The data channel C{l2} to a backend, from outside: relay.md section 20.11, with aiortc as the client.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.http import request
from .support.l2backend import TUNNEL, Handshake, L2Backend
from .support.relay import API_KEY, startRelay
from .support.rtcpeer import L2, Peer
from .support.server import Aero
from .test_rtcsignal import event, eventually, sessions

PING, PONG = b"\xa2\x03\x01\x00", b"\xa2\x03\x02\x00"
KEY = {"AUTH_MODE": "api_key", "API_KEY": API_KEY}


class BackendTests(SynchronousTestCase):
    """
    C{L2_BACKEND_WS_URL=ws://...}.
    """

    def start(self, backend: L2Backend, **variables: str) -> Aero:
        """
        A relay that leads there.
        """
        server = startRelay(
            WEBRTC_UDP_LISTEN_IP="127.0.0.1",
            **({"L2_BACKEND_WS_URL": backend.url} | variables),
        )
        self.addCleanup(server.stop)
        return server

    def backend(self, **options: Any) -> L2Backend:
        """
        A backend for one test.
        """
        made = L2Backend(**options)
        self.addCleanup(made.__exit__)
        return made

    def shown(
        self, server: Aero, backend: L2Backend, query: str = "", *headers: tuple[str, str]
    ) -> Handshake:
        """
        What the backend is shown of a client, whose PING is answered.
        """
        with Peer("l2") as peer, peer.signal(server, query, *headers):
            channel = peer.channels["l2"].opened()
            channel.send(PING)
            self.assertEqual(channel.receive(), PONG)
        return backend.handshakes[-1]

    def test_passesMessages(self) -> None:
        """
        A PING is answered with a PONG, what is sent before the backend is there included; both
        directions are counted; the origin is the relay's own where the client has none.
        """
        backend = self.backend()
        server = self.start(backend)
        shown = self.shown(server, backend)
        self.assertEqual(shown.target, "/l2")
        self.assertEqual(shown.protocols, [TUNNEL])
        self.assertEqual(shown.headers["origin"], f"http://localhost:{server.port}")
        self.assertNotIn("cookie", shown.headers)
        for name, least in (
            ("dials_total", 1),
            ("messages_from_client_total", 1),
            ("bytes_from_client_total", 4),
            ("messages_to_client_total", 1),
            ("bytes_to_client_total", 4),
        ):
            self.assertEqual(event(server, f"l2_bridge_{name}"), least, name)
        for name in ("dial_errors_total", "dropped_oversized_total", "dropped_rate_limited_total"):
            self.assertEqual(event(server, f"l2_bridge_{name}"), 0, name)
        self.assertTrue(eventually(lambda: sessions(server) == 0))

    def test_originAndToken(self) -> None:
        """
        A configured origin beats the client's, and a token of the relay's own is offered.
        """
        backend = self.backend()
        server = self.start(
            backend, L2_BACKEND_WS_ORIGIN="HTTPS://Example.COM:443/", L2_BACKEND_WS_TOKEN="static"
        )
        shown = self.shown(server, backend, "", ("Origin", "https://client.example"))
        self.assertEqual(shown.headers["origin"], "https://example.com")
        self.assertEqual(shown.protocols, [TUNNEL, "aero-l2-token.static"])

    def test_query(self) -> None:
        """
        The credential goes into the query string, beside what the URL has; the client's origin is
        passed on in lower case.
        """
        backend = self.backend()
        server = self.start(backend, **KEY, L2_BACKEND_WS_URL=f"{backend.url}?room=1&token=old")
        origin = ("Origin", "HTTPS://Client.Example")
        shown = self.shown(server, backend, f"?apiKey={API_KEY}", origin)
        self.assertEqual(shown.query, {"room": ["1"], "token": [API_KEY], "apiKey": [API_KEY]})
        self.assertEqual(shown.protocols, [TUNNEL])
        self.assertEqual(shown.headers["origin"], "https://client.example")

    def test_subprotocol(self) -> None:
        """
        The credential is offered as a subprotocol; with a token of the relay's own only that one.
        """
        for token, offered in (("", API_KEY), ("static", "static")):
            backend = self.backend()
            server = self.start(
                backend, **KEY, L2_BACKEND_AUTH_FORWARD_MODE="subprotocol", L2_BACKEND_TOKEN=token
            )
            shown = self.shown(server, backend, "", ("X-API-Key", API_KEY))
            self.assertEqual(shown.target, "/l2")
            self.assertEqual(shown.protocols, [TUNNEL, f"aero-l2-token.{offered}"])

    def test_noCredential(self) -> None:
        """
        With C{none} it is passed on nowhere, and the origin only where that is wanted.
        """
        backend = self.backend()
        server = self.start(
            backend,
            **KEY,
            L2_BACKEND_AUTH_FORWARD_MODE="none",
            L2_BACKEND_FORWARD_ORIGIN="false",
        )
        shown = self.shown(server, backend, f"?apiKey={API_KEY}")
        self.assertEqual((shown.target, shown.protocols), ("/l2", [TUNNEL]))
        self.assertNotIn("origin", shown.headers)

    def test_badSubprotocol(self) -> None:
        """
        A credential that no subprotocol can carry closes the channel; nobody is dialled.
        """
        backend = self.backend()
        server = self.start(
            backend,
            AUTH_MODE="api_key",
            API_KEY="bad=secret",
            L2_BACKEND_AUTH_FORWARD_MODE="subprotocol",
        )
        with Peer("l2") as peer, peer.signal(server, "", ("X-API-Key", "bad=secret")):
            peer.channels["l2"].closed()
        self.assertEqual(backend.handshakes, [])
        self.assertEqual(event(server, "l2_bridge_dial_errors_total"), 1)
        self.assertNotIn("bad=secret", "\n".join(server.log))

    def test_cookie(self) -> None:
        """
        The session cookie is passed on where that is wanted, exactly, and no other cookie.
        """
        backend = self.backend()
        server = self.start(backend, L2_BACKEND_FORWARD_AERO_SESSION="1")
        cookie = ("Cookie", "aero_session=sess123; other=ignored")
        shown = self.shown(server, backend, "", cookie)
        self.assertEqual(shown.headers["cookie"], "aero_session=sess123")

    def test_dialFails(self) -> None:
        """
        A backend that refuses, one that chooses another protocol or none, and one that is not
        there: the channel is closed, the connection stays, and the log has no secret.
        """
        for options in ({"status": 403}, {"protocol": ""}, {"protocol": "another"}, None):
            backend = self.backend(**(options or {}))
            if options is None:
                backend.__exit__()
            server = self.start(backend, **KEY)
            with Peer("udp", "l2") as peer, peer.signal(server, f"?apiKey={API_KEY}"):
                try:
                    peer.channels["l2"].closed()
                except TimeoutError:
                    self.fail(f"{options} {server.log[-20:]}")
                self.assertEqual(sessions(server), 1)
            self.assertEqual(event(server, "l2_bridge_dials_total"), 1)
            self.assertEqual(event(server, "l2_bridge_dial_errors_total"), 1)
            log = "\n".join(server.log)
            self.assertIn("l2_bridge_backend_dial_failed", log)
            self.assertNotIn(API_KEY, log)

    def test_oversizedFromClient(self) -> None:
        """
        A message over the limit of C{l2} closes the channel and tells the backend; the session
        goes on. One over what the answer said ends the session.
        """
        backend = self.backend()
        server = self.start(
            backend,
            L2_MAX_MESSAGE_BYTES="4",
            MAX_DATAGRAM_PAYLOAD_BYTES="8",
            WEBRTC_DATACHANNEL_MAX_MESSAGE_BYTES="256",
        )
        with Peer("l2") as peer, peer.signal(server) as signal:
            channel = peer.channels["l2"].opened()
            channel.send(PING)
            self.assertEqual(channel.receive(), PONG)
            channel.send(PING + b"x")
            channel.closed()
            self.assertTrue(eventually(lambda: backend.closes == [1009]))
            self.assertEqual(event(server, "l2_bridge_dropped_oversized_total"), 1)
            self.assertEqual(sessions(server), 1)
            sctp: Any = peer.connection.sctp
            sctp._remote_max_message_size = 0
            again = peer.add("l2", **L2).opened()
            again.send(bytes(512))
            again.closed()
            self.assertEqual(signal.closed(), (1000, "message too large"))
        self.assertEqual(event(server, "webrtc_datachannel_l2_message_too_large"), 1)

    def test_oversizedFromBackend(self) -> None:
        """
        So does one that the backend sends; it is closed with 1009.
        """
        backend = self.backend(replies={b"\xa2\x03\x00\x00": [bytes(5_000)]})
        server = self.start(backend)
        with Peer("l2") as peer, peer.signal(server):
            channel = peer.channels["l2"].opened()
            channel.send(b"\xa2\x03\x00\x00")
            channel.closed()
            self.assertEqual(sessions(server), 1)
        self.assertTrue(eventually(lambda: backend.closes == [1009]))
        self.assertEqual(event(server, "l2_bridge_dropped_oversized_total"), 1)

    def test_backendLeaves(self) -> None:
        """
        A backend that is gone closes the channel, and a new channel dials anew.
        """
        backend = self.backend()
        server = self.start(backend)
        with Peer("l2") as peer, peer.signal(server):
            channel = peer.channels["l2"].opened()
            channel.send(PING)
            self.assertEqual(channel.receive(), PONG)
            backend.connections[-1].shutdown(2)
            channel.closed()
            again = peer.add("l2", **L2).opened()
            again.send(PING)
            self.assertEqual(again.receive(), PONG)
            again.close()
            again.closed()
        self.assertTrue(eventually(lambda: backend.closes == [1000]))
        self.assertEqual(len(backend.handshakes), 2)

    def test_pacing(self) -> None:
        """
        A limit on what the client gets slows the backend down; only a message longer than a
        second of it is lost.
        """
        question = b"\xa2\x03\x00\x01"
        messages = [bytes([number]) * 400 for number in range(5)]
        backend = self.backend(replies={question: [bytes(1_001), *messages]})
        server = self.start(backend, MAX_DC_BPS_PER_SESSION="1000")
        with Peer("l2") as peer, peer.signal(server):
            channel = peer.channels["l2"].opened()
            channel.send(question)
            self.assertEqual([channel.receive() for _ in messages], messages)
        self.assertEqual(event(server, "l2_bridge_dropped_rate_limited_total"), 1)

    def test_manyMessages(self) -> None:
        """
        Hundreds of messages before the backend answers arrive there, all of them and in order.
        """
        backend = self.backend()
        server = self.start(backend)
        sent = [b"\xa2\x03\x00\x00" + number.to_bytes(4, "big") * 250 for number in range(1_000)]
        with Peer("l2") as peer, peer.signal(server):
            peer.channels["l2"].opened().send(*sent)
            self.assertTrue(eventually(lambda: len(backend.received) == len(sent), 30))
        self.assertEqual(backend.received, sent)

    def test_refusedChannels(self) -> None:
        """
        Neither an unreliable nor an unordered channel dials anybody; second ones and unknown
        labels are closed and counted, once each.
        """
        backend = self.backend()
        server = self.start(backend)
        with Peer("udp") as peer, peer.signal(server):
            peer.channels["udp"].opened()
            peer.add("l2", ordered=True, maxRetransmits=0).closed()
            peer.add("l2", ordered=False).closed()
            peer.add("l2", ordered=True, maxPacketLifeTime=1).closed()
            self.assertEqual(backend.handshakes, [])
            peer.add("l2", **L2).opened()
            peer.add("udp", ordered=False, maxRetransmits=0).closed()
            peer.add("unknown-label").closed()
            peer.add("l2", **L2).closed()
            for name in ("unknown_label", "duplicate_udp", "duplicate_l2"):
                self.assertEqual(event(server, f"webrtc_datachannel_rejected_{name}"), 1, name)
        self.assertIn("partial_reliability", "\n".join(server.log))
        self.assertEqual(request(server, "GET", "/healthz").status, 200)
