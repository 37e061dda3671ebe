# -*- test-case-name: aero.ws.test.test_intake -*-
"""
The part of a WebSocket protocol that takes turns with others, and counts what leads to nothing.
"""

from __future__ import annotations

from typing import Any, Sequence

from aero.net.allowance import NO_EFFECT
from aero.wire.websocket import POLICY_VIOLATION, Event

#: Why the client is not read: the end of its turn. The others are in L{aero.ws.protocol}.
BY_TURN = 4


class TurnTaking:
    """
    What L{aero.ws.intake.Intake} calls.
    """

    factory: Any
    _discarding: bool
    _key: str

    @property
    def discards(self) -> bool:
        """
        Whether nothing that the client sends is looked at any more.
        """
        return self._discarding

    def expand(self, events: list[Event]) -> Sequence[Event]:
        """
        Cut events into what is handled one at a time. For aero's own subclasses.
        """
        return events

    def mayGoOn(self, kind: str = "") -> bool:
        """
        Count a message without effect (L{aero.net.allowance}); one too many closes.

        @param kind: What it was, for the metrics; the endpoint by default.
        """
        if self.factory.commons.allowance.take(self._key, kind or self.factory.name):
            return True
        self.failConnection(POLICY_VIOLATION, NO_EFFECT)
        return False

    def turnEnded(self) -> None:
        """
        The client had its share of the time.
        """
        self._pause(BY_TURN)

    def turnCame(self) -> None:
        """
        All that had to wait is handled.
        """
        self._resume(BY_TURN)

    def failConnection(self, code: int, reason: str = "") -> None:
        """
        See L{aero.ws.protocol.AeroWebSocketProtocol.failConnection}.
        """
        raise NotImplementedError

    def _pause(self, why: int) -> None:
        raise NotImplementedError

    def _resume(self, why: int) -> None:
        raise NotImplementedError
