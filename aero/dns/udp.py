# -*- test-case-name: aero.dns.test.test_udp -*-
"""
An upstream that is asked over UDP, and over TCP where a datagram will not do.

An answer is believed because of three things that somebody off the path has to guess at once:
the port, the id, and the case of every letter of the name. An upstream that loses the case
is asked again with another port and id and no mixture, so that a forger has to win twice.
"""

from __future__ import annotations

from typing import Any, Callable, Final

from twisted.internet.defer import Deferred

from aero.metrics import Metrics
from aero.metrics import dns as rows
from aero.policy.upstreams import Upstream
from aero.wire.dns import TC, identify
from aero.wire.dnsanswer import ScannedAnswer
from aero.wire.dnsquery import Question, mixCase

from .addresses import UpstreamAddress
from .datagrams import DatagramQuery, OpenSocket, openSocket
from .exchange import PAYLOAD_SIZE, Exchange, ExchangeFailed, dislikesEDNS, usable

#: Times in a row that an upstream loses the case before it is asked without a mixture.
_CASE_LOSSES: Final = 3
#: Seconds until the mixture is tried again.
_UNMIXED: Final = 600.0


class UDPExchange:
    """
    Plain DNS (RFC 1035).
    """

    kind = "udp"

    def __init__(
        self,
        upstream: Upstream,
        *,
        reactor: Any,
        stream: Exchange,
        randomness: Callable[[int], bytes],
        caseMixing: bool,
        maxSize: int,
        metrics: Metrics,
        open: OpenSocket = openSocket,
    ) -> None:
        """
        @param stream: The way to the same upstream over TCP.
        @param randomness: Unpredictable bytes, such as C{os.urandom}.
        @param caseMixing: Whether to mix the case of names.
        @param maxSize: Bytes of an answer at the most.
        @param open: Opens a socket.
        """
        self.label = upstream.label
        self._port = upstream.port
        self._reactor = reactor
        self._stream = stream
        self._random = randomness
        self._mixing = caseMixing
        self._maxSize = maxSize
        self._payloadSize = max(512, min(PAYLOAD_SIZE, maxSize))
        self._metrics = metrics
        self._open = open
        self._address = UpstreamAddress(reactor, upstream.host)
        self._caseLosses = 0
        self._unmixedUntil = 0.0

    def exchange(self, question: Question) -> Deferred[ScannedAnswer]:
        """
        See L{Exchange.exchange}.
        """
        return Deferred.fromCoroutine(self._exchange(question))

    def stop(self) -> None:
        """
        See L{Exchange.stop}.
        """
        self._stream.stop()

    async def _exchange(self, question: Question) -> ScannedAnswer:
        address = await self._address.get()
        mixing = self._mixing and self._reactor.seconds() >= self._unmixedUntil
        payloadSize: int | None = self._payloadSize
        while True:
            try:
                message = await self._ask(question, address, mixing, payloadSize)
            except ExchangeFailed as error:
                if error.reason == "case" and mixing:
                    mixing = False
                    self._caseLost()
                    continue
                if error.reason == "flood":
                    return await self._askOverTCP(question, "mismatches")
                raise
            if mixing:
                self._caseLosses = 0
            if identify(message)[1] & TC:
                return await self._askOverTCP(question, "truncated")
            try:
                answer = usable(message)
            except ExchangeFailed:
                if payloadSize is None:
                    raise
            else:
                if payloadSize is None or not dislikesEDNS(answer):
                    return answer
            payloadSize = None

    def _ask(
        self, question: Question, address: str, mixing: bool, payloadSize: int | None
    ) -> Deferred[bytes]:
        ident = int.from_bytes(self._random(2), "big")
        name = mixCase(question.name, self._random(len(question.name))) if mixing else None
        asked = question.wire(name)
        message = question.message(ident, asked, payloadSize=payloadSize)
        query = DatagramQuery(
            self._reactor,
            ident=ident,
            question=asked,
            maxSize=self._maxSize,
            mismatched=self._mismatched,
        )
        try:
            made = self._open(address, self._port)
        except OSError as error:
            raise ExchangeFailed("network", str(error)) from None
        return query.send(made, message)

    def _askOverTCP(self, question: Question, reason: str) -> Deferred[ScannedAnswer]:
        self._metrics.counter(rows.TCP_RETRIES, reason).inc()
        return self._stream.exchange(question)

    def _mismatched(self, reason: str) -> None:
        self._metrics.counter(rows.MISMATCHES, reason).inc()

    def _caseLost(self) -> None:
        """
        Stop mixing for a while once an upstream has shown that it never keeps the case.
        """
        self._caseLosses += 1
        if self._caseLosses >= _CASE_LOSSES:
            self._caseLosses = 0
            self._unmixedUntil = self._reactor.seconds() + _UNMIXED
