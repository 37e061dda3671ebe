"""
Tests for L{aero.rtc.ice} and L{aero.rtc.sockets}, as far as they need no network.
"""

from __future__ import annotations

import asyncio
import errno
from types import SimpleNamespace
from typing import Any

from aioice import Candidate as Local
from aioice import stun
from twisted.trial.unittest import SynchronousTestCase

from aero.policy.icechecks import CheckLimits, IceChecks, SessionChecks
from aero.policy.reach import AddressPolicy, OwnAddresses
from aero.rtc import sockets
from aero.rtc.ice import MAX_QUEUED, MAX_QUEUED_EARLY, MAX_REMOTE, IceConnection, IceOptions
from aero.rtc.sockets import CheckingProtocol
from aero.wire.sdp import Candidate


def remote(**changes: Any) -> Candidate:
    """
    A candidate of a peer.
    """
    usual = Candidate("1", 1, "udp", 5, "192.0.2.1", 5_000, "host")
    return usual._replace(**changes)


class IceTests(SynchronousTestCase):
    """
    L{IceConnection}.
    """

    def make(self, **options: Any) -> IceConnection:
        """
        One without sockets.
        """
        return IceConnection(IceOptions(**options), lambda candidate: None, self.makeChecks())

    def makeChecks(
        self, *, allowPrivate: bool = True, own: OwnAddresses | None = None, **limits: Any
    ) -> SessionChecks:
        """
        What a session may check.
        """
        self.refused: list[str] = []
        shared = IceChecks(
            AddressPolicy(allowPrivate=allowPrivate, own=own),
            CheckLimits(**{"candidates": 1_000, **limits}),
            now=lambda: 0.0,
            refused=self.refused.append,
        )
        return shared.session("192.0.2.7")

    def test_policy(self) -> None:
        """
        Candidates that a client tells pass the policy about addresses, however they are written.
        """
        own = OwnAddresses()
        own.learn(["93.184.216.34"])
        ice = self.make()
        ice.checks = self.makeChecks(allowPrivate=False, own=own)
        refused = (
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "168.63.129.16",
            "93.184.216.34",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:5db8:d822",
            "fe80::1",
            "2606:4700::5efe:10.0.0.1",
        )
        for address in refused:
            for kind in ("host", "srflx", "relay"):
                ice.addRemote(remote(address=address, kind=kind))
        self.assertEqual(ice.remote_candidates, [])
        self.assertEqual(self.refused, ["policy"] * (3 * len(refused)))
        ice.addRemote(remote(address="93.184.216.35"))
        self.assertEqual([each.host for each in ice.remote_candidates], ["93.184.216.35"])

    def test_fewCandidates(self) -> None:
        """
        A session may tell few candidates, those that the policy refuses included.
        """
        ice = self.make()
        ice.checks = self.makeChecks(allowPrivate=False, candidates=3)
        for address in ("127.0.0.1", "8.8.8.8", "8.8.4.4", "1.1.1.1"):
            ice.addRemote(remote(address=address))
        self.assertEqual([each.host for each in ice.remote_candidates], ["8.8.8.8", "8.8.4.4"])
        self.assertEqual(self.refused, ["policy", "candidates"])

    def test_fewChecks(self) -> None:
        """
        Checks to an address that does not answer end, over all its ports. Answers to the peer's
        checks and requests to a STUN server are not counted.
        """
        ice = self.make()
        ice.checks = self.makeChecks(perAddress=5)
        sent: list[Any] = []
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        asyncio.set_event_loop(loop)
        self.addCleanup(asyncio.set_event_loop, None)
        protocol = CheckingProtocol(ice)
        protocol.transport = SimpleNamespace(sendto=lambda data, to: sent.append(to))  # type: ignore[assignment]
        check = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        check.attributes["USERNAME"] = "a:b"
        for port in range(1, 100):
            protocol.send_stun(check, ("8.8.8.8", port))
        self.assertEqual(sent, [("8.8.8.8", port) for port in range(1, 6)])
        self.assertEqual(set(self.refused), {"address"})
        sent.clear()
        protocol.send_stun(stun.Message(stun.Method.BINDING, stun.Class.REQUEST), ("8.8.8.8", 9))
        protocol.send_stun(stun.Message(stun.Method.BINDING, stun.Class.RESPONSE), ("8.8.8.8", 9))
        self.assertEqual(len(sent), 2)

    def test_remoteCandidates(self) -> None:
        """
        Those that cannot be used are passed over: names, other transports and components, strange
        kinds and addresses.
        """
        ice = self.make()
        for candidate in (
            remote(address="4ab0e0ab.local"),
            remote(transport="tcp"),
            remote(component=2),
            remote(kind="prflx"),
            remote(port=0),
            remote(address="224.0.0.1"),
            remote(address="0.0.0.0"),
            remote(address="not an address"),
        ):
            ice.addRemote(candidate)
        self.assertEqual(ice.remote_candidates, [])
        ice.addRemote(remote())
        ice.addRemote(remote())
        ice.addRemote(remote(address="2001:DB8::1"))
        self.assertEqual(
            [(each.host, each.port) for each in ice.remote_candidates],
            [("192.0.2.1", 5_000), ("2001:db8::1", 5_000)],
        )

    def test_floodOfCandidates(self) -> None:
        """
        Of many candidates few are kept.
        """
        ice = self.make()
        for port in range(1, 1_000):
            ice.addRemote(remote(port=port))
        self.assertEqual(len(ice.remote_candidates), MAX_REMOTE)

    def test_floodOfChecks(self) -> None:
        """
        So it is where they are found by the checks that come from them.
        """
        ice = self.make()
        for port in range(1, 200):
            ice.addRemote(remote(port=port))
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        protocol: Any = object()
        ice.check_incoming(request, ("192.0.2.9", 9), protocol)
        self.assertEqual(len(ice.remote_candidates), MAX_REMOTE)

    def test_datagrams(self) -> None:
        """
        Only those of known addresses are kept, and of these few before there is a connection.
        """
        ice = self.make()
        ice.addRemote(remote())
        for _ in range(100):
            ice.datagramReceived(b"x", ("192.0.2.2", 5_000))
            ice.datagramReceived(b"x", ("192.0.2.1", 5_001))
        self.assertTrue(ice._queue.empty())
        for _ in range(100):
            ice.datagramReceived(b"x", ("192.0.2.1", 5_000))
        self.assertEqual(ice._queue.qsize(), MAX_QUEUED_EARLY)
        pair: Any = object()
        ice._nominated[1] = pair
        for _ in range(2_000):
            ice.datagramReceived(b"x", ("192.0.2.1", 5_000))
        self.assertEqual(ice._queue.qsize(), MAX_QUEUED)

    def test_takeMore(self) -> None:
        """
        A batch is what is there, up to its length and up to the end.
        """
        ice = self.make()
        ice.addRemote(remote())
        for number in range(10):
            ice.datagramReceived(bytes([number]), ("192.0.2.1", 5_000))
        taken = [b"first"]
        ice.takeMore(taken, 4)
        self.assertEqual(taken, [b"first", b"\0", b"\1", b"\2"])
        ice._queue.put_nowait(None)
        ice.takeMore(taken, 64)
        self.assertEqual(len(taken), 11)
        self.assertIsNone(ice._queue.get_nowait())

    def test_nowhereToSend(self) -> None:
        """
        Before there is a way to the peer, what is sent is dropped.
        """
        self.make().sendDatagrams([b"x"])

    def offered(self, host: str, **options: Any) -> list[tuple[str, str, str | None]]:
        """
        What is told of a local address: address, kind, and where it was derived from.
        """
        local = Local("1", 1, "udp", 5, host, 99, "host")
        return [
            (each.host, each.type, each.related_address)
            for each in self.make(**options)._offered(local)
        ]

    def test_natAsHost(self) -> None:
        """
        A public address stands in the place of the local one of its family.
        """
        options = {"publicAddresses": ("203.0.113.1", "2001:db8::1")}
        self.assertEqual(self.offered("10.0.0.1", **options), [("203.0.113.1", "host", None)])
        self.assertEqual(self.offered("fd00::1", **options), [("2001:db8::1", "host", None)])
        self.assertEqual(
            self.offered("fd00::1", publicAddresses=("203.0.113.1",)), [("fd00::1", "host", None)]
        )

    def test_natBeside(self) -> None:
        """
        Or beside it, and says what it was derived from.
        """
        found = self.offered("10.0.0.1", publicAddresses=("203.0.113.1",), publicAsHost=False)
        self.assertEqual(found, [("10.0.0.1", "host", None), ("203.0.113.1", "srflx", "10.0.0.1")])


