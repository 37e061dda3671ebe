"""
Tests for L{aero.files.filebody}.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel

from aero.files.filebody import BLOCK, BodySender, FileBody, MemoryBody, Torn
from aero.files.ranges import ByteRange
from aero.files.test.statics import AFTER, StaticTestCase
from aero.files.webroot import stampOf
from aero.metrics import static as rows
from aero.testing.web import Exchange, SecureMemoryTransport

SIZE = 8 * BLOCK + 1_234
CONTENT = bytes(index * 7 % 251 for index in range(1_021)) * (SIZE // 1_021 + 1)
CONTENT = CONTENT[:SIZE]


class BodyTests(StaticTestCase):
    """
    Bytes of one version of a file.
    """

    def body(self, path: Path) -> FileBody:
        """
        Open a file.
        """
        descriptor = os.open(path, os.O_RDONLY)
        body = FileBody(descriptor, stampOf(os.fstat(descriptor)))
        self.addCleanup(body.close)
        return body

    def test_read(self) -> None:
        """
        Any part can be read, from memory as from disk.
        """
        for body in (MemoryBody(b"0123456789"), self.body(self.write("x", "0123456789"))):
            self.assertEqual(body.size, 10)
            self.assertEqual(body.read(2, 3), b"234")
            self.assertEqual(body.read(0, 10), b"0123456789")
            body.close()
            body.close()

    def test_replaced(self) -> None:
        """
        A file that is replaced by renaming can still be read as it was.
        """
        body = self.body(self.write("x", "old"))
        self.write("y", "new").rename(self.root / "x")
        self.assertEqual(body.read(0, 3), b"old")

    def test_torn(self) -> None:
        """
        A file that is rewritten, cut or grown in place is not read any further.
        """
        for content in ("NEW", "ne", "newer"):
            path = self.write("x", "old")
            body = self.body(path)
            with path.open("r+") as file:
                file.truncate(0)
                file.write(content)
            os.utime(path, ns=(AFTER, AFTER))
            self.assertRaises(Torn, body.read, 0, 2)


class BodySenderTests(StaticTestCase):
    """
    A large file goes out as fast as the client takes it and no faster.
    """

    def begin(self) -> tuple[Exchange, Any]:
        """
        Ask for a large file and take none of it.
        """
        self.path = self.write("big", CONTENT)
        exchange = self.client.connect()
        transport: Any = exchange.transport
        self.limit(transport)
        exchange.send(b"GET", "/big")
        return exchange, transport

    def limit(self, transport: Any) -> None:
        """
        Make a transport say that it has enough after every block.
        """
        written = transport.write

        def write(data: bytes) -> None:
            written(data)
            self.wrote.append(len(data))
            if len(data) > 65_536 and transport.producer is not None:
                transport.producer.pauseProducing()

        self.wrote: list[int] = []
        transport.write = write

    def test_whole(self) -> None:
        """
        Every byte arrives, in order, and the file is closed.
        """
        exchange, transport = self.begin()
        for _ in range(SIZE // BLOCK + 1):
            transport.producer.resumeProducing()
        self.assertEqual(exchange.response().body, CONTENT)
        self.assertEqual(self.openFiles(), [str(self.root)])

    def test_slowClient(self) -> None:
        """
        A client that takes nothing costs one block, whatever the size of the file.
        """
        exchange, transport = self.begin()
        self.clock.pump([0, 0, 0])
        self.assertLess(len(exchange.received), BLOCK + 2_000)
        transport.producer.resumeProducing()
        self.assertLess(len(exchange.received), 2 * BLOCK + 2_000)

    def test_leaves(self) -> None:
        """
        A client that leaves in the middle leaves nothing open behind.
        """
        exchange, _ = self.begin()
        self.assertIn(str(self.path), self.openFiles())
        exchange.disconnect()
        self.assertEqual(self.openFiles(), [str(self.root)])

    def test_onlyTheRequestIsTold(self) -> None:
        """
        The file is closed too where only the request learns that its client is gone, as with
        the streams of Twisted's own HTTP/2.
        """
        request = Request(DummyChannel(), False)
        request.gotLength(0)
        path = self.write("big", CONTENT)
        descriptor = os.open(path, os.O_RDONLY)
        body = FileBody(descriptor, stampOf(os.fstat(descriptor)))
        pieces = [ByteRange(0, SIZE)]
        BodySender(request, body, pieces, clock=self.clock, torn=self.fail).start()
        self.assertIn(str(path), self.openFiles())
        request.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.openFiles(), [str(self.root)])
        self.clock.pump([0] * 3)

    def test_torn(self) -> None:
        """
        When the file changes while it is sent, the connection is cut before its end.
        """
        exchange, transport = self.begin()
        os.truncate(self.path, 3 * BLOCK)
        for _ in range(3):
            transport.producer.resumeProducing()
        self.assertTrue(transport.disconnected or transport.disconnecting)
        self.assertLess(len(exchange.received), SIZE)
        self.assertEqual(self.metrics.value(rows.TORN), 1)
        exchange.disconnect()
        self.assertEqual(self.openFiles(), [str(self.root)])

    def test_turns(self) -> None:
        """
        A transport that never has enough does not keep other connections waiting.
        """
        self.write("big", CONTENT)
        exchange = self.client.start(b"GET", "/big")
        self.assertEqual(exchange.responses(), [])
        self.clock.pump([0] * 3)
        self.assertEqual(exchange.response().body, CONTENT)

    def test_next(self) -> None:
        """
        The connection can be used for the next request.
        """
        self.write("big", CONTENT)
        self.write("small", "s")
        exchange = self.client.start(b"GET", "/big")
        exchange.send(b"GET", "/small")
        self.clock.pump([0] * 3)
        self.assertEqual([each.body for each in exchange.responses()], [CONTENT, b"s"])


class HTTP2Transport(SecureMemoryTransport):
    """
    A connection on which HTTP/2 was agreed upon.
    """

    negotiatedProtocol = b"h2"


class HTTP2Tests(StaticTestCase):
    """
    The same over HTTP/2.
    """

    def setUp(self) -> None:
        """
        A client that speaks HTTP/2.
        """
        super().setUp()
        self.path = self.write("big", CONTENT)
        self.exchange = Exchange(self.client.site, HTTP2Transport("192.0.2.7"))
        self.http = H2Connection(H2Configuration())
        self.http.initiate_connection()
        self.http.increment_flow_control_window(10 * SIZE)
        self.body = b""
        self.ended = False

    def begin(self) -> None:
        """
        Ask for the large file.
        """
        names = {":method": "GET", ":path": "/big", ":scheme": "https", ":authority": "localhost"}
        self.http.send_headers(1, list(names.items()), end_stream=True)
        self.turn()

    def turn(self) -> None:
        """
        Let both sides read what the other wrote.
        """
        self.exchange.sendRaw(self.http.data_to_send())
        self.clock.pump([0] * 3)
        received = self.exchange.received
        self.exchange.transport.clear()
        for event in self.http.receive_data(received) if received else ():
            if isinstance(event, DataReceived):
                self.body += event.data
                self.http.acknowledge_received_data(event.flow_controlled_length, 1)
            self.ended = self.ended or isinstance(event, StreamEnded)

    def test_whole(self) -> None:
        """
        Every byte arrives, in order, as the windows open, and the file is closed.
        """
        self.begin()
        turns = 0
        while not self.ended and turns < SIZE // 10_000:
            self.turn()
            turns += 1
        self.assertTrue(self.ended)
        self.assertEqual(self.body, CONTENT)
        self.assertEqual(self.openFiles(), [str(self.root)])

    def test_reset(self) -> None:
        """
        A client that wants no more of it leaves nothing open behind.
        """
        self.begin()
        self.assertIn(str(self.path), self.openFiles())
        self.http.reset_stream(1)
        self.turn()
        self.assertEqual(self.openFiles(), [str(self.root)])
        self.assertLess(len(self.body), SIZE)
