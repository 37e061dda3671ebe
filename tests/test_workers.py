"""
Several processes behind one port: they share what one process would have for itself, and come and
go without anybody noticing who is not connected to them.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import time
from typing import Callable, Sequence

from twisted.trial.unittest import SynchronousTestCase

from .support.http import request, sessionCookie
from .support.l2 import Guest
from .support.metrics import counted, metric
from .support.relay import COMMON, JWT_SECRET, UDPClient, token
from .support.server import Aero, edgeOptions, run, shared
from .support.targets import Target, echo
from .support.tools import require
from .support.websocket import WebSocket, tcpTarget
from .support.workers import TRIES, isAlive, ownerOf, waitUntil, workersOf

#: Limits that hold for a session, a relay that wants tokens, and no limits on floods from here.
SETTINGS = COMMON | {
    "AERO_SESSIONS_PER_MINUTE_PER_IP": "0",
    "AUTH_MODE": "jwt",
    "JWT_SECRET": JWT_SECRET,
    "SHUTDOWN_GRACE_MS": "3000",
    "TCP_ALLOW_PRIVATE_IPS": "1",
    "TCP_PROXY_MAX_CONNECTIONS": "4",
}


class _WorkersTestCase(SynchronousTestCase):
    """
    Tests of a server with workers.
    """

    def setUp(self) -> None:
        """
        Have something for tunnels to lead to.
        """
        target = Target(echo)
        self.addCleanup(target.__exit__)
        self.target = tcpTarget("127.0.0.1", target.port)

    def server(self) -> Aero:
        """
        The server with two workers that most tests share.
        """
        return shared("edge", "--workers", "2", **SETTINGS)

    def own(self, count: int, **variables: str) -> Aero:
        """
        A server of the test's own.
        """
        server = Aero(
            *edgeOptions(),
            *("--workers", str(count)),
            state=None,
            runDir=None,
            command=(),
            **SETTINGS | variables,
        )
        self.addCleanup(server.kill)
        return server

    def tunnel(self, server: Aero, cookie: str = "") -> WebSocket:
        """
        A tunnel, open or refused, that ends with the test.
        """
        tunnel = WebSocket(server, self.target, cookie=cookie)
        self.addCleanup(tunnel.connection.close)
        return tunnel

    def spread(
        self, server: Aero, each: int = 1, cookie: Callable[[], str] = str
    ) -> dict[int, list[WebSocket]]:
        """
        Open tunnels until every worker has so many; the process id of each with its tunnels.

        @param cookie: Gives the cookie of each; by default every tunnel has a session of its own.
        """
        found: dict[int, list[WebSocket]] = {pid: [] for pid in workersOf(server)}
        for _ in range(TRIES):
            tunnel = self.tunnel(server, cookie())
            self.assertTrue(tunnel.accepted, str(tunnel.response))
            found[ownerOf(server, tunnel)].append(tunnel)
            if all(len(tunnels) >= each for tunnels in found.values()):
                return found
            if min(len(tunnels) for tunnels in found.values()) * 4 < max(map(len, found.values())):
                # Let those go that the busiest worker has too many of.
                for tunnel in max(found.values(), key=len)[each:]:
                    tunnel.connection.close()
                busiest = max(found, key=lambda pid: len(found[pid]))
                del found[busiest][each:]
        raise AssertionError(f"not every worker was met: { {p: len(t) for p, t in found.items()} }")

    def assertEchoes(self, tunnels: Sequence[WebSocket]) -> None:
        """
        Tunnels are open, and lead where they should.
        """
        for tunnel in tunnels:
            tunnel.send(b"hello")
            self.assertEqual(tunnel.receiveBytes(5), b"hello")


class AgreementTests(_WorkersTestCase):
    """
    What holds for all workers together.
    """

    def test_cap(self) -> None:
        """
        A session has its number of tunnels however they are spread, and a place that becomes free
        in one worker is free in the others.
        """
        server = self.server()
        for _ in range(TRIES):
            cookie = sessionCookie(server)
            tunnels = [self.tunnel(server, cookie) for _ in range(4)]
            self.assertEqual([tunnel.response.status for tunnel in tunnels], [101] * 4)
            owners = [ownerOf(server, tunnel) for tunnel in tunnels]
            if len(set(owners)) == 2:
                break
            for tunnel in tunnels:
                tunnel.connection.close()
        else:
            self.fail("every session was served by one worker")
        for _ in range(12):
            self.assertEqual(self.tunnel(server, cookie).response.status, 429)
        self.assertEchoes(tunnels)
        tunnels[0].connection.close()
        waitUntil(lambda: self.tunnel(server, cookie).accepted, "a place is free")

    def test_lock(self) -> None:
        """
        A token has one relay session at a time, whichever worker is asked for a second one.
        """
        server = self.server()
        credential = token(f"lock-{time.time()}")
        with UDPClient.withToken(server, credential) as first:
            first.ready()
            for _ in range(8):
                with UDPClient.withToken(server, credential) as second:
                    code, _, status, _ = second.failure()
                    self.assertEqual((code, status), ("session_already_active", 1013))
        for _ in range(6):
            self.reconnect(server, credential)

    def reconnect(self, server: Aero, credential: str) -> None:
        """
        Come back after a connection that was lost; the server needs a moment to know.
        """

        def comesBack() -> bool:
            with UDPClient.withToken(server, credential) as client:
                return str(client.message()["type"]) == "ready"

        waitUntil(comesBack, "the lock is free")

    def test_revocation(self) -> None:
        """
        A session that ends in one worker ends in the others: its tunnels are closed, and its cookie
        is worth nothing.
        """
        server = self.server()
        for _ in range(TRIES):
            cookie = sessionCookie(server)
            tunnels = [self.tunnel(server, cookie) for _ in range(4)]
            if len({ownerOf(server, tunnel) for tunnel in tunnels}) == 2:
                break
            for tunnel in tunnels:
                tunnel.connection.close()
        else:
            self.fail("every session was served by one worker")
        response = request(server, "DELETE", "/session", ("Cookie", cookie))
        self.assertEqual(response.status, 204)
        for tunnel in tunnels:
            self.assertEqual(tunnel.closeCode(), (1008, "session ended"))
        for _ in range(12):
            self.assertEqual(self.tunnel(server, cookie).response.status, 401)

    def test_metrics(self) -> None:
        """
        One page has the sum of what all workers did, and the process of each.
        """
        server = self.server()
        labels = {"method": "GET", "route": "/healthz"}
        before = counted(server, "http_requests_total", **labels)
        self.assertEqual(metric(server, "aero_workers"), 2)
        for _ in range(40):
            self.assertEqual(request(server, "GET", "/healthz").status, 200)
        self.assertEqual(metric(server, "http_requests_total", **labels) - before, 40)
        page = request(server, "GET", "/metrics").body.decode()
        processes = re.findall(r'process_start_time_seconds\{worker="(\w+)"\}', page)
        self.assertEqual(sorted(processes), ["0", "1", "supervisor"])


class OpenSessionsTests(_WorkersTestCase):
    """
    C{/session/open} of a server with workers.
    """

    def test_all(self) -> None:
        """
        Any worker lists the tunnels of all workers, those of guests without a session too.
        """
        admin = ("Authorization", "Bearer sesame")
        server = self.own(2, AERO_ADMIN_TOKEN="sesame", AERO_L2_AUTH_MODE="none")
        waitUntil(lambda: metric(server, "aero_workers") == 2, "all are there")
        cookies: list[str] = []

        def fresh() -> str:
            cookies.append(sessionCookie(server))
            return cookies[-1]

        found = self.spread(server, 1, fresh)
        guests = [Guest(server, origin=server.url) for _ in range(6)]
        for guest in guests:
            self.addCleanup(guest.connection.close)
            self.assertTrue(guest.accepted, str(guest.response))
        tunnels = sum(len(each) for each in found.values())

        def listed() -> tuple[int, int]:
            value = request(server, "GET", "/session/open", admin).json()
            self.assertIs(value["complete"], True)
            sessions = value["sessions"]
            tcp = sum(each["tunnels"].get("tcp", 0) for each in sessions if each["sid"])
            l2 = sum(each["tunnels"].get("l2", 0) for each in sessions if each["sid"] is None)
            return tcp, l2

        waitUntil(lambda: listed() == (tunnels, 6), "all are listed")
        for _ in range(12):  # whichever worker answers
            self.assertEqual(listed(), (tunnels, 6))


class LifeTests(_WorkersTestCase):
    """
    Workers that come and go.
    """

    def test_killed(self) -> None:
        """
        A worker that is killed takes its own tunnels along and no others, and another one takes its
        place.
        """
        server = self.server()
        before = metric(server, "aero_worker_restarts_total")
        found = self.spread(server, 3)
        victim, other = sorted(found)
        number = workersOf(server)[victim]
        os.kill(victim, signal.SIGKILL)
        for tunnel in found[victim]:
            self.assertTrue(tunnel.connection.atEnd())
        self.assertEchoes(found[other])
        waitUntil(lambda: metric(server, "aero_workers") == 2, "it came back")
        after = workersOf(server)
        self.assertEqual(after[other], 1 - number)
        self.assertNotIn(victim, after)
        self.assertEqual(metric(server, "aero_worker_restarts_total") - before, 1)
        self.assertEchoes(found[other])
        for tunnels in self.spread(server).values():
            self.assertEchoes(tunnels)

    def test_rolling(self) -> None:
        """
        SIGHUP replaces all workers while h2load asks and fifty tunnels are open: no request fails,
        nobody is refused, and every tunnel is closed with 1001 once its worker goes.
        """
        server = self.server()
        cookies = (cookie for _ in itertools.count() for cookie in [sessionCookie(server)] * 4)
        tunnels = [self.tunnel(server, next(cookies)) for _ in range(50)]
        self.assertTrue(all(tunnel.accepted for tunnel in tunnels))
        before = workersOf(server)
        self.assertEqual({ownerOf(server, tunnel) for tunnel in tunnels}, set(before))
        self.assertEchoes(tunnels)
        said = self.said(server, "all workers were replaced")
        server.sendSignal(signal.SIGHUP)
        rounds = 0
        while self.said(server, "all workers were replaced") == said:
            self.load(server, *(["--h1"] if rounds % 2 else []))
            self.assertEqual(request(server, "GET", "/readyz").status, 200)
            rounds += 1
            self.assertLess(rounds, 300)
        self.assertGreater(rounds, 1)
        for tunnel in tunnels:
            self.assertEqual(tunnel.closeCode()[0], 1001)
        waitUntil(lambda: not any(isAlive(pid) for pid in before), "the old ones are gone")
        after = workersOf(server)
        self.assertEqual(sorted(after.values()), [0, 1])
        self.assertFalse(set(after) & set(before))
        for each in self.spread(server).values():
            self.assertEchoes(each)
        self.assertEqual(metric(server, "aero_workers"), 2)

    def said(self, server: Aero, text: str) -> int:
        """
        How many lines of the log hold a text.
        """
        return sum(text in line for line in list(server.log))

    def load(self, server: Aero, *protocol: str) -> None:
        """
        Let h2load make fifty requests over as many connections. It has no second try for what was
        under way on a connection that the server says goodbye to, as browsers have.
        """
        result = subprocess.run(
            [require("h2load"), *protocol, "-n", "50", "-c", "50", f"{server.url}/healthz"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertIn(
            "50 total, 50 started, 50 done, 50 succeeded, 0 failed, 0 errored, 0 timeout",
            result.stdout,
            result.stdout + result.stderr,
        )

    def test_four(self) -> None:
        """
        Four workers share the work; SIGTERM ends them all, tunnels with 1001, with status 0. Every
        line of a log in JSON says whose it is.
        """
        server = self.own(4, AERO_LOG_FORMAT="json")
        waitUntil(lambda: metric(server, "aero_workers") == 4, "all are there")
        found = self.spread(server)
        self.assertEqual(sorted(workersOf(server).values()), [0, 1, 2, 3])
        for tunnels in found.values():
            self.assertEchoes(tunnels)
        self.assertEqual(server.stop(), 0)
        for tunnel in itertools.chain(*found.values()):
            self.assertEqual(tunnel.closeCode()[0], 1001)
        self.assertFalse(any(isAlive(pid) for pid in found))
        lines = [json.loads(line) for line in server.log]
        self.assertEqual({line.get("worker") for line in lines}, {None, 0, 1, 2, 3})
        self.assertEqual(len(server.lines), 1)

    def test_supervisorKilled(self) -> None:
        """
        Workers whose supervisor was killed drain and end: nobody would look after them. Their port
        is free then. Every line of a log for people says whose it is.
        """
        server = self.own(2)
        waitUntil(lambda: metric(server, "aero_workers") == 2, "all are there")
        found = self.spread(server)
        server.sendSignal(signal.SIGKILL)
        for tunnel in itertools.chain(*found.values()):
            self.assertEqual(tunnel.closeCode()[0], 1001)
        waitUntil(lambda: not any(isAlive(pid) for pid in found), "they ended")
        server.wait()
        tags = {re.match(r"(?:worker (\d): )?", line)[1] for line in server.log}  # type: ignore[index]
        self.assertEqual(tags, {None, "0", "1"})
        again = Aero("--https-port", str(server.port), "--http-port", "0", "--workers", "2")
        self.addCleanup(again.kill)
        self.assertEqual(request(again, "GET", "/healthz").status, 200)

    def test_badStart(self) -> None:
        """
        What keeps a worker from starting stops the start, once and in a sentence.
        """
        with Target(echo) as taken:
            ports = ("--https-port", str(taken.port), "--http-port", "0")
            options = ("--workers", "2", "--bind", "127.0.0.1")
            for result, word in (
                (run(*options, *ports), f"port {taken.port} on 127.0.0.1"),
                (
                    run(
                        *options,
                        *edgeOptions(),
                        WEBRTC_UDP_PORT_MIN="40000",
                        WEBRTC_UDP_PORT_MAX="40000",
                    ),
                    "WEBRTC_UDP_PORT_MAX",
                ),
            ):
                self.assertNotEqual(result.returncode, 0)
                told = [line for line in result.stderr.splitlines() if word in line]
                self.assertEqual(len(told), 1, result.stderr)
                self.assertNotIn("Traceback", result.stderr)
                self.assertNotIn("aero ready", result.stdout)
