"""
Tests for L{aero.rtc.dtls}: two of them, joined in memory.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCDtlsParameters
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.net.turns import Turns
from aero.rtc.dtls import CERTIFICATE_AGE, MAX_FLIGHT, Certificates, DTLSTransport, _datagrams


def record(size: int, kind: int = 22) -> bytes:
    """
    A DTLS record with so many bytes in it.
    """
    return bytes([kind]) + b"\xfe\xfd" + bytes(8) + size.to_bytes(2, "big") + bytes(size)


class FlightTests(SynchronousTestCase):
    """
    How a handshake is cut into datagrams.
    """

    def test_betweenRecords(self) -> None:
        """
        Records stay whole, and as many as fit share a datagram.
        """
        records = [record(500), record(500), record(500), record(2_000), record(10)]
        found = _datagrams(b"".join(records))
        self.assertEqual(b"".join(found), b"".join(records))
        self.assertEqual([len(each) for each in found], [1_026, 513, 2_013, 23])
        self.assertLessEqual(len(found[0]), MAX_FLIGHT)

    def test_noRecord(self) -> None:
        """
        What is none of these records is not cut.
        """
        self.assertEqual(_datagrams(b"\x2f" * 3_000), [b"\x2f" * 3_000])


class CertificateTests(SynchronousTestCase):
    """
    L{Certificates}.
    """

    def test_oneADay(self) -> None:
        """
        All peers of a day share a certificate and its context; the next day has another.
        """
        now = [0.0]
        certificates = Certificates(lambda: now[0])
        first = certificates.current()
        self.assertIs(certificates.current(), first)
        contexts = [first._create_ssl_context(SRTP_PROFILES) for _ in range(2)]
        self.assertIs(*contexts)
        now[0] = CERTIFICATE_AGE + 1
        self.assertIsNot(certificates.current(), first)


class MemoryIce:
    """
    One end of an ICE connection.
    """

    def __init__(self, role: str) -> None:
        self.role = role
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.other: MemoryIce

    async def _recv(self) -> bytes:
        data = await self.queue.get()
        if data is None:
            raise ConnectionError
        return data

    def takeMore(self, datagrams: list[bytes], limit: int) -> None:
        while len(datagrams) < limit and not self.queue.empty():
            data = self.queue.get_nowait()
            assert data is not None
            datagrams.append(data)

    def sendDatagrams(self, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            self.other.queue.put_nowait(datagram)


class Receiver:
    """
    What stands above DTLS.
    """

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []

    def packetsReceived(self, packets: list[bytes]) -> None:
        self.batches.append(packets)


class DTLSTests(SynchronousTestCase):
    """
    L{DTLSTransport}.
    """

    def converse(self, work: Any) -> None:
        """
        Connect two, have something done with them, and end.
        """

        async def run() -> None:
            ends = [MemoryIce("controlled"), MemoryIce("controlling")]
            ends[0].other, ends[1].other = ends[1], ends[0]
            certificates = [Certificates().current() for _ in ends]
            both: list[Any] = []
            for end, certificate in zip(ends, certificates, strict=True):
                ice: Any = end
                both.append(DTLSTransport(ice, [certificate]))
            both[0]._set_role("client")
            both[1]._set_role("server")
            receivers = [Receiver(), Receiver()]
            for dtls, receiver in zip(both, receivers, strict=True):
                dtls._register_data_receiver(receiver)
            shown = [RTCDtlsParameters(fingerprints=c.getFingerprints()) for c in certificates]
            await asyncio.gather(both[0].start(shown[1]), both[1].start(shown[0]))
            assert [dtls.state for dtls in both] == ["connected"] * 2
            await work(both, receivers)
            for dtls in both:
                await dtls.stop()

        asyncio.run(run())

    def test_batch(self) -> None:
        """
        The packets of one turn arrive together.
        """

        async def work(both: Any, receivers: Any) -> None:
            packets = [bytes([number]) * 1_100 for number in range(20)]
            both[0].sendPackets(packets)
            for _ in range(20):
                await asyncio.sleep(0)
            self.assertEqual(receivers[1].batches, [packets])
            both[1].sendPackets([b"back"])
            for _ in range(20):
                await asyncio.sleep(0)
            self.assertEqual(receivers[0].batches, [[b"back"]])

        self.converse(work)

    def test_turns(self) -> None:
        """
        A client that had its share of the time is not read until its turn comes, and then
        everything is; a connection that ends meanwhile waits for nothing.
        """

        async def work(both: Any, receivers: Any) -> None:
            clock = Clock()
            turns = Turns(clock)
            turns.spend("a", 0.005)
            both[1].turn = turns.turn("a")
            both[0].sendPackets([b"first"])  # whoever waits for it began before
            for _ in range(20):
                await asyncio.sleep(0)
            both[0].sendPackets([b"one", b"two"])
            for _ in range(20):
                await asyncio.sleep(0)
            self.assertNotIn([b"one", b"two"], receivers[1].batches)
            for _ in range(5):
                clock.advance(0)
            for _ in range(20):
                await asyncio.sleep(0)
            found = [packet for batch in receivers[1].batches for packet in batch]
            self.assertEqual(found, [b"first", b"one", b"two"])
            turns.spend("a", 0.005)
            both[0].sendPackets([b"three"])
            for _ in range(20):
                await asyncio.sleep(0)
            self.assertTrue(both[1].turn.isWaiting)
            await both[1].stop()
            for _ in range(20):
                await asyncio.sleep(0)
            self.assertFalse(both[1].turn.isWaiting)

        self.converse(work)

    def test_severalRecords(self) -> None:
        """
        Every record of a datagram is read; what is no record is not.
        """

        async def work(both: Any, receivers: Any) -> None:
            queue = both[1].transport.queue
            both[0].sendPackets([b"one", b"two", b"three"])
            joined = b"".join(queue.get_nowait() for _ in range(3))
            for datagram in (b"\x00noise", b"\x80media", b"\x17\xfe\xfdbroken", joined):
                queue.put_nowait(datagram)
            for _ in range(20):
                await asyncio.sleep(0)
            self.assertEqual(receivers[1].batches, [[b"one", b"two", b"three"]])

        self.converse(work)

    def test_closed(self) -> None:
        """
        A close of the other end is noticed at once, after what came before it; and nothing can be
        sent any more.
        """

        async def work(both: Any, receivers: Any) -> None:
            both[0].sendPackets([b"last"])
            await both[0].stop()
            for _ in range(20):
                await asyncio.sleep(0)
            self.assertEqual(receivers[1].batches, [[b"last"]])
            self.assertEqual(both[1].state, "closed")
            both[1].sendPackets([b"too late"])
            self.assertTrue(both[0].transport.queue.empty())

        self.converse(work)
