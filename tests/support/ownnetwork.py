"""
Tests in a network namespace of their own, where they may give the machine any address.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import threading
from typing import Any, Callable

from .tools import missing, require

_CLONE_NEWNET = 0x40000000


def ip(*words: str) -> None:
    """
    Run iproute2's C{ip} in the namespace of this thread.
    """
    subprocess.run([require("ip"), *words], check=True, capture_output=True)


def inOwnNetwork(*addresses: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """
    Run a test in a thread that has a network namespace of its own, with loopback up. What the
    thread starts, processes and threads, is in the namespace too.

    @param addresses: Addresses that the machine has there.
    """

    def decorate(test: Callable[[Any], None]) -> Callable[[Any], None]:
        @functools.wraps(test)
        def run(case: Any) -> None:
            require("ip")
            if os.geteuid() != 0:
                missing("making network namespaces takes root")
            failures: list[BaseException] = []
            thread = threading.Thread(target=_inside, args=(test, case, addresses, failures))
            thread.start()
            thread.join()
            if failures:
                raise failures[0]

        return run

    return decorate


def _inside(
    test: Callable[[Any], None],
    case: Any,
    addresses: tuple[str, ...],
    failures: list[BaseException],
) -> None:
    try:
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
            missing(f"no network namespace could be made: {os.strerror(ctypes.get_errno())}")
        ip("link", "set", "lo", "up")
        for address in addresses:
            ip("addr", "add", address, "dev", "lo")
        test(case)
    except BaseException as error:  # noqa: BLE001 - raised again in the thread of the test
        failures.append(error)
