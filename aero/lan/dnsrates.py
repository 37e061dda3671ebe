# -*- test-case-name: aero.lan.test.test_dnsrates -*-
"""
How many questions guests may ask of the resolver.

There are two rates: one for each guest, and one for all guests of a client address together, so
that a client does not get more by opening more tunnels. An answer that the LAN gives by itself
costs nothing: an answer from the guest's own cache, a static name, AAAA.
"""

from __future__ import annotations

from twisted.logger import Logger

from aero.metrics import Metrics
from aero.metrics import lan as rows
from aero.policy.quota import MakeBuckets, TokenBuckets, addressKey, localBuckets
from aero.settings.lan import LANSettings

from .peer import GuestPeer

#: Seconds between two log lines about the same guest.
QUIET = 60.0


class QuestionRates:
    """
    The rates of all guests of this process.
    """

    _log = Logger()

    def __init__(
        self, settings: LANSettings, metrics: Metrics, makeBuckets: MakeBuckets = localBuckets
    ) -> None:
        """
        @param makeBuckets: Makes the buckets of client addresses, which several processes may
            share.
        """
        self._guests = TokenBuckets(settings.dnsQPS, settings.dnsBurst)
        self._addresses = makeBuckets("dns.guests", settings.dnsQPSPerIP, settings.dnsBurstPerIP)
        self._lines = TokenBuckets(1 / QUIET, 1)
        self._limited = {
            limit: metrics.counter(rows.DNS_LIMITED, limit) for limit in ("guest", "address")
        }

    def admit(self, peer: GuestPeer, now: float) -> bool:
        """
        Count a question.

        @param peer: The guest that asks.
        @param now: The time of the reactor.
        @return: Whether it may be asked.
        """
        if self._guests.take(peer.tunnel, now):
            limit = "guest"
        elif self._addresses.take(addressKey(peer.address), now):
            limit = "address"
        else:
            return True
        self._limited[limit].inc()
        if not self._lines.take(peer.tunnel, now):
            self._log.warn(
                "tunnel {tunnel_id} asks too many DNS questions (limit for each {limit});"
                " the rest is dropped",
                tunnel_id=peer.tunnel,
                limit=limit,
            )
        return False
