# -*- test-case-name: aero.ws.test.test_protocol -*-
"""
How a WebSocket protocol calls what its users have written.
"""

from __future__ import annotations

from inspect import isawaitable
from typing import Any, Callable

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from aero.errors import Refused
from aero.wire.websocket import INTERNAL_ERROR, POLICY_VIOLATION


class Hooks:
    """
    Calls hooks. An exception of theirs, or of the Deferred or coroutine that one returns, is logged
    once and closes the session with 1011; a L{Refused} closes it with 1008 and its message.
    """

    _log = Logger()

    factory: Any

    def failConnection(self, code: int, reason: str = "") -> None:
        """
        See L{aero.ws.protocol.AeroWebSocketProtocol.failConnection}.
        """
        raise NotImplementedError

    def _call(self, hook: Callable[..., Any], *arguments: Any) -> None:
        try:
            result = hook(*arguments)
        except Exception:  # noqa: BLE001 - a user's hook may raise anything
            self._hookFailed(Failure())
        else:
            if result is not None:
                self._watch(result)

    def _watch(self, result: Any) -> None:
        """
        Notice when what a hook returned fails later.
        """
        if isinstance(result, Deferred):
            result.addErrback(self._hookFailed)
        elif isawaitable(result):
            ensureDeferred(result).addErrback(self._hookFailed)  # type: ignore[arg-type]

    def _hookFailed(self, failure: Failure) -> None:
        refused = failure.value
        if isinstance(refused, Refused):
            self.failConnection(POLICY_VIOLATION, refused.message)
            return
        self._log.failure(
            "The WebSocket protocol {protocol} of {endpoint} failed",
            failure=failure,
            protocol=type(self).__qualname__,
            endpoint=self.factory.name,
        )
        self.failConnection(INTERNAL_ERROR, "internal error")
