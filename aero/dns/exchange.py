# -*- test-case-name: aero.dns.test.test_upstreams -*-
"""
What the resolver wants of one upstream, however it is reached.
"""

from __future__ import annotations

from typing import Final, Protocol

from twisted.internet.defer import Deferred

from aero.errors import AeroError, DecodeError
from aero.wire.dns import FORMERR, NOTIMP
from aero.wire.dnsanswer import ScannedAnswer, scanAnswer
from aero.wire.dnsquery import Question

#: The datagram that fits through every path without fragments, as agreed by the operators of
#: resolvers; fragments can be forged without knowing id or port.
PAYLOAD_SIZE: Final = 1_232
#: The block that queries on encrypted connections are padded to (RFC 8467 section 4.1).
QUERY_BLOCK: Final = 128


class ExchangeFailed(AeroError):
    """
    An upstream did not answer, or not so that its answer can be used.

    @ivar reason: A stable word for metrics.
    """

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason


class Exchange(Protocol):
    """
    The way to one upstream.

    @ivar label: The upstream in metrics and logs.
    @ivar kind: C{udp}, C{dot} or C{doh}.
    """

    label: str
    kind: str

    def exchange(self, question: Question) -> Deferred[ScannedAnswer]:
        """
        Ask. The caller cancels the Deferred when it has waited long enough.

        @return: An answer to exactly this question, or L{ExchangeFailed}.
        """

    def stop(self) -> None:
        """
        Drop idle connections.
        """


def usable(message: bytes) -> ScannedAnswer:
    """
    Read an answer that is known to belong to its question.

    @raise ExchangeFailed: It is malformed, or has a result that its asker could not be told.
    """
    try:
        scanned = scanAnswer(message)
    except DecodeError as error:
        raise ExchangeFailed("malformed", str(error)) from None
    if scanned.rcode > 15:
        raise ExchangeFailed("rcode", f"extended rcode {scanned.rcode}")
    return scanned


def dislikesEDNS(answer: ScannedAnswer) -> bool:
    """
    Whether an answer is that of a server that does not know EDNS (RFC 6891 section 7).
    """
    return not answer.hadOPT and answer.rcode in (FORMERR, NOTIMP)
