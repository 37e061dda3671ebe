"""
Tests for L{aero.net.daemonthreads}.
"""

from __future__ import annotations

import queue
import threading

from twisted.trial.unittest import SynchronousTestCase

from ..daemonthreads import DaemonThreadPool


class DaemonThreadPoolTests(SynchronousTestCase):
    """
    Tests for L{DaemonThreadPool}.
    """

    def test_daemons(self) -> None:
        """
        Work is done in threads that do not keep the process alive.
        """
        pool = DaemonThreadPool(0, 1, "test")
        pool.start()
        self.addCleanup(pool.stop)
        found: queue.Queue[threading.Thread] = queue.Queue()
        pool.callInThread(lambda: found.put(threading.current_thread()))
        thread = found.get(timeout=60)
        self.assertTrue(thread.daemon)
        self.assertIsNot(thread, threading.current_thread())
