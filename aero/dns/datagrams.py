# -*- test-case-name: aero.dns.test.test_datagrams -*-
"""
One datagram to an upstream, and the wait for its answer.

Every query has a socket of its own, so that the system gives it a port by chance, and the
socket is connected, so that the system drops what comes from elsewhere (RFC 5452 sections
9.1 and 9.2). Twisted's own UDP port is not used because it logs twice for each one that is
opened.
"""

from __future__ import annotations

import socket
from typing import Any, Callable, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.wire.dns import MAX_MESSAGE
from aero.wire.dnsanswer import mismatch

from .exchange import ExchangeFailed

#: Datagrams that do not fit before the question is asked over TCP instead: somebody is
#: guessing, or the upstream is broken.
MAX_MISMATCHES: Final = 64
#: Seconds to wait for a better answer after one that fits but for the mixture of cases.
CASE_GRACE: Final = 0.1
#: Datagrams read before other sockets get their turn.
_READS: Final = 16


class DatagramSocket(Protocol):
    """
    The part of a socket that is used.
    """

    def fileno(self) -> int: ...
    def send(self, data: bytes, /) -> int: ...
    def recvfrom(self, size: int, /) -> tuple[bytes, Any]: ...
    def getpeername(self) -> Any: ...
    def close(self) -> None: ...


#: Opens a socket that is connected to an address and a port.
OpenSocket = Callable[[str, int], DatagramSocket]


def openSocket(address: str, port: int) -> DatagramSocket:
    """
    A connected UDP socket on a port chosen by the system.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.connect((address, port))
    except OSError:
        made.close()
        raise
    return made


@implementer(IReadDescriptor)
class DatagramQuery:
    """
    One query under way.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        ident: int,
        question: bytes,
        maxSize: int,
        mismatched: Callable[[str], None],
    ) -> None:
        """
        @param question: The question as it is sent, in its mixture of cases.
        @param maxSize: Bytes of an answer; a larger one is a failure.
        @param mismatched: Called with a word for every datagram that is dropped.
        """
        self._reactor = reactor
        self._ident = ident
        self._question = question
        self._maxSize = maxSize
        self._mismatched = mismatched
        self._socket: DatagramSocket | None = None
        self._peer: Any = None
        self._drops = 0
        self._grace: IDelayedCall | None = None
        self._answer: Deferred[bytes] = Deferred(lambda _: self._close())

    def send(self, made: DatagramSocket, message: bytes) -> Deferred[bytes]:
        """
        Send the query and wait.

        @param made: A connected socket; it is closed when the wait is over.
        @return: A message that is an answer to the question, not yet looked into, or
            L{ExchangeFailed}: C{case} when every fitting answer had lost the mixture of
            cases, C{flood} when too many did not fit.
        """
        self._socket = made
        try:
            self._peer = made.getpeername()[:2]
            made.send(message)
        except OSError as error:
            self._fail("network", str(error))
        else:
            self._reactor.addReader(self)
        return self._answer

    def fileno(self) -> int:
        """
        For the reactor.
        """
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """
        For the reactor.
        """
        return "DNS query"

    def doRead(self) -> None:
        """
        Datagrams came, or the news that nobody listens.
        """
        for _ in range(_READS):
            if self._socket is None:
                return
            try:
                data, peer = self._socket.recvfrom(MAX_MESSAGE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._fail("network", str(error))
                return
            self.datagramReceived(data, peer[:2])

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor found an error on the socket, or stops.
        """
        self._fail("network", reason.getErrorMessage())

    def datagramReceived(self, data: bytes, peer: tuple[str, int]) -> None:
        """
        Take a datagram if it answers the question, or drop it and wait on.
        """
        wrong = mismatch(data, self._ident, self._question) if peer == self._peer else "source"
        if wrong is None:
            if len(data) > self._maxSize:
                self._fail("size")
                return
            self._close()
            self._answer.callback(data)
            return
        self._mismatched(wrong)
        self._drops += 1
        if self._drops >= MAX_MISMATCHES:
            self._fail("flood")
        elif wrong == "case" and self._grace is None:
            self._grace = self._reactor.callLater(CASE_GRACE, self._fail, "case")

    def _fail(self, reason: str, message: str = "") -> None:
        self._close()
        if not self._answer.called:
            self._answer.errback(ExchangeFailed(reason, message))

    def _close(self) -> None:
        if self._grace is not None and self._grace.active():
            self._grace.cancel()
        self._grace = None
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None
