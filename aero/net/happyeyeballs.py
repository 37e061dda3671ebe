# -*- test-case-name: aero.net.test.test_happyeyeballs -*-
"""
Connect to the first of several addresses that answers (RFC 8305).

The families take turns, an attempt that does not answer at once is overtaken by the next
after a short while, and one that fails makes room for the next immediately. Twisted's own
C{HostnameEndpoint} does the like for a name that it resolves itself; here the addresses are
given, because they are the ones that the policy has approved, and the winner's protocol is
the user's own, without a wrapper in its data path.
"""

from __future__ import annotations

import errno
from typing import Any, Iterable, Sequence

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConnector, IDelayedCall, IProtocol
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from aero.errors import AeroError

from .errorqueue import SocketError, readErrors, reportErrors

#: Seconds before the next address is tried beside the current one (RFC 8305 section 8).
STAGGER = 0.25
#: Addresses tried at most: a name with hundreds must not make this server flood them.
MAX_ATTEMPTS = 8


class DialFailed(AeroError):
    """
    No address of a target could be connected to.

    @ivar reason: C{refused}, C{unreachable}, C{timeout}, C{local} (no file descriptor or
        local port was left here) or C{error}.
    @ivar error: The error of the last attempt that failed, where it has one: what an ICMP
        message said, if those are wanted, or the C{errno}.
    """

    def __init__(self, reason: str, error: SocketError | None = None) -> None:
        super().__init__(DIAL_MESSAGES[reason])
        self.reason = reason
        self.error = error


#: The reasons, the most telling first, and the sentence for each.
DIAL_MESSAGES = {
    "refused": "connection refused",
    "unreachable": "target unreachable",
    "timeout": "connect timeout",
    "local": "out of local resources",
    "error": "connection failed",
}
_TELLING = tuple(DIAL_MESSAGES)

_UNREACHABLE = frozenset(
    (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EAFNOSUPPORT)
)
_LOCAL = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))


def classify(reason: Failure) -> str:
    """
    The L{DialFailed.reason} that a failed attempt stands for.
    """
    problem = reason.value
    if isinstance(problem, error.ConnectionRefusedError):
        return "refused"
    if isinstance(problem, (error.TimeoutError, error.TCPTimedOutError)):
        return "timeout"
    number = _numberOf(problem)
    if isinstance(problem, error.NoRouteError) or number in _UNREACHABLE:
        return "unreachable"
    if number in _LOCAL:
        return "local"
    return "error"


def _numberOf(problem: object) -> Any:
    """
    The C{errno} of a failed attempt, where it has one.
    """
    number = getattr(problem, "osError", None)
    if number is None and isinstance(problem, Exception) and problem.args:
        number = problem.args[0]
    return number


def interleave(addresses: Iterable[str]) -> list[str]:
    """
    Let the families take turns, beginning with that of the first address and otherwise in
    order (RFC 8305 section 4).
    """
    given = list(addresses)
    if not given:
        return []
    leading = ":" in given[0]
    first = [address for address in given if (":" in address) is leading]
    second = [address for address in given if (":" in address) is not leading]
    turns = [pair for pairs in zip(first, second) for pair in pairs]  # noqa: B905 - cut on purpose
    common = min(len(first), len(second))
    return turns + first[common:] + second[common:]


