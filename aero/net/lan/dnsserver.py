# -*- test-case-name: aero.net.lan.test.test_dns -*-
"""
DNS for a guest over UDP and over TCP (RFC 1035 section 4.2, RFC 7766).
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ..pump import IdleTimer
from .dns import GuestDNS

#: The port of DNS.
PORT: Final = 53
#: Seconds that a TCP connection may be silent.
IDLE: Final = 30.0
#: Questions of one connection under way, after which it is not read.
MAX_UNDER_WAY: Final = 32


class DNSDatagrams(DatagramProtocol):
    """
    DNS over UDP.
    """

    noisy = False
    transport: Any

    def __init__(self, dns: GuestDNS) -> None:
        self._dns = dns

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """
        The guest asks something.
        """
        answer = self._dns.ask(datagram, viaTCP=False)
        if answer is not None:
            answer.addCallback(self.transport.write, addr)


@implementer(IHalfCloseableProtocol)
class DNSStream(Protocol):
    """
    DNS over one TCP connection. Answers are sent as they come (RFC 7766 section 6.2.1.1).
    """

    transport: Any

    def __init__(self, dns: GuestDNS, clock: IReactorTime) -> None:
        self._dns = dns
        self._clock = clock
        self._buffer = b""
        self._underWay = 0
        self._paused = False
        self._ended = False
        self._timer: IdleTimer | None = None

    def connectionMade(self) -> None:
        """
        The guest is connected.
        """
        self._timer = IdleTimer(self._clock, IDLE, self._expired)

    def dataReceived(self, data: bytes) -> None:
        """
        Messages, or parts of them, each behind its length.
        """
        if self._timer is not None:
            self._timer.touch()
        buffer = self._buffer + data
        offset = 0
        while len(buffer) >= offset + 2:
            end = offset + 2 + int.from_bytes(buffer[offset : offset + 2], "big")
            if len(buffer) < end:
                break
            self._asked(buffer[offset + 2 : end])
            offset = end
        self._buffer = buffer[offset:]

    def _asked(self, message: bytes) -> None:
        answer = self._dns.ask(message, viaTCP=True)
        if answer is None:
            self.transport.loseConnection()
            return
        self._underWay += 1
        if self._underWay >= MAX_UNDER_WAY and not self._paused:
            self._paused = True
            self.transport.pauseProducing()
        answer.addCallback(self._answered)

    def _answered(self, message: bytes) -> None:
        self._underWay -= 1
        if self._timer is None:
            return
        self.transport.write(len(message).to_bytes(2, "big") + message)
        if self._ended and not self._underWay:
            self.transport.loseConnection()
        elif self._paused and self._underWay < MAX_UNDER_WAY // 2:
            self._paused = False
            self.transport.resumeProducing()

    def _expired(self) -> None:
        """
        Nothing came for a while; questions under way are waited for.
        """
        if self._underWay:
            self._timer = IdleTimer(self._clock, IDLE, self._expired)
        else:
            self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        """
        The guest asks nothing more, and waits for what it asked.
        """
        self._ended = True
        if not self._underWay:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        Never: this side ends only with the connection.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The guest is gone.
        """
        if self._timer is not None:
            self._timer.stop()
            self._timer = None


class DNSFactory(Factory):
    """
    Makes L{DNSStream}.
    """

    noisy = False

    def __init__(self, dns: GuestDNS, clock: IReactorTime) -> None:
        self.dns = dns
        self.clock = clock

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """
        One connection.
        """
        return DNSStream(self.dns, self.clock)
