# -*- test-case-name: aero.lan.services.test.test_dnsserver -*-
"""
DNS for a guest over UDP and over TCP (RFC 1035 section 4.2, RFC 7766).

A guest that asks over TCP and takes no answers is asked nothing more of: while its connection is
full no question is read, and what was asked before that gets short answers. A connection thus
holds no more than its send buffer, one answer, and L{MAX_UNDER_WAY} short ones.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.net.pump import IdleTimer

from .dns import GuestDNS

#: The port of DNS.
PORT: Final = 53
#: Seconds that a TCP connection may be silent.
IDLE: Final = 30.0
#: Questions of one connection under way, after which it is not read.
MAX_UNDER_WAY: Final = 32
#: Questions that are asked before others have their turn.
MAX_AT_ONCE: Final = 64
#: Bytes of an answer that is sent although the connection is full.
SHORT: Final = 512


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


@implementer(IHalfCloseableProtocol, IPushProducer)
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
        self._full = False
        self._paused = False
        self._ended = False
        self._timer: IdleTimer | None = None
        self._later: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """
        The guest is connected.
        """
        self._timer = IdleTimer(self._clock, IDLE, self._expired)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """
        Messages, or parts of them, each behind its length.
        """
        if self._timer is not None:
            self._timer.touch()
        self._buffer += data
        self._read()

    def _read(self) -> None:
        """
        Ask what is asked, until too much is under way or the guest takes no answers.
        """
        buffer = self._buffer
        offset = asked = 0
        while len(buffer) >= offset + 2 and self._timer is not None:
            if self._full or self._underWay >= MAX_UNDER_WAY or asked >= MAX_AT_ONCE:
                self._paused = True
                self.transport.pauseProducing()
                if asked >= MAX_AT_ONCE and self._later is None:
                    self._later = self._clock.callLater(0, self._nextTurn)
                break
            asked += 1
            end = offset + 2 + int.from_bytes(buffer[offset : offset + 2], "big")
            if len(buffer) < end:
                break
            self._asked(buffer[offset + 2 : end])
            offset = end
        self._buffer = buffer[offset:]

    def _nextTurn(self) -> None:
        self._later = None
        self._readOn()

    def _asked(self, message: bytes) -> None:
        answer = self._dns.ask(message, viaTCP=True, hasRoom=self._hasRoom)
        if answer is None:
            self._end()
            return
        self._underWay += 1
        answer.addCallback(self._answered)

    def _hasRoom(self, size: int) -> bool:
        """
        Whether the guest may have an answer of some size.
        """
        return not self._full or size <= SHORT

    def _answered(self, message: bytes) -> None:
        self._underWay -= 1
        if self._timer is None:
            return
        self.transport.write(len(message).to_bytes(2, "big") + message)
        if self._ended and not self._underWay:
            self._end()
        elif self._underWay < MAX_UNDER_WAY // 2:
            self._readOn()

    def _readOn(self) -> None:
        """
        Go on with the questions, if they were left for later and nothing is against it now.
        """
        if self._paused and not self._full:
            self._paused = False
            self._read()
            if not self._paused and self._timer is not None:
                self.transport.resumeProducing()

    def _expired(self) -> None:
        """
        Nothing was asked for a while, and no answers were taken that had to wait; questions
        under way are waited for.
        """
        if self._underWay:
            self._timer = IdleTimer(self._clock, IDLE, self._expired)
        else:
            self._end()

    def _end(self) -> None:
        """
        Send what is written, and close.
        """
        self._stop()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    # -- producer of answers

    def pauseProducing(self) -> None:
        """
        The guest does not take its answers.
        """
        self._full = True

    def resumeProducing(self) -> None:
        """
        It has taken them.
        """
        self._full = False
        if self._timer is not None:
            self._timer.touch()
            self._readOn()

    def stopProducing(self) -> None:
        """
        The guest is gone; C{connectionLost} says so too.
        """

    # -- the ends

    def readConnectionLost(self) -> None:
        """
        The guest asks nothing more, and waits for what it asked.
        """
        self._ended = True
        if not self._underWay:
            self._end()

    def writeConnectionLost(self) -> None:
        """
        Never: this side ends only with the connection.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The guest is gone.
        """
        self._stop()

    def _stop(self) -> None:
        """
        Wait for nothing any more.
        """
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self._later is not None:
            self._later.cancel()
            self._later = None


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
