"""
Tests for L{aero.dns.dohhttp2} and L{aero.dns.dohconnection}, against the server's side of the
C{h2} package on a connection in memory.
"""

from __future__ import annotations

from typing import Any

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.dns.dohconnection import IDLE, MAX_HEADER_BYTES
from aero.dns.dohhttp2 import HTTP2Poster
from aero.dns.exchange import ExchangeFailed
from aero.dns.test.fakes import FakeEndpoint
from aero.testing.properties import given, strategies

HEAD = [(b":status", b"200"), (b"content-type", b"application/dns-message")]
MAX_SIZE = 600


class Upstream:
    """
    The other end of one connection.

    @ivar requests: Fields and body of each request that is complete, by its stream.
    """

    def __init__(self, transport: Any, **settings: int) -> None:
        self.transport = transport
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        values = {SettingCodes[name]: value for name, value in settings.items()}
        self.h2.local_settings = Settings(client=False, initial_values=values)
        self.h2.initiate_connection()
        self.heads: dict[int, dict[bytes, bytes]] = {}
        self.bodies: dict[int, bytes] = {}
        self.requests: dict[int, tuple[dict[bytes, bytes], bytes]] = {}
        self.events: list[Any] = []
        transport.negotiatedProtocol = b"h2"
        transport.protocol.handshakeCompleted()
        self.exchange()

    def exchange(self, step: int = 1 << 20) -> None:
        """
        Pass bytes both ways until there are none.
        """
        while True:
            sent, said = self.transport.value(), self.h2.data_to_send()
            self.transport.clear()
            if not sent and not said:
                return
            for event in self.h2.receive_data(sent):
                self.happened(event)
            said += self.h2.data_to_send()
            for at in range(0, len(said), step):
                self.transport.protocol.dataReceived(said[at : at + step])

    def happened(self, event: Any) -> None:
        """
        Keep what a request says.
        """
        self.events.append(event)
        if isinstance(event, h2.events.RequestReceived):
            self.heads[event.stream_id] = dict(event.headers)
            self.bodies[event.stream_id] = b""
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream = event.stream_id
            self.requests[stream] = (self.heads[stream], self.bodies[stream])

    def answer(
        self, stream: int, body: bytes, head: list[tuple[bytes, bytes]] = HEAD, step: int = 1 << 20
    ) -> None:
        """
        Answer a request.
        """
        self.h2.send_headers(stream, head)
        for at in range(0, len(body), 16_384):
            self.h2.send_data(stream, body[at : at + 16_384])
        self.h2.end_stream(stream)
        self.exchange(step)

    def resets(self) -> list[int]:
        """
        The streams that the client reset.
        """
        return [
            event.stream_id for event in self.events if isinstance(event, h2.events.StreamReset)
        ]


class Older:
    """
    The way by HTTP/1.1.
    """

    def __init__(self) -> None:
        self.posted: list[Deferred[bytes]] = []
        self.stopped = False

    def post(self, message: bytes) -> Deferred[bytes]:
        """
        Keep it.
        """
        self.posted.append(Deferred())
        return self.posted[-1]

    def stop(self) -> None:
        """
        Remember it.
        """
        self.stopped = True


class _PosterCase(SynchronousTestCase):
    """
    A poster and its upstream.
    """

    def setUp(self) -> None:
        self.makePoster()

    def makePoster(self, url: str = "https://dns.example/dns-query", **options: Any) -> None:
        """
        The way to an upstream.
        """
        self.clock = Clock()
        self.endpoint = FakeEndpoint(**options)
        self.older = Older()
        self.poster = HTTP2Poster(
            url, self.endpoint, clock=self.clock, maxSize=MAX_SIZE, older=self.older
        )

    def upstream(self, **settings: int) -> Upstream:
        """
        The upstream's end of the newest connection, the handshake being done.
        """
        return Upstream(self.endpoint.last, **settings)

    def assertFailed(self, waiting: Deferred[bytes], reason: str) -> None:
        """
        A message failed for a reason.
        """
        self.assertEqual(self.failureResultOf(waiting, ExchangeFailed).value.reason, reason)


