"""
A good guest beside a bad one: whatever comes out of one tunnel, the other goes on.
"""

from __future__ import annotations

import select
import threading
import time
from typing import Callable, Iterator

from twisted.trial.unittest import SynchronousTestCase

from tests.support.guest import KernelGuest
from tests.support.guesthostile import brokenFrames, floodOfSYNs, fragments, questions
from tests.support.guestrig import MIB, REMOTE, blockDigest, server
from tests.support.l2 import Guest, message
from tests.support.metrics import metric
from tests.support.tools import require
from tests.support.websocket import frame

#: Seconds that the hostile side reads for, and then does not: longer than an answer that has no
#: place may wait.
READING, NOT_READING = 0.3, 1.5


class HostileTests(SynchronousTestCase):
    """
    One hostile tunnel.
    """

    def _beside(self, frames: Callable[[], Iterator[bytes]]) -> None:
        """
        Download while another tunnel sends as fast as it can, and reads nothing at times.
        """
        require("nsenter")
        aero = server()
        hostile = Guest(aero)
        stop = threading.Event()
        sent, pauses = [0], [0]

        def read() -> None:
            connection = hostile.connection
            try:
                while not stop.is_set():
                    begin = time.monotonic()
                    while time.monotonic() < begin + READING:
                        if connection.pending or select.select([connection.socket], [], [], 0.1)[0]:
                            hostile.receive()
                    pauses[0] += 1
                    stop.wait(NOT_READING)
            except (OSError, AssertionError):
                return

        def flood() -> None:
            source = frames()
            try:
                while not stop.is_set():
                    batch = [frame(message(0, next(source))) for _ in range(50)]
                    hostile.connection.send(b"".join(batch))
                    sent[0] += len(batch)
                    time.sleep(0.001)
            except (OSError, AssertionError):
                return

        threads = [threading.Thread(target=work, daemon=True) for work in (flood, read)]

        def end() -> None:
            stop.set()
            for thread in threads:
                if thread.is_alive():
                    thread.join(10)
            hostile.connection.close()

        self.addCleanup(end)
        with KernelGuest(aero) as guest:
            guest.configure()
            for thread in threads:
                thread.start()
            for _ in range(3):
                pipe = f"curl -sS -m 100 http://{REMOTE}/{8 * MIB} | sha256sum"
                shown = guest.run("sh", "-c", pipe, timeout=120)
                self.assertEqual(shown.split()[0], blockDigest(8 * MIB))
            guest.run("ping", "-c", "2", "-W", "5", "10.0.2.2")
        stop.set()
        for thread in threads:
            thread.join(10)
        self.assertGreater(sent[0], 500)
        self.assertGreater(pauses[0], 0)
        deadline = time.monotonic() + 15
        while metric(aero, "l2_sessions_active") > 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(metric(aero, "l2_sessions_active"), 1)

    def test_brokenFrames(self) -> None:
        """
        Beside frames that are malformed in every way.
        """
        self._beside(brokenFrames)

    def test_floodOfSYNs(self) -> None:
        """
        Beside a flood of connections with windows of nothing.
        """
        self._beside(floodOfSYNs)

    def test_fragments(self) -> None:
        """
        Beside fragments that overlap.
        """
        self._beside(fragments)

    def test_questions(self) -> None:
        """
        Beside a flood of questions that are all answered.
        """
        self._beside(questions)
