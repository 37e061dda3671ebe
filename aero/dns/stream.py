# -*- test-case-name: aero.dns.test.test_stream -*-
"""
An upstream that is asked over a connection: TCP (RFC 7766) or TLS (RFC 7858).

All questions share one connection and are told apart by their ids. It is closed when nothing
was asked for a while. A connection on which a question ran out of time and nothing came
meanwhile counts as dead.
"""

from __future__ import annotations

from typing import Any, Callable, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from aero.metrics import Metrics
from aero.metrics import dns as rows
from aero.wire.dns import HEADER_SIZE, identify
from aero.wire.dnsanswer import ScannedAnswer, mismatch
from aero.wire.dnsquery import Question

from .exchange import PAYLOAD_SIZE, QUERY_BLOCK, ExchangeFailed, dislikesEDNS, usable
from .sharing import LOST, SharedConnection

#: Seconds that a connection stays open without a question.
IDLE: Final = 10.0
#: Messages that answer nothing before a connection is given up.
MAX_STRAYS: Final = 64


class StreamExchange:
    """
    The way to one upstream over L{one connection<SharedConnection>} at a time.
    """

    def __init__(
        self,
        label: str,
        kind: str,
        endpoint: IStreamClientEndpoint,
        *,
        reactor: Any,
        randomness: Callable[[int], bytes],
        maxSize: int,
        metrics: Metrics,
        padded: bool = False,
    ) -> None:
        """
        @param maxSize: Bytes of an answer; a larger one is not read.
        @param padded: Whether to pad questions, which hides their length where the rest is
            encrypted (RFC 8467).
        """
        self.label = label
        self.kind = kind
        self._endpoint = endpoint
        self._reactor = reactor
        self._random = randomness
        self._maxSize = maxSize
        self._metrics = metrics
        self._block = QUERY_BLOCK if padded else 0
        self._shared = SharedConnection(self._open)

    def exchange(self, question: Question) -> Deferred[ScannedAnswer]:
        """
        See L{Exchange.exchange<aero.dns.exchange.Exchange.exchange>}.
        """
        return Deferred.fromCoroutine(self._exchange(question))

    def stop(self) -> None:
        """
        See L{Exchange.stop<aero.dns.exchange.Exchange.stop>}.
        """
        self._shared.stop()

    async def _exchange(self, question: Question) -> ScannedAnswer:
        answer = await self._ask(question, PAYLOAD_SIZE)
        if dislikesEDNS(answer):
            answer = await self._ask(question, None)
        return answer

    async def _ask(self, question: Question, payloadSize: int | None) -> ScannedAnswer:
        return usable(
            await self._shared.ask(lambda one: one.ask(question, payloadSize, self._block))
        )

    def _open(self) -> Deferred[StreamConnection]:
        factory = Factory.forProtocol(StreamConnection)
        factory.noisy = False
        opening: Deferred[Any] = self._endpoint.connect(factory)
        return opening.addCallback(self._opened)

    def _opened(self, connection: StreamConnection) -> StreamConnection:
        connection.use(
            self._reactor, self._random, self._maxSize, self._mismatched, self._shared.lost
        )
        return connection

    def _mismatched(self, reason: str) -> None:
        self._metrics.counter(rows.MISMATCHES, reason).inc()


class _Asked:
    """
    A question on a connection.
    """

    __slots__ = ("answer", "mark", "question")

    def __init__(self, question: bytes, mark: int, answer: Deferred[bytes]) -> None:
        self.question = question
        self.mark = mark
        self.answer = answer


