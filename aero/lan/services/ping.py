# -*- test-case-name: aero.lan.services.test.test_ping -*-
"""
Pings of a guest to the outside, through the system's unprivileged ping sockets (icmp(7)).

A ping that the policy refuses is answered with an ICMP error (prohibited), and so is one that a
route of this system refuses. One that this server has no socket for gets no answer: a wrong one
would be worse than none. Where the system has no ping
sockets, or this user's group is not in C{net.ipv4.ping_group_range}, that is every ping. An ICMP
error about a ping gets to the guest with the router that sent it as its source (RFC 5508 section
4.2), so that C{traceroute -I} works.

The system chooses the identifier of a ping socket, so that each identifier of the guest has a
socket of its own for a while.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Callable, Final

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.metrics import lan as rows
from aero.net.errorqueue import SocketError, readErrors, reportErrors, shownOffender
from aero.policy.quota import TokenBuckets
from aero.stack.commands import RefuseEcho, SendEchoReply
from aero.stack.events import EchoRequested
from aero.wire.icmpv4 import ECHO_REPLY, ECHO_REQUEST, HEADER, PROHIBITED, build
from aero.wire.ipv4 import addressNumber, addressText

if TYPE_CHECKING:
    from ..lan import LAN

#: Identifiers of one guest that are in use at once; the oldest makes room.
MAX_SOCKETS: Final = 16
#: Seconds that an answer may take.
PATIENCE: Final = 10.0

_READS: Final = 16
#: How often a ping is sent if errors of earlier ones get in its way.
_SENDS: Final = 4
_IP_RECVTTL: Final = 12
_IP_TTL: Final = 2


def openSocket() -> socket.socket:
    """
    A ping socket.

    @raise OSError: The system has none for this user.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
    reportErrors(made)
    return made


