"""
Two servers on ports of their own that agree through a real Redis, which comes and goes.
"""

from __future__ import annotations

import time
from functools import partial

from redis import Redis as RedisClient
from twisted.trial.unittest import SynchronousTestCase

from .support.http import request, sessionCookie
from .support.metrics import metric
from .support.redis import Redis
from .support.relay import COMMON, JWT_SECRET, UDPClient, startRelay, token
from .support.server import Aero, edgeOptions
from .support.targets import Target, echo
from .support.websocket import WebSocket, tcpTarget
from .support.workers import waitUntil

#: The tunnels of a session.
CAP = 4

#: What makes several processes one site: the same secrets, and the same Redis.
SETTINGS = COMMON | {
    "AERO_SESSIONS_PER_MINUTE_PER_IP": "0",
    "AUTH_MODE": "jwt",
    "JWT_SECRET": JWT_SECRET,
    "SESSION_SECRET": "the-secret-of-the-whole-fleet",
    "TCP_ALLOW_PRIVATE_IPS": "1",
    "TCP_PROXY_MAX_CONNECTIONS": str(CAP),
}

_running: dict[str, Aero] = {}
_redis: list[Redis] = []


def redis() -> Redis:
    """
    The Redis of all tests here.
    """
    if not _redis:
        _redis.append(Redis(password="the-password"))
    return _redis[0]


def server(name: str, **variables: str) -> Aero:
    """
    One of the servers that all tests here share.
    """
    if name not in _running or _running[name].process.poll() is not None:
        _running[name] = Aero(
            *edgeOptions(),
            state=None,
            runDir=None,
            command=(),
            **SETTINGS | {"REDIS_URL": redis().url} | variables,
        )
    return _running[name]


def _isUp(server: Aero) -> bool:
    """
    Whether a server has its Redis.
    """
    return metric(server, "aero_redis_up") == 1


class ListTests(SynchronousTestCase):
    """
    What the machines tell about each other.
    """

    def test_openSessions(self) -> None:
        """
        Each machine lists the tunnels of all, and what it asked is forgotten by Redis. While
        Redis is away a machine lists its own, and says that the list is not complete.
        """
        admin = ("Authorization", "Bearer sesame")
        own = Redis(password="another")
        self.addCleanup(own.stop)
        variables = SETTINGS | {"REDIS_URL": own.url, "AERO_ADMIN_TOKEN": "sesame"}
        servers = [startRelay("edge", **variables) for _ in range(2)]
        for each in servers:
            self.addCleanup(each.kill)
            waitUntil(partial(_isUp, each), "Redis is there")
        with Target(echo) as target:
            tunnels = []
            for each in servers:
                tunnels.append(
                    WebSocket(each, tcpTarget("127.0.0.1", target.port), cookie=sessionCookie(each))
                )
                self.addCleanup(tunnels[-1].connection.close)
            for each in servers:
                value = request(each, "GET", "/session/open", admin).json()
                self.assertEqual((value["count"], value["complete"]), (2, True))
            client = RedisClient.from_url(own.url)
            self.addCleanup(client.close)
            self.assertEqual(client.keys("*answers*"), [])
            servers[1].stop()
            value = request(servers[0], "GET", "/session/open", admin).json()
            self.assertEqual((value["count"], value["complete"]), (1, True))
            own.stop()
            value = request(servers[0], "GET", "/session/open", admin).json()
            self.assertEqual((value["count"], value["complete"]), (1, False))


