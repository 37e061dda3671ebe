"""
Tests for the supervisor, with processes that are not there.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Mapping, Sequence

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.fleet.workers.supervisor import Supervisor, socketNames
from aero.fleet.workers.worker import TO_SUPERVISOR, Worker
from aero.metrics import ROWS, Metrics, workers


class FakeProcess:
    """
    A process in the hands of the test.

    @ivar environ: Its environment.
    @ivar signals: What it was sent.
    @ivar heard: What the supervisor said to it.
    """

    def __init__(
        self, protocol: Worker, environ: Mapping[str, str], files: Mapping[int, Any]
    ) -> None:
        self.protocol = protocol
        self.environ = environ
        self.files = files
        self.signals: list[str] = []
        self.heard: list[Any] = []
        self.isOver = False
        self._received = b""

    def signalProcess(self, name: str) -> None:
        """
        Note the signal.
        """
        if self.isOver:
            raise ProcessExitedAlready()
        self.signals.append(name)

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        """
        Read what the supervisor says.
        """
        self._received += data
        while len(self._received) >= 4:
            size = int.from_bytes(self._received[:4], "big")
            if len(self._received) < 4 + size:
                return
            self.heard.append(json.loads(self._received[4 : 4 + size]))
            self._received = self._received[4 + size :]

    def say(self, message: Any) -> None:
        """
        Say something to the supervisor.
        """
        data = json.dumps(message).encode()
        self.protocol.childDataReceived(TO_SUPERVISOR, len(data).to_bytes(4, "big") + data)

    def ready(self) -> None:
        """
        Tell that it listens.
        """
        self.say({"ask": "ready", "value": ["aero ready https://localhost/"]})

    def end(self, status: int = 0, number: int | None = None) -> None:
        """
        Be over.
        """
        self.isOver = True
        done = status == 0 and number is None
        reason = ProcessDone(0) if done else ProcessTerminated(status or None, number)
        self.protocol.processEnded(Failure(reason))


class FakeReactor(Clock):
    """
    A reactor whose processes are objects.
    """

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[FakeProcess] = []

    def callWhenRunning(self, function: Any) -> None:
        """
        It runs already.
        """
        function()

    def spawnProcess(
        self,
        protocol: Worker,
        executable: str,
        args: Sequence[str],
        env: Mapping[str, str],
        childFDs: Mapping[int, Any],
    ) -> None:
        """
        Make one up.
        """
        process = FakeProcess(protocol, env, childFDs)
        self.processes.append(process)
        protocol.makeConnection(process)


class OneSocket:
    """
    A binding of one socket on loopback.
    """

    name = "https"

    def __init__(self, test: SynchronousTestCase) -> None:
        self._test = test

    def bind(self) -> Sequence[socket.socket]:
        """
        Bind it.
        """
        made = socket.create_server(("127.0.0.1", 0))
        self._test.addCleanup(made.close)
        return [made]

    def describe(self, bound: socket.socket) -> str:
        """
        Say something.
        """
        return "listening"


class SupervisorTests(SynchronousTestCase):
    """
    L{Supervisor}.
    """

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.metrics = Metrics(ROWS)
        self.said: list[str] = []
        self.failed: list[tuple[str, int]] = []
        self.supervisor = Supervisor(
            self.reactor,
            count=2,
            command=["aero"],
            environ={"HOME": "/"},
            bindings=[OneSocket(self)],
            now=self.reactor.seconds,
            metrics=self.metrics,
            grace=10.0,
            ready=self.said.extend,
            failed=lambda *why: self.failed.append(why),
        )

    def start(self) -> list[FakeProcess]:
        """
        Start both workers.
        """
        self.supervisor.privilegedStartService()
        self.supervisor.startService()
        processes = self.reactor.processes
        processes[0].ready()
        processes[1].ready()
        return processes

    def test_firstAlone(self) -> None:
        """
        The others start once the first is ready, and the line is printed once all are.
        """
        self.supervisor.privilegedStartService()
        self.supervisor.startService()
        processes = self.reactor.processes
        self.assertEqual(len(processes), 1)
        processes[0].ready()
        self.assertEqual(len(processes), 2)
        self.assertEqual(self.said, [])
        processes[1].ready()
        self.assertEqual(self.said, ["aero ready https://localhost/"])
        self.assertEqual(self.metrics.value(workers.WORKERS), 2)

    def test_whatTheyAreTold(self) -> None:
        """
        Each knows its number, and has the sockets by their names beside its environment.
        """
        processes = self.start()
        self.assertEqual([each.environ["AERO_WORKER"] for each in processes], ["0", "1"])
        self.assertEqual(processes[0].environ["HOME"], "/")
        self.assertEqual(list(socketNames(processes[0].environ)), [("https", 5)])
        self.assertIsInstance(processes[0].files[5], int)

    def test_cannotStart(self) -> None:
        """
        Where the first worker ends before it was ready nothing else is tried, and its status
        is that of the server.
        """
        self.supervisor.startService()
        self.reactor.processes[0].end(2)
        self.reactor.advance(60)
        self.assertEqual(self.failed, [("", 2)])
        self.assertEqual(len(self.reactor.processes), 1)

    def test_cannotSpawn(self) -> None:
        """
        Workers that the system does not start end the start with the reason.
        """

        def spawnProcess(*arguments: Any, **options: Any) -> None:
            raise OSError("no more processes")

        self.patch(self.reactor, "spawnProcess", spawnProcess)
        self.supervisor.startService()
        self.assertEqual(self.failed, [("the workers cannot be started: no more processes", 1)])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_restarts(self) -> None:
        """
        A worker that ends unasked is started anew, later each time; one that was well for a
        while begins from the start.
        """
        processes = self.start()
        for delay in (0.5, 1.0, 2.0):
            processes[-1].end(0, 9)
            count = len(processes)
            self.reactor.advance(delay - 0.1)
            self.assertEqual(len(processes), count)
            self.reactor.advance(0.1)
            self.assertEqual(len(processes), count + 1)
            self.assertEqual(processes[-1].environ["AERO_WORKER"], "1")
            processes[-1].ready()
        self.reactor.advance(61)
        processes[-1].end(0, 9)
        self.reactor.advance(0.5)
        self.assertEqual(len(processes), 6)
        self.assertEqual(self.metrics.value(workers.RESTARTS), 4)
        self.assertEqual(self.metrics.value(workers.WORKERS), 1)

    def test_roll(self) -> None:
        """
        A worker is asked to end once the one in its place is ready, and the next one is
        replaced once it is gone.
        """
        first, second = self.start()
        self.supervisor.roll()
        self.assertEqual(len(self.reactor.processes), 3)
        third = self.reactor.processes[2]
        self.assertEqual((first.signals, third.environ["AERO_WORKER"]), ([], "0"))
        third.ready()
        self.assertEqual(first.signals, ["TERM"])
        self.assertEqual(len(self.reactor.processes), 3)
        first.end()
        fourth = self.reactor.processes[3]
        fourth.ready()
        self.assertEqual(second.signals, ["TERM"])
        second.end()
        self.reactor.advance(60)
        self.assertEqual(len(self.reactor.processes), 4)
        self.assertEqual(self.metrics.value(workers.WORKERS), 2)
        self.assertEqual(self.metrics.value(workers.RESTARTS), 0)

    def test_rollThatFails(self) -> None:
        """
        Where a new worker cannot start the old ones go on.
        """
        first, second = self.start()
        self.supervisor.roll()
        self.reactor.processes[2].end(1)
        self.reactor.advance(60)
        self.assertEqual((first.signals, second.signals), ([], []))
        self.assertEqual(len(self.reactor.processes), 3)

    def test_rollTwice(self) -> None:
        """
        Asked again meanwhile, it begins anew when it is through.
        """
        self.start()
        self.supervisor.roll()
        self.supervisor.roll()
        for place in range(2, 6):
            self.reactor.processes[place].ready()
            self.reactor.processes[place - 2].end()
        self.assertEqual(len(self.reactor.processes), 6)

    def test_stop(self) -> None:
        """
        All workers are asked to end; one that does not is killed.
        """
        first, second = self.start()
        stopped = self.supervisor.stopService()
        self.assertEqual((first.signals, second.signals), (["TERM"], ["TERM"]))
        first.end()
        self.assertNoResult(stopped)
        self.reactor.advance(10)
        self.assertEqual((first.signals, second.signals), (["TERM"], ["TERM", "KILL"]))
        second.end(0, 9)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(len(self.reactor.processes), 2)

    def test_stopWhileRestarting(self) -> None:
        """
        A worker that was to be started is not.
        """
        first, second = self.start()
        second.end(1)
        stopped = self.supervisor.stopService()
        first.end()
        self.successResultOf(stopped)
        self.reactor.advance(60)
        self.assertEqual(len(self.reactor.processes), 2)

    def test_metrics(self) -> None:
        """
        A worker that asks gets the sum of all; one that does not answer is left out.
        """
        first, second = self.start()
        first.say({"ask": "metrics", "id": 7})
        page = "# HELP a_total A.\n# TYPE a_total counter\na_total 3\n"
        for each in (first, second):
            self.assertEqual(each.heard[-1]["ask"], "exposition")
        first.say({"id": first.heard[-1]["id"], "answer": page})
        self.reactor.advance(3)
        answer = first.heard[-1]
        self.assertEqual(answer["id"], 7)
        self.assertIn("a_total 3\n", answer["answer"])
        self.assertIn("aero_workers 2\n", answer["answer"])

    def test_sharedState(self) -> None:
        """
        What one worker holds counts for the others, until it is gone.
        """
        first, second = self.start()
        claim = ["x", [["relay.session.lock", "sid", 1]]]
        first.say({"ask": "acquire", "id": 1, "value": claim})
        self.assertEqual(first.heard[-1], {"id": 1, "answer": ""})
        second.say({"ask": "acquire", "id": 1, "value": claim})
        self.assertEqual(second.heard[-1], {"id": 1, "answer": "relay.session.lock"})
        first.end(0, 9)
        second.say({"ask": "acquire", "id": 2, "value": claim})
        self.assertEqual(second.heard[-1], {"id": 2, "answer": ""})

    def test_tellAll(self) -> None:
        """
        What is told to all reaches those that drain too.
        """
        self.start()
        self.supervisor.roll()
        self.supervisor.tellAll("revoked", "sid")
        for process in self.reactor.processes:
            self.assertEqual(process.heard[-1], {"ask": "revoked", "value": "sid"})
