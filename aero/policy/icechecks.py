# -*- test-case-name: aero.policy.test.test_icechecks -*-
"""
Where ICE may send connectivity checks, and how many (RFC 8445 section 19.5.1).

A client names any addresses it likes as its candidates, and the text of the checks is partly its
own. So the candidates that it tells pass the policy about addresses, and checks that nobody answers
are few: to one address, of one session, for one client and for the process.

An address that answers a check has agreed to more (RFC 8445 section 7.2.5.3): its checks are not
counted any more. One that sends a check of its own may be checked in return, though only a few
times for each that it sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from .quota import TokenBuckets, addressKey
from .reach import AddressPolicy

#: Checks that one check of the peer allows in return.
_RETURNED = 2
#: Seconds of its rate that a client or the process may use at once.
_BURST_SECONDS = 10.0

_Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLimits:
    """
    How much ICE may do for one client.

    @ivar candidates: Candidates that one session may tell.
    @ivar perAddress: Unanswered checks of one session to one IP address.
    @ivar perSession: Unanswered checks of one session.
    @ivar clientRate: Unanswered checks a second of all sessions of one client address; 0 is any.
    @ivar rate: The same of all sessions of the process.
    """

    candidates: int = 16
    perAddress: int = 16
    perSession: int = 64
    clientRate: float = 50.0
    rate: float = 1_000.0


class IceChecks:
    """
    The checks of all sessions of a process.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        limits: CheckLimits,
        *,
        now: Callable[[], float],
        refused: Callable[[str], object],
    ) -> None:
        """
        @param now: Gives seconds.
        @param refused: Told why a candidate or a check was refused: C{policy}, C{candidates},
            C{address}, C{session}, C{client} or C{process}.
        """
        self.policy = policy
        self.limits = limits
        self.now = now
        self.refused = refused
        rates = limits.clientRate, limits.rate
        self.clients, self.process = (TokenBuckets(r, r * _BURST_SECONDS) for r in rates)

    def session(self, client: str) -> SessionChecks:
        """
        The checks of a new session.

        @param client: The address of the client that asks for it.
        """
        return SessionChecks(self, addressKey(client))


class SessionChecks:
    """
    The checks of one session.
    """

    def __init__(self, shared: IceChecks, client: str) -> None:
        self._shared = shared
        self._client = client
        self._candidates = 0
        self._total = 0
        self._sent: dict[str, int] = {}
        self._answered: set[_Address] = set()

    def allowsCandidate(self, address: str) -> bool:
        """
        Whether a candidate that the client tells may be used, which is counted.

        @param address: Its IP address.
        """
        shared = self._shared
        if self._candidates >= shared.limits.candidates:
            shared.refused("candidates")
            return False
        self._candidates += 1
        if not shared.policy.allows(address):
            shared.refused("policy")
            return False
        return True

    def allowsCheck(self, address: _Address) -> bool:
        """
        Whether a check may be sent, or sent again; which is counted.

        @param address: Where to: IP address and port.
        """
        if address in self._answered:
            return True
        shared, limits, host = self._shared, self._shared.limits, address[0]
        sent = self._sent.get(host, 0)
        reason = ""
        if sent >= limits.perAddress:
            reason = "address"
        elif self._total >= limits.perSession:
            reason = "session"
        else:
            now = shared.now()
            if shared.clients.take(self._client, now):
                reason = "client"
            elif shared.process.take("", now):
                reason = "process"
        if reason:
            shared.refused(reason)
            return False
        self._sent[host] = sent + 1
        self._total += 1
        return True

    def checkReceived(self, address: _Address) -> None:
        """
        The peer has sent a check of its own, with the session's password.
        """
        sent = self._sent.get(address[0], 0)
        returned = min(sent, _RETURNED)
        self._sent[address[0]] = sent - returned
        self._total -= returned

    def answerReceived(self, address: _Address) -> None:
        """
        The peer has answered a check.
        """
        self._answered.add(address)
