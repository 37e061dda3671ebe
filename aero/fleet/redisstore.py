# -*- test-case-name: tests.test_redis -*-
"""
The shared state of several machines, in Redis.

Nothing waits for a Redis that is away: whatever it does not answer in time is decided by the
settings, and for a second after that nothing is asked at all. What this process holds it says
again every few seconds, so that a Redis that comes back empty knows it soon.

The client is redis-py's for asyncio, which this reactor is; no future leaves this module.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Container, Coroutine, Mapping, Sequence

import redis.asyncio as client
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from aero.metrics import Metrics
from aero.metrics import fleet as rows
from aero.settings.fleet import FleetSettings

from . import scripts
from .census import AWAY, Census
from .store import Answer, Claim, Revoked

#: Seconds that a claim of a process lasts that died, and how often a living one renews its own.
LEASE, RENEWAL = 30.0, 10.0

#: Seconds that nothing is asked after Redis did not answer.
REST = 1.0

#: Sessions that ended here and are told again; the oldest are forgotten first.
MAX_REVOCATIONS = 10_000

#: Connections to Redis: a thousand tunnels that end at once do not open a thousand.
LANES = 8

#: The claims that one step renews.
BATCH = 256


class RedisStore:
    """
    See L{SharedStore}.
    """

    _log = Logger()

    def __init__(
        self,
        settings: FleetSettings,
        *,
        process: str,
        clock: IReactorTime,
        metrics: Metrics,
    ) -> None:
        """
        @param process: A name that no other process of the fleet has.
        """
        self._settings = settings
        self._prefix = settings.redisPrefix
        self._process = process
        self._clock = clock
        self._metrics = metrics
        metrics.gauge(rows.REDIS_CONFIGURED).set(1)
        self._up = metrics.gauge(rows.REDIS_UP)
        self._client: Any = client.Redis.from_url(
            settings.redisURL,
            socket_timeout=settings.redisTimeout,
            socket_connect_timeout=settings.redisTimeout,
            client_name=f"aero-{process}"[:64],
        )
        self._acquire = self._client.register_script(scripts.ACQUIRE)
        self._refresh = self._client.register_script(scripts.REFRESH)
        self._release = self._client.register_script(scripts.RELEASE)
        self._debit = self._client.register_script(scripts.DEBIT)
        self._revoke = self._client.register_script(scripts.REVOKE)
        self._census = Census(
            self._client,
            process=process,
            prefix=self._prefix,
            clock=clock,
            timeout=settings.redisTimeout,
        )
        self._held: dict[str, list[Claim]] = {}
        self._releasing: dict[str, asyncio.Task[None]] = {}
        self._listeners: list[Revoked] = []
        #: The sessions that ended here, for a Redis that did not hear of them or was emptied.
        self._mine: dict[str, list[Any]] = {}
        self._untold: set[str] = set()
        self._lanes = asyncio.Semaphore(LANES)
        self._isAway = False
        self._awayUntil = 0.0
        self._timer: IDelayedCall | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listening: asyncio.Task[None] | None = None

    # -- SharedStore

    def acquire(self, holder: str, claims: Sequence[Claim]) -> Deferred[str]:
        """
        See L{SharedStore.acquire}.
        """
        wanted = [claim for claim in claims if claim.limit > 0]
        if not wanted:
            return succeed("")
        # From now on it is renewed, and can be released while the answer is on its way.
        self._held[holder] = wanted
        return self._deferred(self._acquired(holder, wanted))

    def release(self, holder: str) -> None:
        """
        See L{SharedStore.release}.
        """
        claims = self._held.pop(holder, None)
        if claims:
            task = self._task(self._released(holder, claims))
            # Whoever claims the same next must not overtake it on another connection.
            self._releasing.update((self._key(claim), task) for claim in claims)
            task.add_done_callback(self._wasReleased)

    def debit(
        self, kind: str, rate: float, burst: float, amounts: Mapping[str, int]
    ) -> Deferred[Mapping[str, float]]:
        """
        See L{SharedStore.debit}.
        """
        return self._deferred(self._debited(kind, rate, burst, amounts))

    def revoke(self, sid: str, until: float, byOperator: bool) -> None:
        """
        See L{SharedStore.revoke}.
        """
        while len(self._mine) >= MAX_REVOCATIONS:
            self._mine.pop(next(iter(self._mine)))
        self._mine[sid] = value = [sid, until, byOperator]
        self._deferred(self._revoked(value))

    def onRevoked(self, revoked: Revoked) -> None:
        """
        See L{SharedStore.onRevoked}.
        """
        self._listeners.append(revoked)

    def answer(self, question: str, answer: Answer) -> None:
        """
        See L{SharedStore.answer}.
        """
        self._census.answer(question, answer)

    def askAll(self, question: str) -> Deferred[tuple[Sequence[Any], bool]]:
        """
        See L{SharedStore.askAll}. While Redis is away only this process answers.
        """
        return self._deferred(self._census.askAll(question))

    def start(self) -> None:
        """
        Begin to listen for revocations and to renew what is held.
        """
        # A task begun before the reactor's loop runs would belong to another loop.
        self._timer = self._clock.callLater(0, self._begin)

    def stop(self) -> None:
        """
        Give everything back and close the connections, without anybody waiting for it.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._listening is not None:
            self._listening.cancel()
        held, self._held = self._held, {}
        self._deferred(self._ended(held))

    # -- what is asked

    async def _acquired(self, holder: str, claims: Sequence[Claim]) -> str:
        keys = [self._key(claim) for claim in claims]
        before = {self._releasing[key] for key in keys if key in self._releasing}
        if before:
            await asyncio.wait(before)
        limits = [claim.limit for claim in claims]
        arguments = [self._name(holder), round(LEASE * 1000), *limits]
        refused = await self._ask("acquire", self._acquire, keys, arguments)
        if refused is None:
            kind = next((each.kind for each in claims if not self._isOpen(each.kind)), "")
            self._metrics.counter(rows.UNANSWERED, "closed" if kind else "open").inc()
        else:
            kind = claims[refused - 1].kind if refused else ""
        if kind:
            self._held.pop(holder, None)
            self._metrics.counter(rows.REFUSED, kind).inc()
        elif holder not in self._held and refused is not None:
            # It was released while Redis thought about it.
            await self._released(holder, claims)
        return kind

    def _wasReleased(self, task: asyncio.Task[None]) -> None:
        for key in [key for key, each in self._releasing.items() if each is task]:
            del self._releasing[key]

    async def _released(self, holder: str, claims: Sequence[Claim]) -> None:
        keys = [self._key(claim) for claim in claims]
        await self._ask("release", self._release, keys, [self._name(holder)])

    async def _debited(
        self, kind: str, rate: float, burst: float, amounts: Mapping[str, int]
    ) -> dict[str, float]:
        names = [f"{self._prefix}rate:{kind}:{key}" for key in amounts]
        found = await self._ask("debit", self._debit, names, [rate, burst, *amounts.values()])
        if found is not None:
            return {key: wait / 1000 for key, wait in zip(amounts, found, strict=True) if wait}
        isOpen = self._settings.awayRates == "open"
        self._metrics.counter(rows.UNANSWERED, "open" if isOpen else "closed").inc()
        return {} if isOpen else dict.fromkeys(amounts, REST)

    async def _revoked(self, value: Sequence[Any]) -> None:
        keys = [f"{self._prefix}revoked", f"{self._prefix}revocations"]
        text = json.dumps(value)
        if await self._ask("revoke", self._revoke, keys, [value[1], text]) is None:
            self._untold.add(value[0])
        else:
            self._untold.discard(value[0])

    async def _revokedAgain(self, known: Container[bytes]) -> None:
        """
        Tell what Redis was not told, or has forgotten.

        @param known: What it has.
        """
        for value in list(self._mine.values()):
            if value[0] in self._untold or json.dumps(value).encode() not in known:
                await self._revoked(value)

    async def _ended(self, held: dict[str, list[Claim]]) -> None:
        for holder, claims in held.items():
            if self._isAway:
                break
            await self._released(holder, claims)
        await self._client.aclose()

    async def _ask(
        self, what: str, script: Any, keys: Sequence[str], arguments: Sequence[Any]
    ) -> Any:
        """
        Run a script.

        @return: What it gives; C{None} where Redis is away.
        """
        async with self._lanes:
            # Whoever waited for its turn does not wait for the same silence again.
            if self._clock.seconds() < self._awayUntil:
                return None
            self._metrics.counter(rows.ASKED, what).inc()
            try:
                found = await asyncio.wait_for(
                    script(keys=keys, args=arguments), self._settings.redisTimeout
                )
            except AWAY as error:
                self._awayUntil = self._clock.seconds() + REST
                if not self._isAway:
                    self._isAway = True
                    self._up.set(0)
                    self._log.error("Redis is away: {error}", error=str(error) or repr(error))
                return None
            self._answered()
            return found

    def _answered(self) -> None:
        self._up.set(1)
        if self._isAway:
            self._isAway = False
            self._log.info("Redis is back")

    # -- what goes on by itself

    def _begin(self) -> None:
        self._listening = self._task(self._listen())
        self._timer = self._clock.callLater(RENEWAL, self._renewLater)

    def _renewLater(self) -> None:
        self.renew()
        self._timer = self._clock.callLater(RENEWAL, self._renewLater)

    def renew(self) -> None:
        """
        Say again what this process holds.
        """
        claims = [(claim, holder) for holder, held in self._held.items() for claim in held]
        self._deferred(self._renewed(claims))
        for sid in list(self._untold):
            if sid in self._mine:
                self._deferred(self._revoked(self._mine[sid]))
            else:
                self._untold.discard(sid)

    async def _renewed(self, claims: Sequence[tuple[Claim, str]]) -> None:
        for start in range(0, len(claims), BATCH):
            batch = [each for each in claims[start : start + BATCH] if each[1] in self._held]
            keys = [self._key(claim) for claim, _ in batch]
            holders = [self._name(holder) for _, holder in batch]
            await self._ask("refresh", self._refresh, keys, [round(LEASE * 1000), *holders])

    async def _listen(self) -> None:
        """
        Hear of revocations, and begin again whenever Redis was away.
        """
        while True:
            try:
                async with self._client.pubsub() as channel:
                    await channel.subscribe(f"{self._prefix}revocations", self._census.channel)
                    # Those before, now that none can be missed in between.
                    known = await self._client.zrange(f"{self._prefix}revoked", 0, -1)
                    for message in known:
                        self._hear(message)
                    self._answered()
                    self._awayUntil = 0.0
                    await self._revokedAgain(set(known))
                    while True:
                        # Without a time limit, silence would look like an absence.
                        message = await channel.get_message(
                            ignore_subscribe_messages=True, timeout=None
                        )
                        if message is None:
                            continue
                        if message["channel"] == self._census.channel.encode():
                            self._task(self._census.asked(message["data"]))
                        else:
                            self._hear(message["data"])
            except AWAY:
                await asyncio.sleep(REST)

    def _hear(self, message: bytes) -> None:
        sid, until, byOperator = json.loads(message)
        for listener in self._listeners:
            listener(sid, until, byOperator)

    # -- private

    def _key(self, claim: Claim) -> str:
        return f"{self._prefix}held:{claim.kind}:{claim.key}"

    def _name(self, holder: str) -> str:
        return f"{self._process}/{holder}"

    def _isOpen(self, kind: str) -> bool:
        isLock = kind.endswith(".lock")
        setting = self._settings.awayLocks if isLock else self._settings.awayLimits
        return setting == "open"

    def _task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _deferred(self, coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        return Deferred.fromFuture(self._task(coroutine))