class Race:
    """
    One connection being made.

    @ivar done: Fires with the connected protocol, after its C{connectionMade}; fails with
        L{DialFailed}; cancelling it closes whatever is under way.
    """

    def __init__(
        self,
        reactor: Any,
        addresses: Sequence[str],
        port: int,
        protocol: IProtocol,
        timeout: float,
        reportErrors: bool = False,
    ) -> None:
        """
        @param addresses: Where to connect to, best first.
        @param protocol: What the winner is connected to.
        @param timeout: Seconds for all of it.
        @param reportErrors: Whether L{DialFailed.error} is to have the ICMP error.
        """
        self.reportErrors = reportErrors
        self.done: Deferred[IProtocol] = Deferred(lambda done: self._stop())
        self.protocol = protocol
        self._reactor = reactor
        self._addresses = interleave(addresses)[:MAX_ATTEMPTS]
        self._port = port
        self._attempts: set[_Attempt] = set()
        self._failures: list[str] = []
        self._error: SocketError | None = None
        self._over = False
        self._next: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = reactor.callLater(timeout, self._timedOut)
        self._startNext()

    def won(self) -> bool:
        """
        An attempt is connected; every other one ends.

        @return: Whether it is the first to be.
        """
        if self._over:
            return False
        self._stop()
        return True

    def failed(self, attempt: _Attempt, reason: Failure) -> None:
        """
        An attempt ended without a connection.
        """
        self._attempts.discard(attempt)
        if self._over:
            return
        self._failures.append(classify(reason))
        number = _numberOf(reason.value)
        if attempt.error is not None or isinstance(number, int):
            self._error = attempt.error or SocketError(number)
        if self._addresses:
            self._startNext()
        elif not self._attempts:
            self._lose()

    def _startNext(self) -> None:
        """
        Begin with the next address, and set the time for the one after it. An attempt may
        fail while it is being made, which calls this again from within.
        """
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None
        address = self._addresses.pop(0)
        attempt = _Attempt(self)
        self._attempts.add(attempt)
        more = bool(self._addresses)
        # The timeout is that of the race, not of the attempt.
        self._reactor.connectTCP(address, self._port, attempt, timeout=None)
        if more and self._addresses and not self._over and self._next is None:
            self._next = self._reactor.callLater(STAGGER, self._startNext)

    def _timedOut(self) -> None:
        self._failures.append("timeout")
        self._lose()

    def _lose(self) -> None:
        self._stop()
        self.done.errback(DialFailed(min(self._failures, key=_TELLING.index), self._error))

    def _stop(self) -> None:
        self._over = True
        for call in (self._next, self._deadline):
            if call is not None and call.active():
                call.cancel()
        attempts, self._attempts = self._attempts, set()
        for attempt in attempts:
            attempt.stop()


class _Attempt(ClientFactory):
    """
    One address.

    @ivar error: What an ICMP message said about the attempt, if one came and is wanted.
    """

    noisy = False

    def __init__(self, race: Race) -> None:
        self._race = race
        self._connector: IConnector | None = None
        self._made = False
        self._transport: Any = None
        self.error: SocketError | None = None

    def startedConnecting(self, connector: IConnector) -> None:
        self._connector = connector
        transport: Any = getattr(connector, "transport", None)
        if not self._race.reportErrors or not hasattr(transport, "failIfNotConnected"):
            return
        # The socket exists and does not connect before the next turn of the reactor.
        reportErrors(transport.socket)
        transport.failIfNotConnected = self._failIfNotConnected
        self._transport = transport

    def _failIfNotConnected(self, problem: Exception) -> None:
        """
        The transport's method, which closes the socket before the factory is called, with the
        queue of errors read first.
        """
        transport, self._transport = self._transport, None
        del transport.failIfNotConnected
        for reported in readErrors(getattr(transport, "socket", None), MAX_ATTEMPTS):
            if reported is not None:
                self.error = reported.error
        transport.failIfNotConnected(problem)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        self._made = True
        if self._transport is not None:
            # An established connection survives ICMP errors (RFC 5927 section 5.2).
            reportErrors(self._transport.socket, on=False)
            del self._transport.failIfNotConnected
            self._transport = None
        race = self._race
        if not race.won():
            return None  # the reactor then closes the connection
        protocol: Any = race.protocol
        connect = protocol.makeConnection

        def makeConnection(transport: Any) -> None:
            # There is no other moment at which the protocol is known to be connected.
            del protocol.makeConnection
            connect(transport)
            race.done.callback(protocol)

        protocol.makeConnection = makeConnection
        return protocol

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._race.failed(self, reason)

    def stop(self) -> None:
        """
        Give up, unless the connection is there already.
        """
        if not self._made and self._connector is not None:
            self._connector.stopConnecting()