class AnswerTests(_PosterCase):
    """
    Messages and their answers.
    """

    def test_answered(self) -> None:
        """
        A message is posted to where the operator said, and its answer is the body.
        """
        self.makePoster("https://dns.example:8443/q?key=v")
        waiting = self.poster.post(b"message")
        upstream = self.upstream()
        self.assertEqual(
            upstream.requests,
            {
                1: (
                    {
                        b":method": b"POST",
                        b":scheme": b"https",
                        b":authority": b"dns.example:8443",
                        b":path": b"/q?key=v",
                        b"content-type": b"application/dns-message",
                        b"accept": b"application/dns-message",
                        b"user-agent": b"aero",
                        b"content-length": b"7",
                    },
                    b"message",
                )
            },
        )
        self.assertNoResult(waiting)
        upstream.answer(1, b"answer")
        self.assertEqual(self.successResultOf(waiting), b"answer")
        self.assertFalse(self.endpoint.last.gone)

    def test_byteByByte(self) -> None:
        """
        However the stream is cut, the answer is the same.
        """
        waiting = self.poster.post(b"message")
        self.upstream().answer(1, b"a" * MAX_SIZE, step=1)
        self.assertEqual(self.successResultOf(waiting), b"a" * MAX_SIZE)

    def test_together(self) -> None:
        """
        Messages share a connection, and answers come in any order.
        """
        one, other = self.poster.post(b"one"), self.poster.post(b"other")
        upstream = self.upstream()
        third = self.poster.post(b"third")
        upstream.exchange()
        self.assertEqual(
            [body for _, body in upstream.requests.values()], [b"one", b"other", b"third"]
        )
        for stream, waiting in ((5, third), (3, other), (1, one)):
            upstream.answer(stream, b"%d" % stream)
            self.assertEqual(self.successResultOf(waiting), b"%d" % stream)
        self.assertEqual(self.endpoint.attempts, 1)

    def test_fewStreams(self) -> None:
        """
        An upstream that allows few messages at once gets the others later.
        """
        waiting = [self.poster.post(b"%d" % number) for number in range(4)]
        upstream = self.upstream(MAX_CONCURRENT_STREAMS=1)
        for number in range(4):
            self.assertEqual(
                [body for _, body in upstream.requests.values()][number:], [b"%d" % number]
            )
            upstream.answer(1 + 2 * number, b"done")
            self.assertEqual(self.successResultOf(waiting[number]), b"done")

    def test_smallWindow(self) -> None:
        """
        What the upstream has no room for is sent when it has.
        """
        waiting = self.poster.post(b"m" * 35)
        upstream = self.upstream(INITIAL_WINDOW_SIZE=10)
        self.assertEqual(upstream.requests[1][1], b"m" * 35)
        upstream.answer(1, b"ok")
        self.assertEqual(self.successResultOf(waiting), b"ok")

    def test_manyAnswers(self) -> None:
        """
        The windows of a connection are opened again, however much comes over it.
        """
        self.poster.post(b"0").addErrback(lambda _: None)
        upstream = self.upstream()
        for number in range(400):
            waiting = self.poster.post(b"message")
            upstream.exchange()
            upstream.answer(3 + 2 * number, b"a" * MAX_SIZE)
            self.assertEqual(len(self.successResultOf(waiting)), MAX_SIZE)

    def test_otherResponses(self) -> None:
        """
        Another status or type is a failure of its message alone.
        """
        first = self.poster.post(b"first")
        upstream = self.upstream()
        for head, reason in (
            ([(b":status", b"500"), HEAD[1]], "status"),
            ([(b":status", b"302"), (b"location", b"https://192.0.2.9/"), HEAD[1]], "status"),
            ([(b":status", b"2" * 5_000), HEAD[1]], "status"),
            ([HEAD[0], (b"content-type", b"text/html")], "type"),
            ([HEAD[0]], "type"),
            ([*HEAD, HEAD[1]], "type"),
        ):
            waiting = self.poster.post(b"message")
            upstream.exchange()
            stream = max(upstream.requests)
            upstream.h2.send_headers(stream, head)
            upstream.exchange()
            self.assertFailed(waiting, reason)
            self.assertIn(stream, upstream.resets())
        upstream.answer(1, b"answer")
        self.assertEqual(self.successResultOf(first), b"answer")

    def test_parameters(self) -> None:
        """
        The type may have parameters and capitals.
        """
        waiting = self.poster.post(b"message")
        head = [HEAD[0], (b"content-type", b"Application/DNS-Message; x=y")]
        self.upstream().answer(1, b"answer", head)
        self.successResultOf(waiting)

    def test_tooLarge(self) -> None:
        """
        An answer is read up to the limit (A174).
        """
        waiting = self.poster.post(b"message")
        upstream = self.upstream()
        upstream.h2.send_headers(1, HEAD)
        upstream.h2.send_data(1, b"a" * MAX_SIZE)
        upstream.exchange()
        self.assertNoResult(waiting)
        upstream.h2.send_data(1, b"b")
        upstream.exchange()
        self.assertFailed(waiting, "size")
        self.assertEqual(upstream.resets(), [1])

    def test_early(self) -> None:
        """
        An answer before the whole message was sent is one all the same.
        """
        first = self.poster.post(b"first")
        upstream = self.upstream(INITIAL_WINDOW_SIZE=0)
        upstream.answer(1, b"answer")
        self.assertEqual(self.successResultOf(first), b"answer")


