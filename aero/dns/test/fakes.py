"""
A network without sockets, on which tests play the upstreams; their answers come from
dnspython, which shares no code with what is tested.
"""

from __future__ import annotations

from typing import Any, Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.dns.exchange import ExchangeFailed
from aero.wire.dns import RD, encodeName
from aero.wire.dnsanswer import ScannedAnswer, scanAnswer
from aero.wire.dnsquery import Query, Question


class FakeReactor(Clock):
    """
    A clock and a set of readers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        """
        Watch it.
        """
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        """
        Watch it no more.
        """
        if reader in self.readers:
            self.readers.remove(reader)


class FakeSocket:
    """
    A connected UDP socket; what arrives from others than the peer is given all the same, as
    a kernel would not do.
    """

    def __init__(self, reactor: FakeReactor, address: str, port: int, number: int) -> None:
        self.peer = (address, port)
        self.sent: list[bytes] = []
        self.closed = False
        self.failure: OSError | None = None
        self._reactor = reactor
        self._number = number
        self._queue: list[tuple[bytes, tuple[str, int]]] = []

    def fileno(self) -> int:
        """
        Its number.
        """
        return self._number

    def send(self, data: bytes, /) -> int:
        """
        Keep what is sent.
        """
        if self.failure is not None:
            raise self.failure
        self.sent.append(data)
        return len(data)

    def recvfrom(self, size: int, /) -> tuple[bytes, Any]:
        """
        Give what arrived.
        """
        if self.failure is not None:
            raise self.failure
        if not self._queue:
            raise BlockingIOError
        return self._queue.pop(0)

    def getpeername(self) -> Any:
        """
        Whom it is connected to.
        """
        return self.peer

    def close(self) -> None:
        """
        Close it.
        """
        self.closed = True

    def deliver(self, *datagrams: bytes, source: tuple[str, int] | None = None) -> None:
        """
        Let datagrams arrive.
        """
        self._queue += [(data, source or self.peer) for data in datagrams]
        self.wake()

    def wake(self) -> None:
        """
        Let the reactor see that there is something to read.
        """
        while self._queue or self.failure is not None:
            readers = [one for one in self._reactor.readers if one.fileno() == self._number]
            if not readers:
                return
            readers[0].doRead()


class FakeNetwork:
    """
    Opens sockets and keeps them.
    """

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.sockets: list[FakeSocket] = []
        self.failure: OSError | None = None

    def open(self, address: str, port: int) -> FakeSocket:
        """
        See L{aero.dns.datagrams.openSocket}.
        """
        if self.failure is not None:
            raise self.failure
        self.sockets.append(FakeSocket(self.reactor, address, port, 100 + len(self.sockets)))
        return self.sockets[-1]

    @property
    def last(self) -> FakeSocket:
        """
        The socket opened last.
        """
        return self.sockets[-1]


class StreamTransport(StringTransport):
    """
    The client's end of a connection.

    @ivar gone: Whether the client closed it, politely or not.
    """

    gone = False

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol

    def loseConnection(self) -> None:
        """
        Close.
        """
        self.end()

    def abortConnection(self) -> None:
        """
        Close at once.
        """
        self.end()

    def end(self) -> None:
        """
        The connection ends, whoever wanted it.
        """
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(ConnectionDone()))

    def messages(self) -> list[bytes]:
        """
        The messages sent since last asked.
        """
        raw = self.value()
        self.clear()
        found = []
        while raw:
            size = int.from_bytes(raw[:2], "big")
            assert len(raw) >= 2 + size
            found.append(raw[2 : 2 + size])
            raw = raw[2 + size :]
        return found

    def deliver(self, *messages: bytes) -> None:
        """
        Let messages arrive in one read.
        """
        self.protocol.dataReceived(
            b"".join(len(message).to_bytes(2, "big") + message for message in messages)
        )


@implementer(IStreamClientEndpoint)
class FakeEndpoint:
    """
    Connects at once, or when told to.

    @ivar transports: Every connection made.
    """

    def __init__(self, *, slow: bool = False, refuses: bool = False) -> None:
        self.transports: list[StreamTransport] = []
        self.attempts = 0
        self.refuses = refuses
        self._slow = slow
        self._waiting: list[tuple[Deferred[Any], Any]] = []

    def connect(self, factory: Any) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}.
        """
        self.attempts += 1
        if self.refuses:
            return fail(ConnectionRefusedError())
        protocol = factory.buildProtocol(None)
        if self._slow:
            waiting: Deferred[Any] = Deferred()
            self._waiting.append((waiting, protocol))
            return waiting
        return succeed(self._open(protocol))

    def finish(self, error: Exception | None = None) -> None:
        """
        Let the slow attempts end.
        """
        waiting, self._waiting = self._waiting, []
        for deferred, protocol in waiting:
            if error is None:
                deferred.callback(self._open(protocol))
            else:
                deferred.errback(error)

    @property
    def last(self) -> StreamTransport:
        """
        The connection made last.
        """
        return self.transports[-1]

    def _open(self, protocol: Any) -> Any:
        transport = StreamTransport(protocol)
        self.transports.append(transport)
        protocol.makeConnection(transport)
        return protocol


