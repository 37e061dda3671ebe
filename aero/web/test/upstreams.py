"""
A development server without sockets, for the tests of the proxy to it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer


class UpstreamTransport(StringTransport):
    """
    The client's end of a connection to a development server; the test plays the server.

    @ivar aborted: Whether the client hung up.
    """

    aborted = False

    def __init__(self, protocol: Any) -> None:
        super().__init__(lenient=True)
        self.protocol = protocol

    def abortConnection(self) -> None:
        """
        Hang up.
        """
        self.aborted = True
        self.end()

    def loseWriteConnection(self) -> None:
        """
        Say that nothing more will come.
        """

    def send(self, data: bytes) -> None:
        """
        The server sends something.
        """
        self.protocol.dataReceived(data)

    def end(self) -> None:
        """
        The connection ends.
        """
        if not self.disconnected:
            self.disconnected = True
            self.protocol.connectionLost(Failure(ConnectionDone()))


@implementer(IStreamClientEndpoint)
class Upstream:
    """
    Where a development server would listen.

    @ivar refuses: Whether nobody listens.
    @ivar holds: Whether connections are not accepted yet.
    @ivar connections: Those made, in their order.
    """

    def __init__(self) -> None:
        self.refuses = False
        self.holds = False
        self.connections: list[UpstreamTransport] = []

    def connect(self, protocolFactory: Any) -> Deferred[IProtocol]:
        """
        A client comes.
        """
        if self.refuses:
            return fail(ConnectionRefusedError())
        if self.holds:
            return Deferred()
        protocol = protocolFactory.buildProtocol(None)
        transport = UpstreamTransport(protocol)
        self.connections.append(transport)
        protocol.makeConnection(transport)
        return succeed(protocol)

    @property
    def last(self) -> UpstreamTransport:
        """
        The latest connection.
        """
        return self.connections[-1]