class EndTests(_PosterCase):
    """
    What goes wrong.
    """

    def test_reset(self) -> None:
        """
        A stream that the upstream resets is a failure of its message alone.
        """
        one, other = self.poster.post(b"one"), self.poster.post(b"other")
        upstream = self.upstream()
        upstream.h2.reset_stream(1, ErrorCodes.INTERNAL_ERROR)
        upstream.answer(3, b"answer")
        self.assertFailed(one, "http")
        self.successResultOf(other)

    def test_lost(self) -> None:
        """
        A message on a connection that was there before and goes away (RFC 9113 section 6.8), or
        that is refused, is asked once more on a new one.
        """
        for end in ("goaway", "closed", "refused"):
            self.makePoster()
            first = self.poster.post(b"first")
            upstream = self.upstream()
            upstream.answer(1, b"answer")
            self.successResultOf(first)
            waiting = self.poster.post(b"message")
            upstream.exchange()
            if end == "goaway":
                upstream.h2.close_connection(last_stream_id=1)
                upstream.exchange()
            elif end == "refused":
                upstream.h2.reset_stream(3, ErrorCodes.REFUSED_STREAM)
                upstream.exchange()
            else:
                self.endpoint.last.end()
            self.assertEqual(self.endpoint.attempts, 2)
            self.upstream().answer(1, b"again")
            self.assertEqual(self.successResultOf(waiting), b"again")

    def test_lostTwice(self) -> None:
        """
        No more than once.
        """
        waiting = self.poster.post(b"message")
        self.upstream()
        self.endpoint.last.end()
        self.assertFailed(waiting, "closed")

    def test_garbage(self) -> None:
        """
        What is not HTTP/2 ends the connection.
        """
        for garbage in (b"\0\0\0\1\0\0\0\0\0" * 3, bytes(64)):
            self.makePoster()
            waiting = self.poster.post(b"message")
            upstream = self.upstream()
            upstream.transport.protocol.dataReceived(garbage)
            self.assertFailed(waiting, "http")
            self.assertTrue(self.endpoint.last.gone)

    def test_hugeHeaders(self) -> None:
        """
        So do headers beyond the limit, before they are kept.
        """
        waiting = self.poster.post(b"message")
        upstream = self.upstream()
        # As an upstream that does not keep to what it was told.
        head = [*HEAD, *((b"x-%d" % n, b"v" * 2_000) for n in range(MAX_HEADER_BYTES // 1_000))]
        upstream.h2.send_headers(1, head)
        upstream.exchange()
        self.assertFailed(waiting, "http")

    def test_flood(self) -> None:
        """
        An upstream that sends without end what nobody asked for is hung up on, and one whose
        frames are longer than they may be.
        """
        waiting = self.poster.post(b"message")
        upstream = self.upstream()
        for _ in range(10_000):
            upstream.h2.ping(bytes(8))
            upstream.exchange()
            if self.endpoint.last.gone:
                break
        self.assertFailed(waiting, "flood")
        waiting = self.poster.post(b"message")
        self.upstream().transport.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(200_000))
        self.assertFailed(waiting, "flood")

    @given(strategies.lists(strategies.binary(max_size=60), max_size=6), strategies.booleans())
    def test_anything(self, pieces: list[bytes], answered: bool) -> None:
        """
        Whatever an upstream sends, before or after what it should, a message is answered or
        fails in words once the connection is gone, and nothing of it is left.
        """
        self.makePoster()
        waiting = self.poster.post(b"message")
        upstream = self.upstream()
        found: list[Any] = []
        waiting.addBoth(found.append)
        if answered:
            upstream.h2.send_headers(1, HEAD)
            pieces.insert(len(pieces) // 2, upstream.h2.data_to_send())
        for piece in pieces:
            upstream.transport.protocol.dataReceived(piece)
        upstream.transport.end()
        self.assertEqual(len(found), 1)
        if not isinstance(found[0], bytes):
            found[0].trap(ExchangeFailed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noMoreIds(self) -> None:
        """
        When a connection has no more ids for streams a new one takes its place.
        """
        first = self.poster.post(b"first")
        upstream = self.upstream()
        upstream.answer(1, b"answer")
        self.successResultOf(first)
        connection: Any = upstream.transport.protocol
        connection._h2.highest_outbound_stream_id = (1 << 31) - 1
        waiting = self.poster.post(b"message")
        self.assertEqual(self.endpoint.attempts, 2)
        self.upstream().answer(1, b"again")
        self.assertEqual(self.successResultOf(waiting), b"again")

    def test_timedOut(self) -> None:
        """
        A connection on which nothing came while a message waited is given up.
        """
        first = self.poster.post(b"first")
        upstream = self.upstream()
        upstream.answer(1, b"answer")
        self.successResultOf(first)
        waiting, other = self.poster.post(b"message"), self.poster.post(b"other")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(upstream.transport.gone)
        self.upstream().answer(1, b"again")
        self.assertEqual(self.successResultOf(other), b"again")

    def test_slowMessage(self) -> None:
        """
        A connection that works is kept when one answer is slow; the upstream is told that
        nobody waits for it.
        """
        slow, other = self.poster.post(b"slow"), self.poster.post(b"other")
        upstream = self.upstream()
        upstream.answer(3, b"answer")
        self.successResultOf(other)
        slow.cancel()
        self.failureResultOf(slow, CancelledError)
        upstream.exchange()
        self.assertEqual(upstream.resets(), [1])
        self.assertFalse(self.endpoint.last.gone)

    def test_gaveUpWaiting(self) -> None:
        """
        A message whose turn has not come is never sent once nobody waits for it.
        """
        waiting = [self.poster.post(b"%d" % number) for number in range(3)]
        upstream = self.upstream(MAX_CONCURRENT_STREAMS=1)
        waiting[1].cancel()
        self.failureResultOf(waiting[1], CancelledError)
        upstream.answer(1, b"answer")
        self.assertEqual([body for _, body in upstream.requests.values()], [b"0", b"2"])
        upstream.answer(3, b"answer")
        self.successResultOf(waiting[2])

    def test_idle(self) -> None:
        """
        A connection on which nothing is asked is closed after a while, and the upstream told.
        """
        waiting = self.poster.post(b"message")
        upstream = self.upstream()
        upstream.answer(1, b"answer")
        self.successResultOf(waiting)
        self.clock.advance(IDLE - 1)
        self.assertFalse(self.endpoint.last.gone)
        self.clock.advance(1)
        self.assertTrue(self.endpoint.last.gone)
        events = upstream.h2.receive_data(self.endpoint.last.value())
        self.assertIsInstance(events[-1], h2.events.ConnectionTerminated)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """
        Stopping closes the connection, an attempt to open one, and the older way.
        """
        waiting = self.poster.post(b"message")
        self.upstream()
        self.poster.stop()
        self.assertFailed(waiting, "closed")
        self.assertTrue(self.endpoint.last.gone and self.older.stopped)
        self.makePoster(slow=True)
        waiting = self.poster.post(b"message")
        self.poster.stop()
        self.assertFailed(waiting, "connect")


class HandshakeTests(_PosterCase):
    """
    Until it is known which HTTP an upstream speaks.
    """

    def choose(self, protocol: bytes | None) -> None:
        """
        Let the upstream choose.
        """
        transport: Any = self.endpoint.last
        transport.negotiatedProtocol = protocol
        transport.protocol.handshakeCompleted()

    def test_older(self) -> None:
        """
        An upstream that chooses HTTP/1.1, or nothing, is asked that way from then on.
        """
        for chosen in (b"http/1.1", None):
            self.makePoster()
            waiting = [self.poster.post(b"one"), self.poster.post(b"two")]
            self.choose(chosen)
            self.assertTrue(self.endpoint.last.gone)
            waiting.append(self.poster.post(b"three"))
            for one in self.older.posted:
                one.callback(b"answer")
            self.assertEqual([self.successResultOf(one) for one in waiting], [b"answer"] * 3)
            self.assertEqual(self.endpoint.attempts, 1)

    def test_newer(self) -> None:
        """
        When that does not work any more it is seen anew what it speaks; a bad answer is no
        reason for that.
        """
        first = self.poster.post(b"first")
        self.choose(b"http/1.1")
        for reason, attempts in (("status", 1), ("http", 1)):
            self.older.posted[-1].errback(ExchangeFailed(reason))
            self.assertFailed(first, reason)
            self.assertEqual(self.endpoint.attempts, attempts)
            first = self.poster.post(b"message")
        self.assertEqual(self.endpoint.attempts, 2)
        self.upstream().answer(1, b"answer")
        self.successResultOf(first)

    def test_failed(self) -> None:
        """
        A handshake that fails, or takes too long, is a failure of all who wait.
        """
        one = self.poster.post(b"one")
        self.endpoint.last.end()
        self.assertFailed(one, "connect")
        two = self.poster.post(b"two")
        self.clock.advance(11)
        self.assertFailed(two, "connect")
        self.assertTrue(self.endpoint.last.gone)

    def test_notConnected(self) -> None:
        """
        So is a connection that cannot be opened.
        """
        self.makePoster(refuses=True)
        self.assertFailed(self.poster.post(b"message"), "network")
