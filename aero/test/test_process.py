"""
Tests for the process around the composition.
"""

from __future__ import annotations

import io
import os
import signal
from typing import Any

from twisted.application.service import Application, IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver
from twisted.trial.unittest import SynchronousTestCase

from aero._launch import Launch
from aero._process import UNEXPECTED, ServerProcess
from aero.errors import StartError
from aero.log import observerFor


class Port(Service):
    """
    A listener that only remembers.
    """

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def stopService(self) -> None:
        """
        Note it.
        """
        super().stopService()
        self._events.append("closed")


class Taken(Service):
    """
    A listener whose port is taken.
    """

    def privilegedStartService(self) -> None:
        """
        Fail.
        """
        raise StartError("cannot listen on port 1")


class Tunnels:
    """
    Connections that end when the test says so.
    """

    def __init__(self, events: list[str]) -> None:
        self._events = events
        self.gone: Deferred[None] = Deferred()

    def drain(self) -> Deferred[None]:
        """
        Note it.
        """
        self._events.append("draining")
        return self.gone

    def abort(self) -> None:
        """
        Note it.
        """
        self._events.append("aborted")


class ServerProcessTests(SynchronousTestCase):
    """
    The order of things when the process starts and stops.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.events: list[str] = []
        self.stdout = io.StringIO()
        self.stderr = io.StringIO()
        self.tunnels = Tunnels(self.events)

    def make(self, listener: Service | None = None, **options: Any) -> ServerProcess:
        values: dict[str, Any] = {
            "ready": lambda: ["aero ready https://localhost:8443/"],
            "log": None,
            "listeners": [listener or Port(self.events)],
            "drainables": [self.tunnels],
            "drainStarted": lambda: self.events.append("not ready"),
            "reload": lambda: self.events.append("reloaded"),
            "stopped": lambda: self.events.append("stopped"),
            "notices": (),
            "drainDelay": 0.0,
            "grace": 5.0,
            "launch": Launch(stdout=self.stdout, stderr=self.stderr),
        }
        return ServerProcess(self.reactor, **values | options)

    def stop(self, process: ServerProcess) -> list[Any]:
        process.startService()
        done: list[Any] = []
        process.stopService().addBoth(done.append)
        return done

    def test_orderly(self) -> None:
        """
        Not ready comes first, then the listeners close, then the tunnels end; nothing is cut
        that ended by itself before everything is over.
        """
        done = self.stop(self.make())
        self.assertEqual(self.events, ["not ready", "closed", "draining"])
        self.assertEqual(done, [])
        self.tunnels.gone.callback(None)
        self.assertEqual(self.events[3:], ["aborted", "stopped"])
        self.assertEqual(done, [None])

    def test_grace(self) -> None:
        """
        What did not end within the grace is cut.
        """
        done = self.stop(self.make(grace=5.0))
        self.reactor.advance(4.9)
        self.assertEqual(done, [])
        self.reactor.advance(0.2)
        self.assertEqual(self.events[3:], ["aborted", "stopped"])
        self.assertEqual(done, [None])

    def test_drainDelay(self) -> None:
        """
        Listeners stay open for the delay, so that a load balancer sees that the process is not
        ready.
        """
        self.stop(self.make(drainDelay=3.0))
        self.assertEqual(self.events, ["not ready"])
        self.reactor.advance(3.1)
        self.assertEqual(self.events, ["not ready", "closed", "draining"])

    def test_impatience(self) -> None:
        """
        A second request to stop skips the delay and the grace.
        """
        process = self.make(drainDelay=60.0, grace=600.0)
        done = self.stop(process)
        process._stopRequested()
        self.assertEqual(self.events[-1], "stopped")
        self.assertEqual(done, [None])

    def test_portTaken(self) -> None:
        """
        A port that cannot be bound ends the process before it serves anything.
        """
        error = self.assertRaises(SystemExit, self.make(Taken()).privilegedStartService)
        self.assertEqual(error.code, 1)
        self.assertEqual(self.stderr.getvalue(), "aero: cannot listen on port 1\n")

    def test_unexpected(self) -> None:
        """
        An error that nobody foresaw ends the process with a sentence too, and the log has it.
        """

        def broken() -> list[str]:
            raise RuntimeError("broken")

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        triggers: list[Any] = []
        self.patch(self.reactor, "addSystemEventTrigger", lambda *what: triggers.append(what))
        self.patch(self.reactor, "stop", lambda: triggers.append("stop"))
        self.make(ready=broken)._reactorStarted()
        self.assertEqual(self.stderr.getvalue(), f"aero: {UNEXPECTED}\n")
        self.assertEqual(triggers, [("after", "shutdown", os._exit, 1), "stop"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_logObserver(self) -> None:
        """
        The observer is given to twistd's application; without one twistd keeps its own.
        """
        observer = observerFor("json", "info", io.StringIO())
        for given in (observer, None):
            application = Application("aero")
            self.make(log=given).setServiceParent(application)
            self.assertIs(application.getComponent(ILogObserver, None), given)
            self.assertTrue(IService(application))
