# -*- test-case-name: aero.http.test.test_buffers -*-
"""
The bytes that wait in HTTP: headers, request bodies and replies that clients have not taken.

Limits for each connection and stream multiply by their number, so that all of them hold shares of
one L{Budget<aero.policy.budget.Budget>}. A request or body that finds no room is refused with 503;
a reply that has begun is produced in small pieces instead.
"""

from __future__ import annotations

from typing import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from aero.errors import Refused
from aero.metrics import Metrics
from aero.metrics import http as rows
from aero.net.memory import RELEASE_BYTES, ReleaseAfterPeak
from aero.policy.budget import Budget
from aero.settings.http import HTTPSettings

_log = Logger()

#: Bytes that each client may hold although the process has no more to give, so that ordinary
#: requests of others are answered during an attack.
FLOOR = 16_384

#: The part of the limits that bodies may fill, and heads on connections that then hold more than
#: so many bytes. The rest is for ordinary requests on other connections, so that those behind the
#: same address can still load the page.
BODY_PART = 0.75
LITTLE = 16_384

#: Seconds between two lines of the log about refusals of one kind.
QUIET = 60.0

_SETTING = {"process": "AERO_HTTP_BUFFER_BYTES", "client": "AERO_HTTP_BUFFER_BYTES_PER_IP"}


def noRoom() -> Refused:
    """
    The refusal of a request or body that finds no room.
    """
    return Refused(
        503,
        "unavailable",
        "Too many bytes of other requests and replies wait",
        reason="buffer-bytes",
        retryAfter=1,
    )


def partFor(size: int) -> float:
    """
    The part of the limits that the head of a request may fill.

    @param size: The bytes that its connection holds with it.
    """
    return 1.0 if size <= LITTLE else BODY_PART


class Buffers(Budget):
    """
    The budget of a site, with its metrics, its lines in the log, and its reason to return memory.
    """

    def __init__(
        self,
        settings: HTTPSettings,
        metrics: Metrics,
        clock: IReactorTime,
        release: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param release: Returns freed memory to the system. Called some time after much of what
            waited is gone.
        """
        super().__init__(
            settings.bufferBytes,
            settings.bufferBytesPerIP,
            floor=FLOOR,
            changed=self._changedTo,
            refused=self._refusedFor,
        )
        self._metrics = metrics
        self._gauge = metrics.gauge(rows.BUFFER_BYTES)
        self._clock = clock
        self._memory = ReleaseAfterPeak(clock, RELEASE_BYTES, release)
        self._unlogged: dict[str, int] = {}
        self._loggedAt: dict[str, float] = {}

    def _changedTo(self, used: int) -> None:
        self._gauge.set(used)
        self._memory.changed(used)

    def _refusedFor(self, scope: str) -> None:
        self._metrics.counter(rows.BUFFER_REFUSED, scope).inc()
        self._unlogged[scope] = self._unlogged.get(scope, 0) + 1
        now = self._clock.seconds()
        last = self._loggedAt.get(scope)
        if last is not None and now - last < QUIET:
            return
        self._loggedAt[scope] = now
        _log.warn(
            "HTTP refuses requests: too many bytes wait in the {where} ({used} in all; the limit is"
            " {setting}). Refused since the last such line: {count}",
            where="process" if scope == "process" else "connections of one client",
            used=self.used,
            setting=_SETTING[scope],
            count=self._unlogged.pop(scope),
        )
