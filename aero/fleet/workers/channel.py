# -*- test-case-name: aero.fleet.workers.test.test_channel -*-
"""
The conversation between a supervisor and one worker: questions and answers as JSON, over a pair
of pipes.

Both ends are the same program and the same user, so what comes in is checked for its form only.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Mapping

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

#: Bytes of one message; a page of metrics has a few hundred KiB.
MAX_BYTES = 16_777_216

#: Answers a question; what it returns, or the Deferred of it, is sent back.
Handler = Callable[[Any], Any]


class RemoteError(Exception):
    """
    The other end could not answer; the text is what it said.
    """


class WorkerChannel(Int32StringReceiver):
    """
    One end.
    """

    MAX_LENGTH = MAX_BYTES

    _log = Logger()

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        """
        @param handlers: What this end answers, by the name of the question.
        """
        self._handlers = handlers
        self._waiting: dict[int, Deferred[Any]] = {}
        self._last = 0
        self._lost = False

    def ask(self, question: str, value: Any = None) -> Deferred[Any]:
        """
        Ask the other end.

        @return: Fires with the answer; fails with L{RemoteError}, or with
            L{ConnectionLost<twisted.internet.error.ConnectionLost>} where there is none to come.
        """
        if self._lost:
            return fail(ConnectionLost())
        self._last += 1
        number = self._last

        def forget(cancelled: Deferred[Any]) -> None:
            self._waiting.pop(number, None)

        answer: Deferred[Any] = Deferred(forget)
        self._waiting[number] = answer
        self._send({"ask": question, "id": number, "value": value})
        return answer

    def tell(self, question: str, value: Any = None) -> None:
        """
        Say something that has no answer.
        """
        if not self._lost:
            self._send({"ask": question, "value": value})

    def stringReceived(self, string: bytes) -> None:
        """
        A question, or an answer.
        """
        message = json.loads(string)
        if "ask" in message:
            self._answer(message)
            return
        waiting = self._waiting.pop(message.get("id"), None)
        if waiting is None:
            return
        if "error" in message:
            waiting.errback(RemoteError(message["error"]))
        else:
            waiting.callback(message["answer"])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Nothing that was asked will be answered.
        """
        self._lost = True
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            each.errback(ConnectionLost())

    def _answer(self, message: dict[str, Any]) -> None:
        question, number = message["ask"], message.get("id")
        handler = self._handlers.get(question)
        if handler is None:
            if number is not None:
                self._send({"id": number, "error": f"no such question: {question}"})
            return
        done: Deferred[Any] = maybeDeferred(handler, message.get("value"))
        if number is None:
            done.addErrback(
                lambda failure: self._log.failure("{question} failed", failure, question=question)
            )
            return
        done.addCallbacks(
            lambda answer: self._send({"id": number, "answer": answer}),
            lambda failure: self._send({"id": number, "error": failure.getErrorMessage()}),
        )

    def _send(self, message: dict[str, Any]) -> None:
        if not self._lost:
            data = json.dumps(message, separators=(",", ":")).encode()
            self.sendString(data)  # type: ignore[no-untyped-call]
