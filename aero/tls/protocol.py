# -*- test-case-name: aero.tls.test.test_protocol -*-
"""
The server's side of one TLS connection: Twisted's own, made faster and less patient.

Faster: a write goes to OpenSSL whole and comes back in one piece, instead of in records of
16 KiB that are each copied twice more; a read gives the application all records that arrived
at once, and no exception marks its end. Much at once goes to the socket without waiting for the
reactor's next turn, and so does what answers a read: all of it together, when all that was read
is dealt with.

Less patient: a client has a limited time for its handshake, and one that does not answer the
end of the TLS session cannot keep the connection open. A client that speaks plain HTTP is told
so in HTTP.
"""

# The methods of Twisted's class have no annotations.
# mypy: disallow-untyped-calls=False
from __future__ import annotations

from typing import Any, Callable, cast

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure

from aero.metrics import Metrics
from aero.metrics import tls as rows
from aero.net.prompt import directWriter
from aero.settings.tls import TLSSettings

from .contexts import MAX_HELLO_BYTES, Greeting, ServerTLS
from .openssl import DRAIN_BYTES, drain, receive, wasResumed

#: Bytes that are encrypted in one go; with its overhead this fits in one L{drain}.
CHUNK_BYTES = 131_072

#: From so many bytes on, the socket is tried at once. Less is worth gathering, unless it is
#: what answers a read.
DIRECT_BYTES = 32_768

#: Bytes of small writes that are gathered at the most.
GATHERED_BYTES = 64_000

#: Seconds to wait for the client's answer to the end of a session, before closing without.
LINGER = 5.0

#: For a client that sent an HTTP request where TLS was expected (edge.md section 2.1).
PLAINTEXT_REPLY = (
    b"HTTP/1.0 400 Bad Request\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n"
    b"\r\n"
    b"This is an HTTPS server; the request was plain HTTP.\n"
)


