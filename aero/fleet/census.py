# -*- test-case-name: tests.test_redis -*-
"""
Questions to every process that uses a Redis.

A question is published; each process that listens puts its answer into a hash that belongs to the
question and expires by itself. Redis tells how many processes listen, so the one that asks knows
when the answers are complete, and waits a bounded time for them.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any, Sequence

from redis.exceptions import RedisError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from . import scripts
from .store import Answer

#: What a Redis that is away raises.
AWAY = (RedisError, OSError, asyncio.TimeoutError)

#: Seconds that processes have to answer, and seconds between two looks for answers.
PATIENCE, LOOK = 1.5, 0.02

#: Seconds that answers stay in Redis.
KEPT = 10.0

#: Bytes of one answer; a longer one counts as none.
MAX_ANSWER = 1_048_576


class Census:
    """
    Asks and answers.

    @ivar channel: Where questions are published.
    """

    _log = Logger()

    def __init__(
        self, client: Any, *, process: str, prefix: str, clock: IReactorTime, timeout: float
    ) -> None:
        """
        @param client: The client of Redis.
        @param process: A name that no other process has.
        @param prefix: What the keys in Redis begin with.
        @param timeout: Seconds that Redis has for each answer of its own.
        """
        self.channel = f"{prefix}questions"
        self._client = client
        self._process = process
        self._prefix = prefix
        self._clock = clock
        self._timeout = timeout
        self._answers: dict[str, Answer] = {}
        self._put = client.register_script(scripts.ANSWER)

    def answer(self, question: str, answer: Answer) -> None:
        """
        Answer a question from now on.
        """
        self._answers[question] = answer

    async def askAll(self, question: str) -> tuple[Sequence[Any], bool]:
        """
        Ask every process.

        @return: The answers that came in time, this process' included, and whether those are all.
        """
        name = os.urandom(12).hex()
        key = f"{self._prefix}answers:{name}"
        own = self._answers[question]()
        try:
            asked = json.dumps([question, name])
            listening = await self._within(self._client.publish(self.channel, asked))
            end = self._clock.seconds() + PATIENCE
            while await self._within(self._client.hlen(key)) < listening:
                if self._clock.seconds() >= end:
                    break
                await asyncio.sleep(LOOK)
            found = await self._within(self._client.hgetall(key))
            await self._within(self._client.delete(key))
        except AWAY as error:
            self._log.warn("Redis did not answer: {error}", error=str(error) or repr(error))
            return [own], False
        mine = self._process.encode()
        others = [json.loads(text) for process, text in found.items() if process != mine]
        return [own, *others], len(found) == listening and mine in found

    async def asked(self, message: bytes) -> None:
        """
        Answer a question of any process. One that is not known here is left to the others.
        """
        try:
            question, name = json.loads(message)
            answer = self._answers[question]
        except (ValueError, TypeError, KeyError):
            return
        text = json.dumps(answer(), separators=(",", ":"))
        if len(text) > MAX_ANSWER:
            self._log.warn("an answer of {size} bytes is too long", size=len(text))
            return
        key = f"{self._prefix}answers:{name}"
        try:
            await self._within(
                self._put(keys=[key], args=[self._process, text, round(KEPT * 1000)])
            )
        except AWAY as error:
            self._log.debug("an answer was lost: {error}", error=str(error) or repr(error))

    async def _within(self, asked: Any) -> Any:
        return await asyncio.wait_for(asked, self._timeout)
