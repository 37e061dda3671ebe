"""
A source of certificates with an authority in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.net.turn import Turn
from aero.settings.acme import ACMESettings
from aero.tls.certificates import CertifiedKey
from aero.tls.state import StateDirectory

from ..authority import KINDS, ACMEError
from ..keeper import Keeper
from ..source import ACMESource
from .fixtures import EPOCH, FakeAuthority, runHere, wait


class SourceTestCase(SynchronousTestCase):
    """
    Tests with a source of certificates.
    """

    def setUp(self) -> None:
        """
        Have an authority, and an empty state directory.
        """
        self.state = StateDirectory(self.mktemp())
        self.state.open()
        self.clock = Clock()
        self.authority = FakeAuthority(self.now)
        self.changes = 0
        self.metrics = Metrics(ROWS)
        self.dice = 0.0
        self.turns: list[Turn] = []
        self.addCleanup(self.giveBack)

    def giveBack(self) -> None:
        """
        End all processes.
        """
        for turn in self.turns:
            turn.giveBack()

    def now(self) -> float:
        """
        The wall clock.
        """
        return EPOCH + self.clock.seconds()

    def source(self, *, kinds: tuple[str, ...] = KINDS, run: Any = runHere, **settings: Any) -> Any:
        """
        The source, as a process that starts now has it; the one before was killed.
        """
        self.clock.calls.clear()
        self.giveBack()
        return self.beside(kinds=kinds, run=run, **settings)

    def beside(self, *, kinds: tuple[str, ...] = KINDS, run: Any = runHere, **settings: Any) -> Any:
        """
        The source of one more process, beside those that there are.
        """
        values = ACMESettings(**settings)
        keeper = Keeper(self.state, values)
        self.turns.append(keeper.turn())
        source = ACMESource(
            values,
            "example.com",
            keeper,
            self.turns[-1],
            kinds=kinds,
            makeAuthority=lambda account: self.authority,
            run=run,
            clock=self.clock,
            now=self.now,
            randomness=lambda: self.dice,
            metrics=self.metrics,
        )
        source.onChange(self.changed)
        return source

    def changed(self) -> None:
        """
        The source has another certificate.
        """
        self.changes += 1

    def started(self, **options: Any) -> ACMESource:
        """
        The source, when it has had time for an order.
        """
        source: ACMESource = self.source(**options)
        source.start()
        wait(self.clock, 10)
        return source

    def shown(self, source: ACMESource) -> CertifiedKey:
        """
        The certificate for the site name.
        """
        found = source.certificateFor("example.com")
        assert found is not None
        return found

    def fail(self, kind: str, retryAfter: float | None = None) -> None:  # type: ignore[override]
        """
        Have orders refused from now on.
        """
        self.authority.obstacle = {"order": ACMEError(kind, "no", retryAfter)}
