"""
A good guest beside a bad one: whatever comes out of one tunnel, the other goes on.
"""

from __future__ import annotations

import random
import struct
import threading
import time
from typing import Callable, Iterator

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.explore import examples
from tests.fuzz.mutate import Mutator
from tests.support.guest import KernelGuest
from tests.support.guestrig import MIB, REMOTE, blockDigest, server
from tests.support.l2 import ARP_REQUEST, GUEST_IP, Guest, checksum, ethernet, ipv4, message
from tests.support.metrics import metric
from tests.support.tools import require
from tests.support.websocket import frame

_REMOTE = bytes(int(part) for part in REMOTE.split("."))


def _broken() -> Iterator[bytes]:
    """
    Frames that are wrong in all places.
    """
    known = [frame for _, data in examples("stackframe") for frame in _split(data)]
    mutator = Mutator(7, known)
    while True:
        yield mutator.next()[:1_514]


def _split(data: bytes) -> Iterator[bytes]:
    place = 0
    while place + 2 <= len(data):
        size = int.from_bytes(data[place : place + 2], "big")
        yield data[place + 2 : place + 2 + size]
        place += 2 + size


def _syn(port: int, window: int) -> bytes:
    """
    A SYN from a port to port 80.
    """
    pseudo = GUEST_IP + _REMOTE + struct.pack("!BBH", 0, 6, 20)
    segment = struct.pack("!HHIIBBHHH", port, 80, 7, 0, 0x50, 0x02, window, 0, 0)
    return segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]


def _floodOfSYNs() -> Iterator[bytes]:
    """
    Connections that are opened from everywhere, with windows of nothing, and never used.
    """
    numbers = random.Random(5)
    while True:
        segment = _syn(numbers.randrange(1_024, 65_536), numbers.randrange(3))
        yield ethernet(ipv4(6, segment, _REMOTE))


def _fragments() -> Iterator[bytes]:
    """
    Fragments that overlap, and never make a packet.
    """
    numbers = random.Random(6)
    while True:
        packet = bytearray(ipv4(17, bytes(numbers.randrange(8, 1_400) & ~7), _REMOTE))
        packet[4:6] = struct.pack("!H", numbers.randrange(200))
        packet[6:8] = struct.pack("!H", 0x2000 | numbers.randrange(0x1FFF))
        packet[10:12] = b"\0\0"
        packet[10:12] = struct.pack("!H", checksum(bytes(packet[:20])))
        yield ethernet(bytes(packet))


def _questions() -> Iterator[bytes]:
    """
    Who has the gateway's address?
    """
    while True:
        yield ARP_REQUEST


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
        sent = [0]

        def read() -> None:
            try:
                while not stop.is_set():
                    hostile.receive()
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
        threads[0].join(10)
        self.assertGreater(sent[0], 500)
        deadline = time.monotonic() + 15
        while metric(aero, "l2_sessions_active") > 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(metric(aero, "l2_sessions_active"), 1)
        # The answer wakes up the thread that reads.
        hostile.sendMessage(0x01, b"good bye")

    def test_brokenFrames(self) -> None:
        """
        Beside frames that are malformed in every way.
        """
        self._beside(_broken)

    def test_floodOfSYNs(self) -> None:
        """
        Beside a flood of connections with windows of nothing.
        """
        self._beside(_floodOfSYNs)

    def test_fragments(self) -> None:
        """
        Beside fragments that overlap.
        """
        self._beside(_fragments)

    def test_questions(self) -> None:
        """
        Beside a flood of questions that are all answered.
        """
        self._beside(_questions)
