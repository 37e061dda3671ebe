# -*- test-case-name: aero.web.test.test_health -*-
"""
C{/healthz}, C{/readyz} and C{/version} (gateway.md sections 5.1 to 5.3).

Healthy means that the process answers at all; ready means that it wants work. A process
that drains says so here first, while its listeners are still open, so that a load balancer
can take it out before anything is refused.
"""

from __future__ import annotations

from typing import Callable, Iterable

from twisted.web.server import Request

from aero.http.endpoint import Endpoint
from aero.http.replies import Header, replyJSON
from aero.metrics import Metrics
from aero.metrics.workers import READY

#: The state of a process is only ever true now.
_UNCACHED: list[Header] = [(b"Cache-Control", b"no-store")]


class Readiness:
    """
    Whether the process wants work: all its parts are up, and it is not draining.

    @ivar draining: Whether the process is stopping; there is no way back.
    """

    def __init__(self, parts: Iterable[str] = ()) -> None:
        """
        @param parts: Names of what has to come up first, such as C{certificate}.
        """
        self.draining = False
        self._parts = dict.fromkeys(parts, False)
        self._probes: dict[str, Callable[[], bool]] = {}
        self._told: dict[str, Callable[[], object]] = {}

    def set(self, part: str, ready: bool = True) -> None:
        """
        Say that a part is up, or down again.
        """
        self._parts[part] = ready

    def watch(self, part: str, probe: Callable[[], bool]) -> None:
        """
        Ask for the state of a part whenever somebody wants to know.

        @param probe: Gives at once whether the part is up. One that raises is down.
        """
        self._probes[part] = probe

    def tell(self, part: str, describe: Callable[[], object]) -> None:
        """
        Tell more about a part to whoever asks.

        @param describe: Gives what fits in JSON.
        """
        self._told[part] = describe

    def told(self) -> dict[str, object]:
        """
        What there is to tell, by part.
        """
        return {part: describe() for part, describe in self._told.items()}

    def drain(self) -> None:
        """
        The process begins to stop.
        """
        self.draining = True

    @property
    def ready(self) -> bool:
        """
        Whether to send work here.
        """
        return not self.draining and not self.missing()

    def missing(self) -> list[str]:
        """
        The names of the parts that are down, for logs.
        """
        down = [name for name, ready in self._parts.items() if not ready]
        return down + [name for name, probe in self._probes.items() if not _holds(probe)]


def publishReadiness(readiness: Readiness, metrics: Metrics) -> None:
    """
    Have the metrics say whether the process is ready, as of each time that they are read.
    """
    gauge = metrics.gauge(READY)
    metrics.beforeExposition(lambda: gauge.set(int(readiness.ready)))


class HealthEndpoint(Endpoint):
    """
    C{GET /healthz}: always C{{"ok": true}}.
    """

    def render_GET(self, request: Request) -> int:
        """
        Answer that the process answers.
        """
        return replyJSON(request, 200, {"ok": True}, headers=_UNCACHED)


class ReadyEndpoint(Endpoint):
    """
    C{GET /readyz}: 200 or 503, with C{{"ok": true}} or C{{"ok": false}}, and what parts have to
    tell of themselves.
    """

    def __init__(self, readiness: Readiness) -> None:
        super().__init__()
        self._readiness = readiness

    def render_GET(self, request: Request) -> int:
        """
        Answer whether the process wants work.
        """
        ready = self._readiness.ready
        body = {"ok": ready, **self._readiness.told()}
        return replyJSON(request, 200 if ready else 503, body, headers=_UNCACHED)


class VersionEndpoint(Endpoint):
    """
    C{GET /version}: what was built, from what, and when.
    """

    def __init__(self, version: str, gitSha: str = "", builtAt: str = "") -> None:
        """
        @param gitSha: The commit; the version where it is empty.
        """
        super().__init__()
        self._value = {"version": version, "gitSha": gitSha or version, "builtAt": builtAt}

    def render_GET(self, request: Request) -> int:
        """
        Answer with three strings.
        """
        return replyJSON(request, 200, self._value)


def _holds(probe: Callable[[], bool]) -> bool:
    try:
        return probe()
    except Exception:  # noqa: BLE001
        return False