class FleetTests(SynchronousTestCase):
    """
    One site on several machines.
    """

    def setUp(self) -> None:
        """
        Have two servers, and something for tunnels to lead to.
        """
        self.isAway = False
        self.one, self.two = server("one"), server("two")
        target = Target(echo)
        self.addCleanup(target.__exit__)
        self.target = tcpTarget("127.0.0.1", target.port)

    def tunnel(self, server: Aero, cookie: str) -> WebSocket:
        """
        A tunnel, open or refused, that ends with the test.
        """
        tunnel = WebSocket(server, self.target, cookie=cookie)
        self.addCleanup(tunnel.connection.close)
        return tunnel

    def tunnels(self, server: Aero, cookie: str, count: int) -> list[WebSocket]:
        """
        So many open tunnels.
        """
        found = [self.tunnel(server, cookie) for _ in range(count)]
        self.assertEqual([tunnel.response.status for tunnel in found], [101] * count)
        return found

    def assertEchoes(self, tunnels: list[WebSocket]) -> None:
        """
        Tunnels are open, and lead where they should.
        """
        for tunnel in tunnels:
            tunnel.send(b"hello")
            self.assertEqual(tunnel.receiveBytes(5), b"hello")

    def restart(self) -> None:
        """
        Have a Redis again that remembers nothing, if the test has not got it yet.
        """
        if self.isAway:
            self.isAway = False
            redis().start()

    def test_cap(self) -> None:
        """
        A session has its number of tunnels over all servers, and a place that becomes free in one
        is free in the other.
        """
        cookie = sessionCookie(self.one)
        first = self.tunnels(self.one, cookie, CAP // 2)
        second = self.tunnels(self.two, cookie, CAP // 2)
        for each in (self.one, self.two):
            self.assertEqual(self.tunnel(each, cookie).response.status, 429)
        self.assertEqual(self.tunnel(self.one, sessionCookie(self.two)).response.status, 101)
        first[0].connection.close()
        waitUntil(lambda: self.tunnel(self.two, cookie).accepted, "a place is free")
        self.assertEchoes(first[1:] + second)
        self.assertGreater(metric(self.two, "aero_shared_refused_total", kind="tcp.session"), 0)

    def test_lock(self) -> None:
        """
        A token has one relay session in the whole fleet, and may come back at once elsewhere.
        """
        credential = token(f"lock-{time.time()}")
        with UDPClient.withToken(self.one, credential) as first:
            first.ready()
            with UDPClient.withToken(self.two, credential) as second:
                code, _, status, _ = second.failure()
                self.assertEqual((code, status), ("session_already_active", 1013))

        def comesBack() -> bool:
            with UDPClient.withToken(self.two, credential) as client:
                return str(client.message()["type"]) == "ready"

        waitUntil(comesBack, "the lock is free")

    def test_revocation(self) -> None:
        """
        A session that ends at one server ends at the other.
        """
        cookie = sessionCookie(self.one)
        tunnels = self.tunnels(self.one, cookie, 1) + self.tunnels(self.two, cookie, 1)
        response = request(self.one, "DELETE", "/session", ("Cookie", cookie))
        self.assertEqual(response.status, 204)
        for tunnel in tunnels:
            self.assertEqual(tunnel.closeCode(), (1008, "session ended"))
        for each in (self.one, self.two):
            self.assertEqual(self.tunnel(each, cookie).response.status, 401)

    def test_redisAway(self) -> None:
        """
        While Redis is away what is open goes on, and new tunnels follow the settings: by default
        each server counts alone, and one that was told so refuses. When it is back, empty, all of
        it holds again, with what was open all the time.
        """
        strict = server("strict", AERO_REDIS_AWAY_LIMITS="closed", AERO_REDIS_AWAY_LOCKS="closed")
        cookie = sessionCookie(self.one)
        held = self.tunnels(self.one, cookie, CAP)
        self.assertEqual(self.tunnel(self.two, cookie).response.status, 429)
        redis().stop()
        self.isAway = True
        self.addCleanup(self.restart)
        alone = self.tunnels(self.two, cookie, CAP)
        self.assertEqual(self.tunnel(self.two, cookie).response.status, 429)
        self.assertEqual(self.tunnel(strict, cookie).response.status, 429)
        credential = token(f"away-{time.time()}")
        with UDPClient.withToken(strict, credential) as refused:
            self.assertEqual(refused.failure()[0], "session_already_active")
        with UDPClient.withToken(self.two, credential) as client:
            client.ready()
        self.assertEqual(metric(self.two, "aero_redis_up"), 0)
        self.assertEchoes(held + alone)
        for each in (self.one, self.two, strict):
            self.assertEqual(request(each, "GET", "/readyz").status, 200)
        self.restart()
        for tunnel in alone:
            tunnel.connection.close()
        waitUntil(lambda: self.tunnel(strict, sessionCookie(self.one)).accepted, "Redis is back")
        self.assertEchoes(held)

        def holds() -> bool:
            tunnel = self.tunnel(self.two, cookie)
            status = tunnel.response.status
            tunnel.connection.close()
            return status == 429

        waitUntil(holds, "what was open is known again")
        self.assertEqual(metric(self.two, "aero_redis_up"), 1)
        self.assertEchoes(held)
