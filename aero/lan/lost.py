# -*- test-case-name: aero.lan.test.test_transport -*-
"""
How a connection of a guest ends when it does not end in order.
"""

from __future__ import annotations

from twisted.internet import error


class GuestLost(error.ConnectionLost):
    """
    A connection of the guest did not end in order.

    @ivar reason: The word of C{TCPClosed}; or C{tunnel} where the whole guest is gone, C{revoked}
        where that is because the policy does not let it go on.
    @ivar isSilent: Whether the guest did not reset the connection but went away, so that
        everything that it sent is still to be delivered.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the guest's connection is over: {reason}")
        self.reason = reason
        self.isSilent = reason in ("tunnel", "timeout", "unreachable")
