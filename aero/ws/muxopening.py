# -*- test-case-name: aero.ws.test.test_mux -*-
"""
What a client of C{/tcp-mux} offers, and how a stream that it opens is refused.
"""

from __future__ import annotations

from typing import Sequence

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from aero.errors import Refused
from aero.net.dialer import ApprovedTarget
from aero.wire.tcpmux import ErrorCode

_MAX_OFFER_BYTES, _MAX_OFFERS = 4_096, 32
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def offeredProtocols(lines: Sequence[bytes]) -> list[str]:
    """
    Read C{Sec-WebSocket-Protocol} (section 13.1).

    @param lines: Its lines, unmerged.
    @return: The names offered; none where the header is absent or empty.
    @raise Refused: It is too long, or not a list of tokens.
    """
    text = ",".join(line.decode("latin-1") for line in lines)
    if not text.strip(" \t,"):
        return []
    names = [name.strip(" \t") for name in text.split(",")]
    if (
        sum(map(len, lines)) > _MAX_OFFER_BYTES
        or len(names) > _MAX_OFFERS
        or not all(name and _TOKEN.issuperset(name) for name in names)
    ):
        raise Refused(
            400, "bad_request", "Invalid Sec-WebSocket-Protocol header", reason="subprotocol"
        )
    return names


def refusalIn(approval: Deferred[ApprovedTarget]) -> Refused | None:
    """
    The refusal of the policy, where it did not even have to ask for the name.
    """
    result = getattr(approval, "result", None)
    if isinstance(result, Failure) and isinstance(result.value, Refused):
        refused = result.value
        if refused.reason != "lookup":
            giveUp(approval)
            return refused
    return None


def giveUp(approval: Deferred[ApprovedTarget]) -> None:
    """
    Whatever comes of an approval, nobody wants it any more.
    """
    approval.addErrback(lambda failure: None)
    approval.cancel()


def errorFor(refused: Refused) -> tuple[int, str]:
    """
    The error that a refusal is on a stream (section 11.4).
    """
    if refused.reason == "lookup":
        return ErrorCode.DIAL_FAILED, "dial failed"
    if refused.reason == "slots":
        return ErrorCode.STREAM_LIMIT_EXCEEDED, refused.message
    if refused.reason == "config":
        return ErrorCode.DIAL_FAILED, refused.message
    if refused.status == 400:
        return ErrorCode.PROTOCOL_ERROR, refused.message
    return ErrorCode.POLICY_DENIED, refused.message