class TLSServerProtocol(BufferingTLSTransport):
    """
    One TLS connection.

    @ivar _outcome: How the handshake ended, for the metrics; empty while it is under way.
    """

    factory: TLSServerFactory
    transport: ITCPTransport

    def __init__(
        self, factory: TLSServerFactory, wrappedProtocol: IProtocol, _connectWrapped: bool = True
    ) -> None:
        super().__init__(factory, wrappedProtocol, _connectWrapped)
        self._gathered = _Gathered(super().write, factory.callLater)
        self._aggregator = cast(Any, self._gathered)
        self.write = self._gathered.write  # type: ignore[method-assign]
        self._directFrom = DIRECT_BYTES
        self._greeting: Greeting | None = Greeting()
        self._outcome = ""
        self._deadline: IDelayedCall | None = None

    def makeConnection(self, transport: ITransport) -> None:
        """
        Give the client its time for the handshake.
        """
        self._deadline = self.factory.callLater(
            self.factory.handshakeTimeout, self._handshakeTimedOut
        )
        self._writeDirectly = directWriter(transport)
        super().makeConnection(transport)
        if self._tlsConnection is not None:
            self._tlsConnection.set_app_data(self._greeting)

    def dataReceived(self, data: bytes) -> None:
        """
        Decrypt.
        """
        if self._lostTLSConnection:
            # Our last alert or reply is on its way; what the client says does not matter.
            return
        greeting = self._greeting
        if greeting is not None:
            if not greeting.hello and data[:1].isalpha():
                self._plaintextReceived()
                return
            if len(greeting.hello) < MAX_HELLO_BYTES:
                greeting.hello += data[:MAX_HELLO_BYTES]
        super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Count a handshake that came to nothing.
        """
        if not self._handshakeDone:
            self.factory.handshakeEnded("", self._outcome or "closed")
        super().connectionLost(reason)
        self._stopWaiting()

    def abortConnection(self) -> None:
        """
        Drop the connection. Twisted's method fails on one that is gone already.
        """
        if self.connected:
            super().abortConnection()

    def _checkHandshakeStatus(self) -> None:
        super()._checkHandshakeStatus()
        if self._handshakeDone:
            self._stopWaiting()
            self._greeting = None
            connection = self._tlsConnection
            connection.set_app_data(None)
            self._outcome = "resumed" if wasResumed(connection) else "full"
            self.factory.handshakeEnded(connection.get_protocol_version_name(), self._outcome)

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        if not self._handshakeDone and not self._outcome:
            refused = self._greeting is not None and self._greeting.refused
            self._outcome = "refused" if refused else "failed"
        super()._tlsShutdownFinished(reason)

    def _plaintextReceived(self) -> None:
        self._outcome = "plaintext"
        self.transport.write(PLAINTEXT_REPLY)
        self._tlsShutdownFinished(None)

    def _handshakeTimedOut(self) -> None:
        self._deadline = None
        self._outcome = "timeout"
        self.abortConnection()

    def _shutdownTLS(self) -> None:
        super()._shutdownTLS()
        if self.connected and self._handshakeDone and self._deadline is None:
            # Closing, not aborting: what the client has not read yet still reaches it.
            self._deadline = self.factory.callLater(LINGER, self._lingered)

    def _lingered(self) -> None:
        self._deadline = None
        self.transport.loseConnection()

    def _stopWaiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _write(self, bytes: bytes) -> None:
        if self._lostTLSConnection:
            return
        if not self._handshakeDone:
            self._bufferedWrite(bytes)
            return
        at, end = 0, len(bytes)
        try:
            if end <= CHUNK_BYTES:
                at = self._tlsConnection.send(bytes) if end else 0
                self._flushSendBIO()
            with memoryview(bytes) as view:
                while at < end:
                    at += self._tlsConnection.send(view[at : at + CHUNK_BYTES])
                    self._flushSendBIO()
        except SSL.WantReadError:
            self._bufferedWrite(bytes[at:])
        except SSL.Error:
            self._tlsShutdownFinished(Failure())

    def _flushSendBIO(self) -> None:
        while True:
            data = drain(self._tlsConnection)
            size = len(data)
            taken = self._writeDirectly(data) if size >= self._directFrom else 0
            if taken < size:
                self.transport.write(bytes(data[taken:]))
            if size < DRAIN_BYTES:
                return

    def _flushReceiveBIO(self) -> None:
        self._gathered.corked = True
        try:
            while not self._lostTLSConnection:
                data, error = receive(self._tlsConnection)
                if data and not self._aborted:
                    self.wrappedProtocol.dataReceived(data)
                if error is not None:
                    self._receiveEnded(error)
                elif len(data) < DRAIN_BYTES:
                    break
        finally:
            self._gathered.corked = False
        self._directFrom = 1
        self._gathered.flush()
        self._flushSendBIO()
        self._directFrom = DIRECT_BYTES

    def _receiveEnded(self, error: SSL.Error) -> None:
        if isinstance(error, SSL.ZeroReturnError):
            self._shutdownTLS()
            # The application hears the underlying transport's reason.
            self._tlsShutdownFinished(None)
        else:
            self._tlsShutdownFinished(Failure(error))


class _Gathered:
    """
    Small writes, gathered until the reactor's next turn so that they share a record; or, while
    it is corked, until whoever corked it flushes it. It is what Twisted's class has for that,
    without a timer for each answer.

    @ivar corked: Whether somebody will flush it.
    """

    __slots__ = ("_callLater", "_pieces", "_room", "_scheduled", "_write", "corked")

    def __init__(
        self, write: Callable[[bytes], object], callLater: Callable[..., IDelayedCall]
    ) -> None:
        self.corked = False
        self._write = write
        self._callLater = callLater
        self._pieces: list[bytes] = []
        self._room = GATHERED_BYTES
        self._scheduled: IDelayedCall | None = None

    def write(self, data: bytes) -> None:
        """
        Write soon, or at once where there is enough.
        """
        # A type that is none raises here, where the mistake is, and a mutable one is copied.
        self._pieces.append(data + b"")
        self._room -= len(data)
        if self._room < 0:
            self.flush()
        elif self._scheduled is None and not self.corked:
            self._scheduled = self._callLater(0, self._turn)

    def flush(self) -> None:
        """
        Write what there is.
        """
        pieces = self._pieces
        if pieces:
            self._pieces, self._room = [], GATHERED_BYTES
            self._write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def close(self) -> None:
        """
        Write what there is, for the last time.
        """
        if self._scheduled is not None:
            self._scheduled.cancel()
        self._turn()

    def _turn(self) -> None:
        self._scheduled = None
        self.flush()


class TLSServerFactory(TLSMemoryBIOFactory):
    """
    Wraps a factory of application protocols in TLS.

    @ivar handshakeTimeout: Seconds that a client has for its handshake.
    """

    protocol = TLSServerProtocol

    def __init__(
        self,
        tls: ServerTLS,
        wrappedFactory: IProtocolFactory,
        *,
        settings: TLSSettings,
        metrics: Metrics,
        clock: IReactorTime,
    ) -> None:
        super().__init__(tls, False, wrappedFactory, clock)
        self.handshakeTimeout = settings.handshakeTimeout
        self.callLater = clock.callLater
        self._metrics = metrics

    def handshakeEnded(self, version: str, outcome: str) -> None:
        """
        A handshake was completed, or came to nothing.

        @param version: The protocol's name, such as C{TLSv1.3}; empty if it came to nothing.
        @param outcome: As in L{rows.HANDSHAKES}.
        """
        self._metrics.counter(rows.HANDSHAKES, version, outcome).inc()
