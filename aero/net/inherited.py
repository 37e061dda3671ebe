# -*- test-case-name: aero.net.test.test_inherited -*-
"""
Listening sockets that somebody else bound: systemd, with C{LISTEN_PID}, C{LISTEN_FDS} and
C{LISTEN_FDNAMES} (sd_listen_fds(3)).
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Iterable, Mapping

from aero.errors import StartError

#: The first file descriptor that is handed over.
FIRST = 3


class InheritedSockets:
    """
    The sockets of this process, by name. Each is taken once; what nobody took in the end is a
    mistake in the unit file.
    """

    def __init__(self, sockets: Iterable[tuple[str, socket.socket]] = ()) -> None:
        self._sockets: dict[str, list[socket.socket]] = {}
        for name, each in sockets:
            self._sockets.setdefault(name, []).append(each)

    @classmethod
    def fromEnvironment(
        cls, environ: Mapping[str, str], pid: int, first: int = FIRST
    ) -> InheritedSockets:
        """
        Take what systemd handed to this very process, and to no child of its own.

        @param pid: Of this process.
        @raise StartError: One of them is no listening TCP socket, or the variables are malformed.
        """
        if environ.get("LISTEN_PID") != str(pid):
            return cls()
        text = environ.get("LISTEN_FDS", "")
        if not text.isascii() or not text.isdigit() or not 0 < int(text) < 1024:
            raise StartError(f"LISTEN_FDS={text!r}: expected a number of sockets")
        count = int(text)
        names = environ.get("LISTEN_FDNAMES", "").split(":") if count else []
        names += ["unknown"] * (count - len(names))
        return cls(
            (name or "unknown", _adopt(first + place, name))
            for place, name in enumerate(names[:count])
        )

    def take(self, name: str) -> list[socket.socket]:
        """
        The sockets with a name; the caller closes them.
        """
        return self._sockets.pop(name, [])

    def finish(self, known: Iterable[str]) -> None:
        """
        Make sure that none is left over.

        @param known: The names that listeners asked for.
        @raise StartError: One has a name that no listener has.
        """
        for name in self._sockets:
            raise StartError(
                f"a socket was handed over under the name {name!r}, expected one of"
                f" {', '.join(sorted(known))} (FileDescriptorName= in the socket unit)"
            )


def initialEnvironment(path: Path = Path("/proc/self/environ")) -> dict[str, str]:
    """
    The environment that this process was started with.

    Twisted takes C{LISTEN_PID} and C{LISTEN_FDS} out of the current one as soon as its endpoints
    are imported, and keeps only one socket for each name.

    @param path: Where the kernel tells; where it does not, nothing was handed over.
    """
    try:
        pairs = path.read_bytes().split(b"\0")
    except OSError:
        return {}
    split = (pair.decode("utf-8", "surrogateescape").partition("=") for pair in pairs)
    return {name: value for name, _, value in split}


def _adopt(descriptor: int, name: str) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        adopted = socket.socket(fileno=descriptor)
        listens = adopted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise StartError(
            f"file descriptor {descriptor} ({name!r}) is no socket: {error.strerror}"
        ) from error
    if not listens or adopted.family not in (socket.AF_INET, socket.AF_INET6):
        # Now, and not when the garbage collector finds it: the number may mean another file then.
        adopted.close()
        raise StartError(
            f"file descriptor {descriptor} ({name!r}) is no listening TCP socket:"
            " expected ListenStream= with an address and a port"
        )
    adopted.setblocking(False)
    return adopted
