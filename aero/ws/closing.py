# -*- test-case-name: aero.ws.test.test_protocol -*-
"""
How a WebSocket session ended.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Closed:
    """
    How a session ended.

    @ivar code: The close code that decided it: the client's, or ours where we closed first.
        1005 stands for a close frame without one, 1006 for no close frame at all.
    @ivar reason: The text beside it.
    @ivar clean: Whether both sides sent their close frame.
    """

    code: int
    reason: str
    clean: bool