class FakeExchange:
    """
    An upstream that the test answers for.

    @ivar asked: The questions, with the Deferred that waits.
    @ivar wording: The reason that it gives for having been cancelled, if it has its own.
    """

    kind = "udp"

    def __init__(self, label: str = "192.0.2.53:53") -> None:
        self.label = label
        self.asked: list[tuple[Question, Deferred[ScannedAnswer]]] = []
        self.cancelled = 0
        self.wording = ""
        self.stopped = False

    def exchange(self, question: Question) -> Deferred[ScannedAnswer]:
        """
        See L{aero.dns.exchange.Exchange.exchange}.
        """
        waiting: Deferred[ScannedAnswer] = Deferred(self._cancel)
        self.asked.append((question, waiting))
        return waiting

    def stop(self) -> None:
        """
        See L{aero.dns.exchange.Exchange.stop}.
        """
        self.stopped = True

    def answer(self, *records: str, index: int = -1, **options: Any) -> None:
        """
        Answer a question.
        """
        question, waiting = self.asked[index]
        raw = question.message(0, question.wire(), payloadSize=None)
        waiting.callback(scanAnswer(answerTo(raw, *records, **options)))

    def fail(self, reason: str = "network", index: int = -1) -> None:
        """
        Fail to answer one.
        """
        self.asked[index][1].errback(ExchangeFailed(reason))

    def _cancel(self, waiting: Deferred[ScannedAnswer]) -> None:
        self.cancelled += 1
        if self.wording:
            waiting.errback(ExchangeFailed(self.wording))


def answerTo(
    query: bytes,
    *records: str,
    authority: tuple[str, ...] = (),
    rcode: int = 0,
    flags: int = 0,
    edns: bool | None = None,
) -> bytes:
    """
    What a server answers to a query.

    @param records: Such as C{"www.example. 60 IN A 192.0.2.1"}.
    @param edns: Whether with OPT; by default as it was asked.
    """
    response = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    response.set_rcode(dns.rcode.Rcode(rcode))
    response.flags |= flags
    for section, texts in ((response.answer, records), (response.authority, authority)):
        for text in texts:
            name, ttl, rclass, rtype, data = text.split(" ", 4)
            section.append(dns.rrset.from_text(name, int(ttl), rclass, rtype, data))
    if edns is not None:
        response.use_edns(0 if edns else False)
    return response.to_wire()


def query(name: str = "www.example", qtype: int = 1, **changes: Any) -> Query:
    """
    A client's query.
    """
    made = Query(0x4321, RD, encodeName([part.encode() for part in name.split(".")]), qtype, 1)
    return made._replace(**changes)


def question(name: str = "www.example", qtype: int = 1) -> Question:
    """
    What goes upstream for it.
    """
    return Question.fromQuery(query(name, qtype))


def counting(start: int = 0) -> Callable[[int], bytes]:
    """
    Randomness that is none, but never the same twice in a row.
    """
    state = [start]

    def give(size: int) -> bytes:
        state[0] += size
        return bytes((state[0] + index) & 0xFF for index in range(size))

    return give
