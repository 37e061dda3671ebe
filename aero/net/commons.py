# -*- test-case-name: aero.net.test.test_commons -*-
"""
What all clients of a process share: its time, its memory, its sockets.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from aero.metrics import Metrics
from aero.metrics import shares as rows
from aero.policy.budget import Budget
from aero.settings.shares import ShareSettings

from .allowance import Allowance
from .memory import RELEASE_BYTES, ReleaseAfterPeak, returnFreedMemory
from .turns import Turns


class Commons:
    """
    One of each, for the whole process.

    @ivar turns: The time that clients' messages may take.
    @ivar allowance: The messages without effect that a client may send.
    @ivar waiting: The bytes of memory that tunnels and guests may hold.
    @ivar sockets: The sockets that they may have open, one unit each.
    """

    def __init__(
        self, clock: IReactorTime, metrics: Metrics, settings: ShareSettings | None = None
    ) -> None:
        settings = ShareSettings() if settings is None else settings
        self.turns = Turns(clock, settings.turnTime, ended=metrics.counter(rows.TURNS_ENDED).inc)
        self.allowance = Allowance(clock, metrics, settings.noEffectRate, settings.noEffectBurst)
        gauge = metrics.gauge(rows.WAITING_BYTES)
        memory = ReleaseAfterPeak(clock, RELEASE_BYTES, returnFreedMemory)

        def changed(used: int) -> None:
            gauge.set(used)
            memory.changed(used)

        self.waiting = Budget(
            settings.maxWaitingBytes,
            settings.maxWaitingBytesPerIP,
            changed=changed,
            refused=lambda limit: metrics.counter(rows.WAITING_REFUSED, limit).inc(),
        )
        self.sockets = Budget(
            settings.maxSockets,
            settings.maxSocketsPerIP,
            changed=metrics.gauge(rows.SOCKETS).set,
            refused=lambda limit: metrics.counter(rows.SOCKETS_REFUSED, limit).inc(),
        )
