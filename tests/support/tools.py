"""
Programs that tests need from the system.
"""

from __future__ import annotations

import os
import shutil
import socket
from unittest import SkipTest


def require(*names: str) -> str:
    """
    Find a program by any of its names.

    @raise SkipTest: It is not installed; where C{CI} is set that is a failure instead.
    """
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
        if found:
            return found
    return missing(f"{' or '.join(names)} is not installed")


def missing(reason: str) -> str:
    """
    Skip the test, or fail it in CI where everything has to be there.
    """
    if os.environ.get("CI"):
        raise AssertionError(f"in CI everything must be there: {reason}")
    raise SkipTest(reason)


def freePort(address: str = "127.0.0.1") -> int:
    """
    A TCP port that nobody listens on just now.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
