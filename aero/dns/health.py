# -*- test-case-name: aero.dns.test.test_health -*-
"""
Which upstreams have fallen silent, so that not every question waits for one that is gone.

Upstreams are asked in the order of the settings (gateway.md section 14.6). One goes to the end
of the line only when nothing at all came from it for a while and several attempts were in
vain. A single slow name is no reason, whoever asks for it: as long as the upstream answers
anything, even with an error, it keeps its place. A silent one is tried in its place again
every few seconds, by one question at a time.
"""

from __future__ import annotations

from typing import Final, Sequence

from .exchange import Exchange

#: Attempts in vain, one after the other, and the seconds they cover, that make one silent.
ATTEMPTS: Final = 3
SILENCE: Final = 10.0
#: Seconds without an attempt until one question finds out whether it is back.
PROBE: Final = 10.0

#: Failures in which no byte of an answer came.
_SILENT: Final = frozenset({"address", "connect", "network", "timeout"})


class _Upstream:
    """
    What is known of one.
    """

    __slots__ = ("exchange", "failures", "probeAt", "silentSince")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.failures = 0
        self.silentSince = 0.0
        self.probeAt = 0.0


class UpstreamHealth:
    """
    The order in which to ask the upstreams.
    """

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        """
        @param exchanges: In the order of the settings.
        """
        self._upstreams = [_Upstream(exchange) for exchange in exchanges]

    def inOrder(self, now: float) -> list[Exchange]:
        """
        All upstreams, the silent ones last. One whose turn to be tried again has come is in its
        place for this one question.
        """
        order: list[Exchange] = []
        silent: list[Exchange] = []
        for one in self._upstreams:
            if one.failures < ATTEMPTS or now - one.silentSince < SILENCE:
                order.append(one.exchange)
            elif now >= one.probeAt:
                one.probeAt = now + PROBE
                order.append(one.exchange)
            else:
                silent.append(one.exchange)
        return order + silent

    def answered(self, exchange: Exchange) -> None:
        """
        Something came, if only an error.
        """
        self._find(exchange).failures = 0

    def failed(self, exchange: Exchange, reason: str, now: float) -> None:
        """
        An attempt was in vain.

        @param reason: That of L{aero.dns.exchange.ExchangeFailed}. One that shows that the
            upstream is there, such as an answer too large, counts as an answer.
        """
        one = self._find(exchange)
        if reason not in _SILENT:
            one.failures = 0
            return
        if not one.failures:
            one.silentSince = now
        one.failures += 1
        one.probeAt = now + PROBE

    def _find(self, exchange: Exchange) -> _Upstream:
        return next(one for one in self._upstreams if one.exchange is exchange)
