# -*- test-case-name: aero.net.test.test_daemonthreads -*-
"""
Threads for what may wait for long: a server far away, a disk that is gone.
"""

from __future__ import annotations

import threading
from typing import Any

from twisted.python.threadpool import ThreadPool


class DaemonThreadPool(ThreadPool):
    """
    Threads that end with the process, whatever they wait for: what nobody wants the answer of any
    more must not keep a server from stopping. So it is started, and need not be stopped.
    """

    def threadFactory(self, *arguments: Any, **named: Any) -> threading.Thread:  # type: ignore[override]
        """
        Make a thread.
        """
        return threading.Thread(*arguments, daemon=True, **named)
