# -*- test-case-name: aero.ws.test.test_mux -*-
"""
How a stream that a client of C{/tcp-mux} opens is refused.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from aero.errors import Refused
from aero.net.dialer import ApprovedTarget
from aero.wire.tcpmux import ErrorCode


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