@implementer(IReadDescriptor)
class _PingSocket:
    """
    The socket of one identifier.
    """

    _log = Logger()

    def __init__(self, pings: Pings, made: Any, guest: int, identifier: int) -> None:
        self.guest = guest
        self.identifier = identifier
        self.last = 0.0
        self._pings = pings
        self._socket = made
        self._ttl = 0
        self.open = True

    def send(self, destination: int, sequence: int, data: bytes, ttl: int) -> int:
        """
        Send an echo request; the system writes identifier and checksum.

        @return: 0, or the C{errno} of what is wrong.
        """
        number = errno.EIO
        try:
            if ttl != self._ttl:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_TTL, ttl)
                self._ttl = ttl
        except OSError as error:
            return error.errno or number
        message = build(ECHO_REQUEST, 0, sequence, data)
        for _ in range(_SENDS):
            try:
                self._socket.sendto(message, (addressText(destination), 0))
            except OSError as error:
                # This may be the error of an earlier ping, which the queue has or had too.
                number = error.errno or number
                self._readErrors()
            else:
                return 0
        return number

    def fileno(self) -> int:
        """
        For the reactor.
        """
        return self._socket.fileno() if self.open else -1

    def logPrefix(self) -> str:
        """
        For the reactor.
        """
        return "ping of a guest"

    def doRead(self) -> None:
        """
        Answers came.
        """
        for _ in range(_READS):
            if not self.open:
                return
            try:
                message, extra, _, address = self._socket.recvmsg(65_536, 64)
            except OSError:
                # Nothing to read: an error may be the reason of the call.
                if not self._readErrors():
                    return
                continue
            ttl = 64
            for level, kind, value in extra:
                if level == socket.IPPROTO_IP and kind == _IP_TTL and len(value) >= 4:
                    ttl = int.from_bytes(value[:4], sys.byteorder) & 255
            if len(message) >= HEADER and message[0] == ECHO_REPLY:
                self._pings.answered(self, addressNumber(address[0]), message, ttl)

    def _readErrors(self) -> int:
        """
        Read the queue of errors.

        @return: How many there were.
        """
        found = 0
        for reported in readErrors(self._socket, _READS):
            found += 1
            if reported is not None and not reported.local:
                self._pings.failed(self, addressNumber(reported.address[0]), reported.error)
            if not self.open:
                break
        return found

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor stops.
        """

    def close(self) -> None:
        """
        Close the socket.
        """
        self.open = False
        self._socket.close()


class Pings:
    """
    The pings of one guest.
    """

    def __init__(self, lan: LAN, *, openSocket: Callable[[], Any] = openSocket) -> None:
        self._lan = lan
        self._openSocket = openSocket
        rate = lan.settings.pingsPerSecond
        self._enabled = rate > 0
        self._bucket = TokenBuckets(rate, rate)
        self._sockets: OrderedDict[tuple[int, int], _PingSocket] = OrderedDict()
        self._timer: IDelayedCall | None = None

    def echoRequested(self, event: EchoRequested) -> None:
        """
        The guest pings somebody outside.
        """
        lan = self._lan
        now = lan.clock.seconds()
        refusal = lan.egress.pingRefusal(event.destination, now)
        if refusal:
            self._count("refused")
            lan.refused("ping", refusal, event.destination, 0)
            lan.driver.apply(RefuseEcho(*event[:5], PROHIBITED))
            return
        if not self._enabled or self._bucket.take("", now):
            self._count("limited")
            return
        found = self._socketFor(event.source, event.identifier)
        if found is None:
            self._count("unavailable")
            return
        found.last = now
        # The stack has counted the LAN as one hop.
        error = found.send(event.destination, event.sequence, event.data, max(1, event.ttl))
        self._count("unavailable" if error else "sent")
        told = SocketError(error).told() if error else None
        if told is not None:
            lan.driver.apply(RefuseEcho(*event[:5], told[1], kind=told[0]))

    def answered(self, ping: _PingSocket, source: int, message: bytes, ttl: int) -> None:
        """
        Somebody answers.
        """
        self._count("answered")
        self._lan.driver.apply(
            SendEchoReply(
                source,
                ping.guest,
                ping.identifier,
                message[6] << 8 | message[7],
                message[HEADER:],
                max(1, ttl - 1),
            )
        )

    def failed(self, ping: _PingSocket, destination: int, error: SocketError) -> None:
        """
        An ICMP error about a ping came. What it quotes of the ping says which one it was.
        """
        told, quoted = error.told(), error.data
        if told is None or len(quoted) < HEADER or quoted[0] != ECHO_REQUEST:
            return
        self._count("failed")
        teller = shownOffender(error.offender, destination, self._lan.isOnLink)
        self._lan.driver.apply(
            RefuseEcho(
                ping.guest,
                destination,
                ping.identifier,
                quoted[6] << 8 | quoted[7],
                quoted[HEADER:],
                told[1],
                error.mtu,
                told[0],
                teller,
            )
        )

    def stop(self) -> None:
        """
        Close every socket.
        """
        for key in list(self._sockets):
            self._close(key)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _socketFor(self, guest: int, identifier: int) -> _PingSocket | None:
        key = guest, identifier
        found = self._sockets.get(key)
        if found is not None:
            self._sockets.move_to_end(key)
            return found
        try:
            made = self._openSocket()
        except OSError:
            return None
        if len(self._sockets) >= MAX_SOCKETS:
            self._close(next(iter(self._sockets)))
        found = self._sockets[key] = _PingSocket(self, made, guest, identifier)
        self._lan.reactor.addReader(found)
        if self._timer is None:
            self._timer = self._lan.clock.callLater(PATIENCE, self._expire)
        return found

    def _expire(self) -> None:
        self._timer = None
        limit = self._lan.clock.seconds() - PATIENCE
        for key in [key for key, each in self._sockets.items() if each.last <= limit]:
            self._close(key)
        if self._sockets:
            self._timer = self._lan.clock.callLater(PATIENCE, self._expire)

    def _close(self, key: tuple[int, int]) -> None:
        found = self._sockets.pop(key)
        self._lan.reactor.removeReader(found)
        found.close()

    def _count(self, outcome: str) -> None:
        self._lan.metrics.counter(rows.PINGS, outcome).inc()