class FakeSocket:
    """
    A socket that can be bound to some ports.
    """

    def __init__(self, free: set[int]) -> None:
        self.free = free
        self.tried: list[int] = []
        self.isClosed = False

    def __call__(self, family: int, kind: int) -> FakeSocket:
        return self

    def setblocking(self, flag: bool) -> None:
        pass

    def setsockopt(self, *arguments: object) -> None:
        pass

    def bind(self, address: tuple[str, int]) -> None:
        self.tried.append(address[1])
        if address[1] not in self.free:
            raise OSError(errno.EADDRINUSE, "taken")

    def close(self) -> None:
        self.isClosed = True


class PortTests(SynchronousTestCase):
    """
    L{sockets.bindSocket}.
    """

    def bind(self, free: set[int], ports: tuple[int, int] | None) -> tuple[Any, FakeSocket]:
        """
        Bind where only some ports are free.
        """
        fake: Any = FakeSocket(free)
        return sockets.bindSocket("192.0.2.1", ports, open=fake), fake

    def test_anyPort(self) -> None:
        """
        Without a range the kernel chooses.
        """
        found, fake = self.bind({0}, None)
        self.assertIs(found, fake)
        self.assertEqual(fake.tried, [0])

    def test_insideTheRange(self) -> None:
        """
        Only ports of the range are tried, until one is free.
        """
        found, fake = self.bind({40_017}, (40_000, 40_099))
        self.assertIs(found, fake)
        self.assertTrue(all(40_000 <= port <= 40_099 for port in fake.tried))
        self.assertEqual(fake.tried[-1], 40_017)

    def test_nothingFree(self) -> None:
        """
        Where none is, the socket is closed; and not every port of a large range is tried.
        """
        found, fake = self.bind(set(), (40_000, 40_099))
        self.assertIsNone(found)
        self.assertEqual((sorted(fake.tried), fake.isClosed), (list(range(40_000, 40_100)), True))
        _, fake = self.bind(set(), (1_024, 65_535))
        self.assertEqual(len(fake.tried), sockets.MAX_ATTEMPTS)