class StreamConnection(Protocol):
    """
    One connection: each message after its length in two bytes (RFC 1035 section 4.2.2).
    """

    _reactor: Any
    _random: Callable[[int], bytes]
    _maxSize: int
    _mismatched: Callable[[str], None]
    _lost: Callable[[StreamConnection], None]
    _usable = False

    def __init__(self) -> None:
        self._asked: dict[int, _Asked] = {}
        self._buffer = bytearray()
        self._received = 0
        self._strays = 0
        self._idle: IDelayedCall | None = None
        self._failed = LOST

    def use(
        self,
        reactor: Any,
        randomness: Callable[[int], bytes],
        maxSize: int,
        mismatched: Callable[[str], None],
        lost: Callable[[StreamConnection], None],
    ) -> None:
        """
        Begin to use an open connection.

        @param lost: Called once, when nothing more can be asked.
        """
        self._reactor = reactor
        self._random = randomness
        self._maxSize = maxSize
        self._mismatched = mismatched
        self._lost = lost
        self._usable = True

    def ask(self, question: Question, payloadSize: int | None, block: int) -> Deferred[bytes]:
        """
        Send a question.

        @param block: What to pad to; 0 does not pad.
        @return: The answer, not yet looked into, or L{ExchangeFailed}. Cancelling it gives
            the connection up where nothing came since.
        """
        if not self._usable:
            raise ExchangeFailed(LOST, "the connection was closed")
        ident = self._freeIdent()
        answer: Deferred[bytes] = Deferred(lambda _: self._gaveUp(ident))
        asked = question.wire()
        self._asked[ident] = _Asked(asked, self._received, answer)
        message = question.message(ident, asked, payloadSize=payloadSize, paddingBlock=block)
        self._stopIdling()
        assert self.transport is not None
        self.transport.write(len(message).to_bytes(2, "big") + message)
        return answer

    def rest(self) -> None:
        """
        Close after a while unless something is asked.
        """
        if self._usable and not self._asked and self._idle is None:
            self._idle = self._reactor.callLater(IDLE, self._close)

    def abort(self) -> None:
        """
        Close at once; what is asked fails.
        """
        self._retire()
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()
        self._failAll()

    def dataReceived(self, data: bytes) -> None:
        """
        Take whole messages from the stream. A length beyond the limit ends the connection
        before any of the message is kept.
        """
        if not self._usable:
            return
        self._received += len(data)
        buffer = self._buffer
        buffer += data
        offset = 0
        while len(buffer) - offset >= 2 and self._usable:
            size = int.from_bytes(buffer[offset : offset + 2], "big")
            if not HEADER_SIZE <= size <= self._maxSize:
                self._failed = "size" if size > self._maxSize else "malformed"
                self.abort()
                return
            if len(buffer) - offset - 2 < size:
                break
            offset += 2 + size
            self._messageReceived(bytes(buffer[offset - size : offset]))
        del buffer[:offset]
        self.rest()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The upstream closed, or the network failed.
        """
        self._retire()
        self._failAll()

    def _messageReceived(self, message: bytes) -> None:
        ident = identify(message)[0]
        asked = self._asked.get(ident)
        wrong = "id" if asked is None else mismatch(message, ident, asked.question)
        if asked is not None and wrong in (None, "case"):
            del self._asked[ident]
            asked.answer.callback(message)
            return
        assert wrong is not None
        self._mismatched(wrong)
        self._strays += 1
        if self._strays >= MAX_STRAYS:
            self._failed = "flood"
            self.abort()

    def _freeIdent(self) -> int:
        while True:
            ident = int.from_bytes(self._random(2), "big")
            if ident not in self._asked:
                return ident

    def _gaveUp(self, ident: int) -> None:
        asked = self._asked.pop(ident, None)
        if asked is not None and asked.mark == self._received:
            self.abort()
        else:
            self.rest()

    def _close(self) -> None:
        self._idle = None
        self._retire()
        if self.transport is not None:
            self.transport.loseConnection()

    def _retire(self) -> None:
        self._stopIdling()
        if self._usable:
            self._usable = False
            self._buffer.clear()
            self._lost(self)

    def _failAll(self) -> None:
        asked, self._asked = self._asked, {}
        for one in asked.values():
            one.answer.errback(ExchangeFailed(self._failed, "the connection was closed"))

    def _stopIdling(self) -> None:
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        self._idle = None
