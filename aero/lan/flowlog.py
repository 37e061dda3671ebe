# -*- test-case-name: aero.lan.test.test_flowlog -*-
"""
One line in the log for everything that a guest did with the outside: who, where, how much, and
how it ended. For whoever has to answer a complaint.

Addresses are blurred as everywhere, unless the operator wants them whole. Guests can make
flows faster than a log can be written, so that lines have a rate, of which one guest gets a part
only; how many were left out is said with the next one.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from aero.log import blurred
from aero.metrics import Metrics
from aero.metrics import lan as rows
from aero.policy.quota import TokenBuckets
from aero.wire.ipv4 import addressText

from .peer import GuestPeer

_KEY = "flows"
#: Seconds whose lines may come at once.
_BURST = 4
#: Guests who may write as much as they can and not keep others from being written about.
_GUESTS = 5


class FlowLog:
    """
    The log of flows of all guests.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        metrics: Metrics,
        *,
        rate: float,
        fullAddresses: bool = False,
    ) -> None:
        """
        @param rate: Lines a second, in bursts of four seconds' worth; a fifth of it for one
            guest; 0 writes none.
        @param fullAddresses: Whether addresses are written whole.
        """
        self._clock = clock
        self._enabled = rate > 0
        self._bucket = TokenBuckets(rate, _BURST * rate)
        share = max(1.0, rate / _GUESTS)
        self._shares = TokenBuckets(share, _BURST * share)
        self._fullAddresses = fullAddresses
        self._left = 0
        self._notLogged = metrics.counter(rows.FLOWS_NOT_LOGGED)

    def flowEnded(
        self,
        peer: GuestPeer,
        protocol: str,
        address: int,
        port: int,
        *,
        sent: int,
        received: int,
        began: float,
        reason: str,
    ) -> None:
        """
        A flow is over.

        @param protocol: C{tcp} or C{udp}.
        @param address: Where the guest wanted to go.
        @param sent: Bytes of payload from the guest.
        @param received: Bytes of payload for it.
        @param began: When it began, by the clock.
        @param reason: How it ended, in one word.
        """
        if self._mayWrite(peer):
            self._log.info(
                "tunnel {tunnel} of {client}: {protocol} to {target}:{port} {reason} after"
                " {seconds:.1f} s, {sent} bytes sent, {received} received{left}",
                tunnel=peer.tunnel,
                session=peer.session,
                client=self._shown(peer.address),
                protocol=protocol,
                target=self._shown(addressText(address)),
                port=port,
                reason=reason,
                seconds=self._clock.seconds() - began,
                sent=sent,
                received=received,
                left=self._leftOut(),
            )

    def refused(
        self, peer: GuestPeer, wanted: str, address: int, port: int, *, reason: str
    ) -> None:
        """
        A guest wanted something that the policy does not allow.

        @param wanted: C{tcp}, C{udp} or C{ping}.
        @param reason: The rule, in one word.
        """
        if self._mayWrite(peer):
            self._log.info(
                "tunnel {tunnel} of {client}: {protocol} to {target}:{port} refused,"
                " {reason}{left}",
                tunnel=peer.tunnel,
                session=peer.session,
                client=self._shown(peer.address),
                protocol=wanted,
                target=self._shown(addressText(address)),
                port=port,
                reason=reason,
                left=self._leftOut(),
            )

    def _mayWrite(self, peer: GuestPeer) -> bool:
        if not self._enabled:
            return False
        now = self._clock.seconds()
        if self._shares.take(peer.tunnel, now) or self._bucket.take(_KEY, now):
            self._left += 1
            self._notLogged.inc()
            return False
        return True

    def _leftOut(self) -> str:
        left, self._left = self._left, 0
        return f" ({left} lines left out before)" if left else ""

    def _shown(self, address: str) -> str:
        return address if self._fullAddresses else blurred(address)
