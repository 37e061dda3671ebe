# -*- test-case-name: aero.dns.test.test_dohupstream -*-
"""
Posting a DNS message to an upstream, whatever the version of HTTP (RFC 8484 section 4).
"""

from __future__ import annotations

from typing import Final, Protocol, Sequence

from twisted.internet.defer import Deferred

TYPE: Final = b"application/dns-message"


class Poster(Protocol):
    """
    The way to one upstream.
    """

    def post(self, message: bytes) -> Deferred[bytes]:
        """
        Post a query. The caller cancels the Deferred when it has waited long enough.

        @return: The body of a response that L{problemWith} finds nothing wrong with, or
            L{ExchangeFailed<aero.dns.exchange.ExchangeFailed>}.
        """

    def stop(self) -> None:
        """
        Drop connections.
        """


def problemWith(status: int, types: Sequence[bytes]) -> str | None:
    """
    What is wrong with the head of a response. Redirections are not followed: whom to ask is
    the operator's choice.

    @param types: The lines of C{Content-Type}.
    @return: A stable word, or C{None}.
    """
    if not 200 <= status < 300:
        return "status"
    if len(types) != 1 or types[0].partition(b";")[0].strip().lower() != TYPE:
        return "type"
    return None
