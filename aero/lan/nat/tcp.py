# -*- test-case-name: aero.lan.nat.test.test_tcp -*-
"""
TCP out of a guest's LAN: the protocol behind every connection that nothing in the LAN takes.

A connection begins when the guest's SYN is there and not answered yet. The policy decides, the
target is dialled, and the guest gets its answer: the connection, or a refusal that says why.
Meanwhile the guest may send, as far as its stack lets it, because its SYN is answered on credit
when the target takes its time.

Then bytes go both ways, each direction with a queue of bounded size and a source that waits
while it is full, and with an end of its own: a FIN is passed on as a FIN, after the data before
it, and a reset as a reset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from twisted.internet import protocol
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.errors import Refused
from aero.net.errorqueue import SocketError, shownOffender
from aero.net.happyeyeballs import DialFailed
from aero.net.prompt import readAtMost
from aero.net.pump import Client, TargetConnection
from aero.policy.budget import Share
from aero.wire.ipv4 import addressNumber

from ..lost import GuestLost
from .outside import Way

if TYPE_CHECKING:
    from ..lan import LAN

#: What the guest is told when a dial fails, by L{DialFailed.reason}.
_REJECTIONS = {
    "refused": "refused",
    "unreachable": "unreachable",
    "timeout": "timeout",
    "local": "unreachable",
    "error": "unreachable",
}

#: How a guest's end is called in the log, by L{GuestLost.reason}.
_ENDS = {
    "reset": "guest-reset",
    "timeout": "guest-timeout",
    "unreachable": "guest-timeout",
    "early": "early-data",
    "tunnel": "tunnel-ended",
    "revoked": "session-ended",
}


@implementer(IHalfCloseableProtocol, IPushProducer)
class NATProtocol(protocol.Protocol):
    """
    One connection of a guest with the outside. Extend it to log, to rewrite, or to refuse.

    Overridable: L{connectionRequested}, L{connectionOpened}, L{guestDataReceived},
    L{targetDataReceived}. None of them can lead to a target that the policy has not approved.

    @ivar lan: The LAN.
    @ivar address: Where the guest wants to go, as a number.
    @ivar port: The port there.
    @ivar target: Once it is approved, where that really is.
    """

    lan: LAN
    address: int
    port: int
    target: Any = None

    _log = Logger()
    _connection: TargetConnection | None = None
    _socket: Share | None = None
    _dialling: Deferred[Any] | None = None
    _forwarded = False
    _counted = False
    _logged = False
    _began = 0.0
    _opened = False
    _toGuest = 0
    _aborted = False

    # -- what users extend

    def connectionRequested(self) -> Any:
        """
        The policy has approved the target, and it is not connected yet. May return a Deferred
        or a coroutine.

        @raise Refused: To refuse the guest.
        """

    def connectionOpened(self) -> Any:
        """
        The target is connected.
        """

    def guestDataReceived(self, data: bytes) -> Any:
        """
        The guest sent something; by default the target gets it. A subclass that replaces this
        calls L{sendToTarget}.
        """
        self.sendToTarget(data)

    def targetDataReceived(self, data: bytes) -> Any:
        """
        The target sent something; by default the guest gets it. A subclass that replaces this
        calls L{sendToGuest}.
        """
        self.sendToGuest(data)

    # -- what users call

    def sendToTarget(self, data: bytes) -> None:
        """
        Send bytes to the target, now or when it is connected.
        """
        if self._connection is not None:
            self._connection.write(data)

    def sendToGuest(self, data: bytes) -> None:
        """
        Send bytes to the guest.
        """
        transport: Any = self.transport
        self._toGuest += len(data)
        transport.write(data)

    # -- from the guest's connection

    def connectionMade(self) -> None:
        """
        The guest asks for a connection.
        """
        transport: Any = self.transport
        lan = self.lan
        host = transport.getHost()
        self.address, self.port = addressNumber(host.host), host.port
        self._began = lan.clock.seconds()
        forwarded = lan.outside.forwards.find(self.address, self.port) is not None
        self._forwarded = forwarded
        egress, now = lan.egress, self._began
        refusal = egress.tcpRefusal(self.address, self.port, now, forwarded)
        if refusal := refusal or egress.flowRefusal(now):
            self._refuse(refusal)
            return
        self._socket = lan.commons.sockets.share(lan.key)
        if not self._socket.take(1):
            self._refuse("sockets", "refused")
            return
        self._count(1)
        size = transport.buffers.send
        self._connection = CountedConnection(
            self, lan.clock, min(lan.pauseBytes, size), size, self._socket
        )
        transport.registerProducer(self, True)
        self._dialling = Deferred.fromCoroutine(self._dial())

    async def _dial(self) -> None:
        """
        Find the target, connect to it, and tell the guest.
        """
        transport: Any = self.transport
        connection = self._connection
        try:
            way: Way = await self.lan.outside.approve(self.address, self.port)
            self.target = way.target
            await maybeDeferred(self.connectionRequested)
            await way.connect(connection)
        except CancelledError:
            return
        except DialFailed as problem:
            self._failed(problem.reason, problem.error)
        except Refused as refused:
            if refused.status == 403:
                if self._counted:
                    self._count(-1)
                self._refuse(refused.reason)
            else:
                self._failed("refused" if refused.status == 400 else "unreachable")
        except Exception:  # noqa: BLE001 - a hook may raise anything
            self._log.failure("A connection of a guest could not be made")
            self._failed("error")
        else:
            self._opened = True
            self.lan.dialSeconds.observe(self.lan.clock.seconds() - self._began)
            if self._connection is not None:
                transport.accept()
                self._hook(self.connectionOpened)
        finally:
            self._dialling = None
            if not self._opened and connection is not None:
                connection.abort()

    def dataReceived(self, data: bytes) -> None:
        """
        The guest sent something.
        """
        self._hook(self.guestDataReceived, data)

    def readConnectionLost(self) -> None:
        """
        The guest sends nothing more.
        """
        if self._connection is not None:
            self._connection.finish()

    def writeConnectionLost(self) -> None:
        """
        The guest has been sent the end.
        """

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """
        The guest's connection is over. Unless the guest reset it, or may not go on, the target
        gets what the guest sent.
        """
        problem = reason.value
        done = isinstance(problem, ConnectionDone)
        if isinstance(problem, GuestLost):
            self._end(_ENDS.get(problem.reason, problem.reason))
        elif done:
            self._end("done")
        else:
            self._end("target-reset" if self._aborted else "aborted")
        connection, self._connection = self._connection, None
        if not self._opened and self._socket is not None:
            self._socket.close()
        if connection is None:
            return
        deliver = done or (isinstance(problem, GuestLost) and problem.isSilent)
        if deliver and (self._opened or connection.waitingBytes):
            lan = self.lan
            lan.outside.deliveries.leave(connection, lan.peer.address)
            return
        if self._dialling is not None:
            self._dialling.cancel()
        connection.abort()

    # -- producer of what goes to the guest

    def pauseProducing(self) -> None:
        """
        The guest's buffer is full.
        """
        if self._connection is not None:
            self._connection.pauseReading()

    def resumeProducing(self) -> None:
        """
        It has room.
        """
        if self._connection is not None:
            self._connection.resumeReading()

    def stopProducing(self) -> None:
        """
        The guest is gone; C{connectionLost} says so too.
        """

    # -- from the target's connection, see aero.net.pump.Client

    def targetEnded(self) -> None:
        """
        The target sends nothing more: a FIN for the guest.
        """
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseWriteConnection()

    def targetLost(self, clean: bool) -> None:
        """
        The target's connection is gone.
        """
        self._connection = None
        transport: Any = self.transport
        if not clean:
            self._aborted = True
            transport.resetConnection()

    def targetPaused(self) -> None:
        """
        Too much waits for the target: close the guest's window.
        """
        transport: Any = self.transport
        transport.pauseProducing()

    def targetResumed(self) -> None:
        """
        Nothing waits for the target.
        """
        transport: Any = self.transport
        transport.resumeProducing()

    def targetFlushed(self) -> None:
        """
        Everything that the guest sent has arrived.
        """

    # -- private

    def _refuse(self, refusal: str, answer: str = "prohibited") -> None:
        transport: Any = self.transport
        self.lan.refused("tcp", refusal, self.address, self.port)
        self._logged = True
        transport.reject(answer)

    def _failed(self, reason: str, error: SocketError | None = None) -> None:
        """
        The target cannot be connected to. An ICMP error about that gets to the guest from the
        router that sent it (RFC 5508 section 4.2), unless a forward hides the way.
        """
        transport: Any = self.transport
        self.lan.connectFailed.inc()
        self._end(reason)
        told = None if error is None or self._forwarded else error.told()
        if error is None or told is None or reason == "refused":
            transport.reject(_REJECTIONS[reason])
            return
        teller = shownOffender(error.offender, self.address, self.lan.isOnLink)
        transport.reject(_REJECTIONS[reason], *told, teller)

    def _count(self, change: int) -> None:
        self._counted = change > 0
        self.lan.activeTCP.inc(change)

    def _end(self, reason: str) -> None:
        """
        Account for the connection, once.
        """
        if self._counted:
            self._count(-1)
        if self._logged:
            return
        self._logged = True
        transport: Any = self.transport
        self.lan.flowEnded(
            "tcp",
            self.address,
            self.port,
            sent=transport.received,
            received=self._toGuest,
            began=self._began,
            reason=reason,
        )

    def _hook(self, function: Callable[..., Any], *arguments: object) -> None:
        """
        Call what a user may have written. If it fails, the connection is reset.
        """
        try:
            result = function(*arguments)
        except Exception:  # noqa: BLE001
            self._log.failure("A NAT protocol failed")
            transport: Any = self.transport
            transport.abortConnection()
            return
        if isinstance(result, Deferred):
            result.addErrback(lambda failure: self._log.failure("A NAT hook failed", failure))


class CountedConnection(TargetConnection):
    """
    The connection to a target whose socket counts until it is closed, whatever becomes of the
    guest's connection before.
    """

    def __init__(
        self, client: Client, clock: IReactorTime, pauseBytes: int, readBytes: int, socket: Share
    ) -> None:
        """
        @param readBytes: Bytes read from the target at once at the most.
        @param socket: What holds the socket's place.
        """
        super().__init__(client, clock, pauseBytes)
        self._readBytes = readBytes
        self._socket = socket

    def connectionMade(self) -> None:
        """
        The target is there.
        """
        super().connectionMade()
        readAtMost(self.transport, self._readBytes)

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """
        It is gone.
        """
        self._socket.close()
        super().connectionLost(reason)


class NATFactory(protocol.Factory):
    """
    Makes the protocol for every connection that leaves the LAN.

    @ivar lan: The LAN.
    """

    protocol = NATProtocol
    noisy = False

    def __init__(self, lan: LAN) -> None:
        self.lan = lan

    def buildProtocol(self, addr: IAddress | None) -> NATProtocol | None:
        """
        The protocol for one connection.

        @param addr: The guest's end.
        @return: C{None} refuses the guest.
        """
        made = self.protocol()
        made.factory = self
        made.lan = self.lan
        return made
