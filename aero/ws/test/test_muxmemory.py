"""
Tests for the memory of the streams of L{aero.ws.mux}.
"""

from __future__ import annotations

from typing import Any

from aero.net.commons import Commons
from aero.settings.shares import ShareSettings

from .muxfixtures import Case, closed, data, opened


class MemoryTests(Case):
    """
    Streams whose targets are slow.
    """

    def share(self, **shares: Any) -> Commons:
        made = Commons(self.rig.reactor, self.rig.metrics, ShareSettings(**shares))
        self.rig.common["commons"] = made
        self.make(maxStreamBufferBytes=1 << 20)
        return made

    def test_upload(self) -> None:
        """
        A client whose data uses up the memory is not read, loses nothing, and is read again
        once the data is gone. Others are read meanwhile.
        """
        commons = self.share(maxWaitingBytesPerIP=200_000)
        client = self.connect()
        for number in range(1, 4):
            self.send(client, opened(number), data(number, b"x" * 90_000))
        self.assertTrue(client.isPaused)
        self.assertEqual(commons.waiting.used, 270_000)
        other = self.connect(peer="203.0.113.9")
        self.send(other, opened(1), data(1, b"y" * 90_000))
        self.assertFalse(other.isPaused)
        targets = [self.rig.acceptTarget(index) for index in range(3)]
        self.assertFalse(client.isPaused)
        self.assertEqual([target.take() for target in targets], [b"x" * 90_000] * 3)
        self.assertEqual(commons.waiting.used, 90_000)

    def test_givenBack(self) -> None:
        """
        Bytes of a client that has gone are counted until the target has them, and no longer; a
        stream that the client resets counts nothing.
        """
        commons = self.share(maxWaitingBytesPerIP=200_000)
        waiting = {"lose": 90_000, "reset": 0, "violation": 90_000}
        for index, (end, size) in enumerate(waiting.items()):
            client = self.connect()
            self.send(client, opened(1), data(1, b"x" * 90_000))
            if end == "lose":
                client.lose()
            elif end == "reset":
                self.send(client, closed(1, 2))
            else:
                client.sendBytes(b"\xff\xff")
            self.assertEqual(commons.waiting.used, size, end)
            if size:
                self.assertEqual(self.rig.acceptTarget(index).take(), b"x" * size)
            self.assertEqual(commons.waiting.used, 0, end)

    def test_download(self) -> None:
        """
        What targets send to a client that reads nothing is counted as well.
        """
        commons = self.share(maxWaitingBytesPerIP=200_000)
        client = self.connect()
        self.send(client, opened(1))
        target = self.rig.acceptTarget()
        client.block()
        for _ in range(40):
            if not target.isPaused:
                target.send(b"z" * 10_000)
        self.assertGreater(commons.waiting.used, 100_000)
        client.unblock()
        self.rig.reactor.advance(0)
        self.assertEqual(commons.waiting.used, 0)
