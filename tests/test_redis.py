"""
The state that several machines share, in a real Redis.
"""

from __future__ import annotations

import itertools
from typing import Any, Callable, Coroutine

from redis import Redis as RedisClient
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from aero.fleet.census import KEPT, MAX_ANSWER
from aero.fleet.redisstore import LANES, REST, RedisStore
from aero.fleet.store import Claim
from aero.metrics import ROWS, Metrics
from aero.metrics import fleet as rows
from aero.settings.fleet import FleetSettings

from .support.redis import Redis

reactor: Any = installed
_names = itertools.count()


class RedisStoreTests(TestCase):
    """
    L{RedisStore}.
    """

    timeout = 60

    def setUp(self) -> None:
        self.redis = Redis(password="secret")
        self.addCleanup(self.redis.stop)
        self.stores: list[RedisStore] = []
        self.addCleanup(self.stopAll)

    def stopAll(self) -> Deferred[None]:
        """
        Stop what the test did not; the connections end in turns of their own.
        """
        for store in self.stores:
            store.stop()
        return deferLater(reactor, 0.05)

    def store(self, **settings: Any) -> RedisStore:
        """
        One process of the fleet.
        """
        made = RedisStore(
            FleetSettings(redisURL=self.redis.url, **settings),
            process=f"process-{next(_names)}",
            clock=reactor,
            metrics=Metrics(ROWS),
        )
        made.start()
        self.stores.append(made)
        return made

    def run_(self, coroutine: Coroutine[Any, Any, None]) -> Deferred[None]:
        return ensureDeferred(coroutine)

    async def until(self, holds: Callable[[], bool]) -> None:
        """
        Wait until something holds, for as long as a test may take.
        """
        for _ in range(500):
            if holds():
                return
            await deferLater(reactor, 0.02)
        self.assertTrue(holds())

    async def ready(self, *stores: RedisStore) -> None:
        """
        Wait until stores listen.
        """
        await self.until(lambda: all(s._metrics.value(rows.REDIS_UP) for s in stores))

    def test_limitHoldsEverywhere(self) -> Deferred[None]:
        """
        What one process holds counts for the others, until it is given back.
        """
        return self.run_(self._limitHoldsEverywhere())

    async def _limitHoldsEverywhere(self) -> None:
        one, two = self.store(), self.store()
        claim = Claim("tcp.session", "sid", 2)
        self.assertEqual(await one.acquire("a", [claim]), "")
        self.assertEqual(await two.acquire("a", [claim]), "")
        self.assertEqual(await two.acquire("b", [claim]), "tcp.session")
        one.release("a")
        self.assertEqual(await self.eventually(two, claim), "")

    async def eventually(self, store: RedisStore, claim: Claim) -> str:
        """
        Ask again until it is granted, for as long as a test may take.
        """
        for _ in range(100):
            refused = await store.acquire("again", [claim])
            if not refused:
                break
            await deferLater(reactor, 0.02)
        return refused

    def test_allOrNothing(self) -> Deferred[None]:
        """
        Where one claim is refused the others are not held.
        """
        return self.run_(self._allOrNothing())

    async def _allOrNothing(self) -> None:
        one, two = self.store(), self.store()
        session, address = Claim("session", "s", 1), Claim("address", "a", 1)
        self.assertEqual(await one.acquire("x", [address]), "")
        self.assertEqual(await two.acquire("x", [session, address]), "address")
        self.assertEqual(await two.acquire("y", [session]), "")

    def test_releaseAtOnce(self) -> Deferred[None]:
        """
        What is released while Redis still thinks about it is not held.
        """
        return self.run_(self._releaseAtOnce())

    async def _releaseAtOnce(self) -> None:
        one, two = self.store(), self.store()
        claim = Claim("relay.lock", "sid", 1)
        asked = one.acquire("x", [claim])
        one.release("x")
        await asked
        self.assertEqual(await self.eventually(two, claim), "")

    def test_processThatStops(self) -> Deferred[None]:
        """
        A process that stops gives everything back at once.
        """
        return self.run_(self._processThatStops())

    async def _processThatStops(self) -> None:
        one, two = self.store(), self.store()
        claim = Claim("relay.lock", "sid", 1)
        self.assertEqual(await one.acquire("x", [claim]), "")
        one.stop()
        self.stores.remove(one)
        self.assertEqual(await self.eventually(two, claim), "")

    def test_rates(self) -> Deferred[None]:
        """
        All processes take from one bucket.
        """
        return self.run_(self._rates())

    async def _rates(self) -> None:
        one, two = self.store(), self.store()
        self.assertEqual(await one.debit("dns", 0.1, 2, {"ip": 1}), {})
        found = await two.debit("dns", 0.1, 2, {"ip": 1, "other": 1})
        self.assertEqual(set(found), {"ip"})
        self.assertGreater(found["ip"], 5)
        self.assertLessEqual(found["ip"], 10)

    def test_revocations(self) -> Deferred[None]:
        """
        Everybody hears of a session that ended, also whoever comes later.
        """
        return self.run_(self._revocations())

    async def _revocations(self) -> None:
        heard: list[tuple[str, float, bool]] = []
        one, two = self.store(), self.store()
        two.onRevoked(lambda *what: heard.append(what))
        await self.ready(one, two)
        one.revoke("sid", 4e9, True)
        await self.until(lambda: bool(heard))
        self.assertEqual(heard, [("sid", 4e9, True)])
        # Silence is no absence: they hear of the next one as well.
        await deferLater(reactor, 1.0)
        one.revoke("other", 4e9, False)
        three = self.store()
        three.onRevoked(lambda *what: heard.append(what))
        await self.until(lambda: len(heard) >= 4)
        self.assertEqual(heard.count(("other", 4e9, False)), 2)
        self.assertEqual(heard.count(("sid", 4e9, True)), 2)

    def test_revokedWhileAway(self) -> Deferred[None]:
        """
        A session that ends while Redis is away ends everywhere once it is back; who comes later
        hears of what ended before it lost its memory.
        """
        return self.run_(self._revokedWhileAway())

    async def _revokedWhileAway(self) -> None:
        heard: list[str] = []
        one, two = self.store(), self.store()
        two.onRevoked(lambda *what: heard.append(what[0]))
        await self.ready(one, two)
        one.revoke("before", 4e9, True)
        await self.until(lambda: bool(heard))
        self.assertEqual(heard, ["before"])
        self.redis.stop()
        one.revoke("meanwhile", 4e9, True)
        await self.until(lambda: not one._metrics.value(rows.REDIS_UP))
        self.redis.start()
        await self.until(lambda: "meanwhile" in heard)
        three = self.store()
        late: list[str] = []
        three.onRevoked(lambda *what: late.append(what[0]))
        await self.until(lambda: set(late) == {"before", "meanwhile"})

    def test_askAll(self) -> Deferred[None]:
        """
        Every process answers; answers expire, and one that does not come is noticed.
        """
        return self.run_(self._askAll())

    async def _askAll(self) -> None:
        one, two = self.store(), self.store()
        one.answer("what", lambda: ["one", 1])
        two.answer("what", lambda: ["two", 2])
        await self.ready(one, two)
        answers, complete = await one.askAll("what")
        self.assertEqual((sorted(answers), complete), ([["one", 1], ["two", 2]], True))
        two.answer("what", lambda: "x" * (MAX_ANSWER + 1))
        answers, complete = await one.askAll("what")
        self.assertEqual((answers, complete), ([["one", 1]], False))
        client = RedisClient.from_url(self.redis.url)
        self.addCleanup(client.close)
        await one._deferred(one._census.asked(b'["what", "left"]'))
        self.assertLessEqual(client.pttl("aero:answers:left"), KEPT * 1000)
        self.assertGreater(client.pttl("aero:answers:left"), 0)
        for malformed in (b"", b"{}", b"[1]", b'["other", "x"]', b'[["what"], 1]'):
            await one._deferred(one._census.asked(malformed))
        self.redis.stop()
        answers, complete = await one.askAll("what")
        self.assertEqual((answers, complete), ([["one", 1]], False))

    def test_away(self) -> Deferred[None]:
        """
        While Redis is away the settings decide, at once; when it is back, limits hold again, and
        what was held before still is.
        """
        return self.run_(self._away())

    async def _away(self) -> None:
        one, two = self.store(), self.store(awayLocks="closed", awayRates="closed")
        lock = Claim("relay.lock", "sid", 1)
        self.assertEqual(await one.acquire("x", [lock]), "")
        self.redis.stop()
        self.assertEqual(await one.acquire("y", [lock]), "")
        self.assertEqual(await two.acquire("x", [lock]), "relay.lock")
        self.assertEqual(await two.acquire("z", [Claim("tcp.session", "sid", 1)]), "")
        self.assertEqual(set(await two.debit("dns", 1, 1, {"ip": 1})), {"ip"})
        self.assertEqual(await one.debit("dns", 1, 1, {"ip": 1}), {})
        self.assertEqual(one._metrics.value(rows.REDIS_UP), 0)
        one.release("y")
        self.redis.start()
        await self.ready(one, two)
        await deferLater(reactor, REST)  # nothing is asked before
        one.renew()
        three = self.store()
        await self.ready(three)
        await self.until(lambda: one._metrics.value(rows.ASKED, "refresh") > 0)
        self.assertEqual(await three.acquire("x", [lock]), "relay.lock")
        self.assertEqual(one._metrics.value(rows.REDIS_UP), 1)

    def test_fewConnections(self) -> Deferred[None]:
        """
        Hundreds of tunnels that begin and end at once share a few connections.
        """
        return self.run_(self._fewConnections())

    async def _fewConnections(self) -> None:
        one = self.store()
        claim = Claim("tcp.session", "sid", 1_000)
        asked = [one.acquire(str(number), [claim]) for number in range(500)]
        for each in asked:
            self.assertEqual(await each, "")
        self.assertLessEqual(self.connections(), LANES + 4)
        for number in range(500):
            one.release(str(number))
        last = Claim("tcp.session", "sid", 1)
        self.assertEqual(await self.eventually(one, last), "")
        self.assertLessEqual(self.connections(), LANES + 4)

    def connections(self) -> int:
        """
        The connections to Redis; one is of the listener, one of its first question, and one of each
        question here.
        """
        client = RedisClient.from_url(self.redis.url)
        self.addCleanup(client.close)
        return int(client.info("clients")["connected_clients"])

    def test_hangs(self) -> Deferred[None]:
        """
        A Redis that hangs holds nobody up for longer than the setting says.
        """
        return self.run_(self._hangs())

    async def _hangs(self) -> None:
        one = self.store(awayLimits="closed")
        self.assertEqual(await self.eventually(one, Claim("a", "b", 1)), "")
        before = one._metrics.value(rows.UNANSWERED, "closed")
        self.redis.pause()
        self.addCleanup(self.redis.resume)
        self.assertEqual(await one.acquire("y", [Claim("a", "c", 1)]), "a")
        self.assertEqual(one._metrics.value(rows.UNANSWERED, "closed"), before + 1)
