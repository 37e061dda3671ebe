"""
Which process of a server serves which connection, as the kernel knows it.
"""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path
from typing import Callable

from .server import Aero
from .websocket import WebSocket

#: Tries that a test has to meet every worker.
TRIES = 200

#: Seconds that processes may take to come and go on a busy machine.
PATIENCE = 60.0


def workersOf(server: Aero) -> dict[int, int]:
    """
    The processes that serve, by process id, with the number of each.
    """
    supervisor = server.process.pid
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    found = {}
    for pid in children:
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile
            continue
        for variable in variables:
            if variable.startswith(b"AERO_WORKER="):
                found[int(pid)] = int(variable.partition(b"=")[2])
    return found


def ownerOf(server: Aero, tunnel: WebSocket) -> int:
    """
    The process that holds the other end of a connection.
    """
    plain = socket.socket(fileno=os.dup(tunnel.connection.socket.fileno()))
    with plain:
        address, port = plain.getsockname()[:2]
    packed = "".join(f"{byte:02X}" for byte in reversed(socket.inet_aton(address)))
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    for line in lines:
        fields = line.split()
        if fields[2] == f"{packed}:{port:04X}" and fields[1].endswith(f":{server.port:04X}"):
            return _holder(server, fields[9])
    raise AssertionError("the connection is gone")


def _holder(server: Aero, inode: str) -> int:
    for pid in workersOf(server):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if os.readlink(descriptor) == f"socket:[{inode}]":
                    return pid
            except OSError:
                continue
    raise AssertionError("no worker has that connection")


def waitUntil(condition: Callable[[], bool], what: str) -> None:
    """
    Look again and again until something is so.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it never happened: {what}")
        time.sleep(0.05)


def isAlive(pid: int) -> bool:
    """
    Whether a process runs; one that ended and that nobody asked about does not.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return re.search(r"^State:\s+Z", status, re.MULTILINE) is None
