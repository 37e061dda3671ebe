"""
Tests for L{aero.net.happyeyeballs}.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.net.errorqueue import SocketError
from aero.net.happyeyeballs import DialFailed, Race, classify, interleave


class InterleaveTests(SynchronousTestCase):
    """
    RFC 8305 section 4.
    """

    def test_order(self) -> None:
        """
        Families take turns from the first one on; the rest follows in order.
        """
        for given, expected in (
            ([], []),
            (["1.1.1.1"], ["1.1.1.1"]),
            (["::1", "::2", "::3", "1.1.1.1"], ["::1", "1.1.1.1", "::2", "::3"]),
            (["1.1.1.1", "2.2.2.2", "::1", "::2"], ["1.1.1.1", "::1", "2.2.2.2", "::2"]),
        ):
            self.assertEqual(interleave(given), expected)


class ClassifyTests(SynchronousTestCase):
    """
    What an operating system's error means for a client.
    """

    def test_reasons(self) -> None:
        """
        Each kind of error has its reason.
        """
        for problem, reason in (
            (error.ConnectionRefusedError(errno.ECONNREFUSED, ""), "refused"),
            (error.NoRouteError(errno.EHOSTUNREACH, ""), "unreachable"),
            (error.ConnectError(errno.ENETUNREACH, ""), "unreachable"),
            (error.TCPTimedOutError(errno.ETIMEDOUT, ""), "timeout"),
            (error.TimeoutError(), "timeout"),
            (error.ConnectBindError(errno.EMFILE, ""), "local"),
            (error.ConnectError(), "error"),
            (error.UserError(), "error"),
        ):
            self.assertEqual(classify(Failure(problem)), reason)


class _Queue:
    """
    A socket with one error in its queue.
    """

    def __init__(self) -> None:
        self.options: list[tuple[int, int, int]] = []
        entry = struct.pack("=IBBBBII", errno.EHOSTUNREACH, 2, 3, 13, 0, 0, 0)
        self._entries = [(b"", [(socket.IPPROTO_IP, 11, entry)], 0, ("192.0.2.1", 80))]

    def setsockopt(self, *option: int) -> None:
        self.options.append(option)  # type: ignore[arg-type]

    def recvmsg(self, size: int, extra: int, flags: int) -> Any:
        if not self._entries:
            raise BlockingIOError
        return self._entries.pop()


class ReportTests(SynchronousTestCase):
    """
    ICMP errors about attempts.
    """

    def attempt(self, reportErrors: bool = True) -> None:
        """
        Begin with one.
        """
        reactor: Any = MemoryReactorClock()
        self.lost: list[Exception] = []
        self.socket = _Queue()
        race = Race(reactor, ["192.0.2.1"], 80, Protocol(), 9.0, reportErrors=reportErrors)
        self.done = race.done
        self.factory = reactor.tcpClients[0][2]
        attempt = self

        class Transport:
            socket = attempt.socket

            def failIfNotConnected(self, problem: Exception) -> None:
                attempt.lost.append(problem)
                attempt.factory.clientConnectionFailed(None, Failure(problem))

        self.connector: Any = reactor.connectors[0]
        self.connector.transport = Transport()
        self.factory.startedConnecting(self.connector)

    def test_failed(self) -> None:
        """
        An attempt that fails has the error of the queue, which is read before the socket is
        closed.
        """
        self.attempt()
        problem = error.NoRouteError(errno.EHOSTUNREACH, "")
        self.connector.transport.failIfNotConnected(problem)
        failed = self.failureResultOf(self.done, DialFailed).value
        self.assertEqual((failed.reason, failed.error.told()), ("unreachable", (3, 13)))
        self.assertEqual(self.lost, [problem])

    def test_connected(self) -> None:
        """
        A connection that is made keeps no errors and has its transport's own methods.
        """
        self.attempt()
        made = self.factory.buildProtocol(None)
        made.makeConnection(StringTransport())
        self.assertEqual([value for _, _, value in self.socket.options], [True, False])
        self.assertEqual(vars(self.connector.transport), {})
        self.successResultOf(self.done)

    def test_notWanted(self) -> None:
        """
        Where nobody wants the errors, the number of the failure is there.
        """
        self.attempt(reportErrors=False)
        self.assertEqual(self.socket.options, [])
        problem = error.ConnectError(errno.EACCES, "")
        self.connector.transport.failIfNotConnected(problem)
        failed = self.failureResultOf(self.done, DialFailed).value
        self.assertEqual((failed.reason, failed.error), ("error", SocketError(errno.EACCES)))


class RaceTests(SynchronousTestCase):
    """
    Several addresses, one connection.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.protocol = Protocol()

    def race(self, *addresses: str, timeout: float = 10.0) -> Race:
        return Race(self.reactor, addresses, 80, self.protocol, timeout)

    def tried(self) -> list[str]:
        return [client[0] for client in self.reactor.tcpClients]

    def failAttempt(self, index: int = -1, problem: Exception | None = None) -> None:
        reason = Failure(problem or error.ConnectionRefusedError())
        self.reactor.tcpClients[index][2].clientConnectionFailed(
            self.reactor.connectors[index], reason
        )

    def connect(self, index: int = -1) -> Any:
        made = self.reactor.tcpClients[index][2].buildProtocol(None)
        if made is not None:
            made.makeConnection(StringTransport())
        return made

    def test_first(self) -> None:
        """
        When the first address answers, no other is tried, and no timer stays.
        """
        race = self.race("192.0.2.1", "2001:db8::1")
        self.assertIs(self.connect(), self.protocol)
        self.assertIs(self.successResultOf(race.done), self.protocol)
        self.assertTrue(self.protocol.connected)
        self.reactor.advance(10)
        self.assertEqual(self.tried(), ["192.0.2.1"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stagger(self) -> None:
        """
        After a quarter of a second the other family is tried beside the first; whichever
        answers first wins, and the other attempt is ended.
        """
        race = self.race("2001:db8::1", "2001:db8::2", "192.0.2.1")
        self.reactor.advance(0.24)
        self.assertEqual(self.tried(), ["2001:db8::1"])
        self.reactor.advance(0.01)
        self.assertEqual(self.tried(), ["2001:db8::1", "192.0.2.1"])
        self.connect(1)
        self.successResultOf(race.done)
        self.assertTrue(self.reactor.connectors[0].stoppedConnecting)
        self.assertFalse(self.reactor.connectors[1].stoppedConnecting)
        self.assertIsNone(self.connect(0))

    def test_failureHurries(self) -> None:
        """
        An address that fails is followed by the next at once.
        """
        race = self.race("192.0.2.1", "192.0.2.2")
        self.failAttempt()
        self.assertEqual(self.tried(), ["192.0.2.1", "192.0.2.2"])
        self.connect()
        self.successResultOf(race.done)

    def test_allFail(self) -> None:
        """
        When no address works, the most telling reason is given.
        """
        race = self.race("2001:db8::1", "192.0.2.1")
        self.failAttempt(problem=error.NoRouteError())
        self.failAttempt(problem=error.ConnectionRefusedError())
        failure: Any = self.failureResultOf(race.done, DialFailed)
        self.assertEqual(
            (failure.value.reason, str(failure.value)), ("refused", "connection refused")
        )
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_timeout(self) -> None:
        """
        The timeout is for all addresses together, and ends every attempt.
        """
        race = self.race("192.0.2.1", "192.0.2.2", timeout=1.0)
        self.reactor.advance(0.25)
        self.reactor.advance(0.75)
        failure: Any = self.failureResultOf(race.done, DialFailed)
        self.assertEqual(failure.value.reason, "timeout")
        self.assertEqual([c.stoppedConnecting for c in self.reactor.connectors], [True, True])

    def test_cancel(self) -> None:
        """
        Cancelling ends every attempt and begins no other.
        """
        race = self.race("192.0.2.1", "192.0.2.2")
        race.done.cancel()
        self.failureResultOf(race.done, CancelledError)
        self.assertTrue(self.reactor.connectors[0].stoppedConnecting)
        self.failAttempt(problem=error.UserError())
        self.reactor.advance(10)
        self.assertEqual(self.tried(), ["192.0.2.1"])

    def test_bounded(self) -> None:
        """
        A name with hundreds of addresses is tried at eight of them.
        """
        race = self.race(*(f"192.0.2.{index}" for index in range(1, 200)))
        for _ in range(8):
            self.failAttempt()
        self.failureResultOf(race.done, DialFailed)
        self.assertEqual(len(self.tried()), 8)

    def test_failsWhileBeginning(self) -> None:
        """
        Attempts that fail while they are being made, as without a route, are no recursion
        into confusion: each address is tried once and the race is lost.
        """
        connect = self.reactor.connectTCP

        def connectTCP(host: str, port: int, factory: Any, **options: Any) -> Any:
            connector = connect(host, port, factory, **options)
            factory.clientConnectionFailed(connector, Failure(error.NoRouteError()))
            return connector

        self.reactor.connectTCP = connectTCP
        race = self.race("192.0.2.1", "2001:db8::1", "192.0.2.2")
        failure: Any = self.failureResultOf(race.done, DialFailed)
        self.assertEqual(failure.value.reason, "unreachable")
        self.assertEqual(self.tried(), ["192.0.2.1", "2001:db8::1", "192.0.2.2"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
