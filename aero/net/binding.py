# -*- test-case-name: aero.net.test.test_listeners -*-
"""
Binding listening sockets, with a clear sentence when that fails.
"""

from __future__ import annotations

import errno
import socket
from typing import Sequence

from aero.errors import StartError

#: Connections the kernel keeps waiting; Linux caps it at C{net.core.somaxconn}.
BACKLOG = 1024


class Binding:
    """
    One port on one or more addresses.

    @ivar name: What the sockets are called when they are handed from process to process.
    @ivar port: The port number, or 0 for any free one.
    """

    def __init__(
        self, name: str, addresses: Sequence[str], port: int, option: str, purpose: str = ""
    ) -> None:
        """
        @param addresses: IP addresses. One that this machine does not have is passed over as
            long as another of them works, because a host without IPv6 is ordinary.
        @param option: The option that chooses the port, for the error message.
        @param purpose: What the port is for, as the log names it.
        """
        self.name = name
        self._addresses = addresses
        self.port = port
        self._option = option
        self._purpose = purpose or name

    def describe(self, bound: socket.socket) -> str:
        """
        Say where a socket listens and what for, as one line of the log.
        """
        host, port = bound.getsockname()[:2]
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"listening on {where} ({self._purpose})"

    def bind(self) -> list[socket.socket]:
        """
        Bind the sockets; ports below 1024 need this to happen early.

        @raise StartError: No address could be bound, or one is taken.
        """
        bound = [(address, self._bind(address)) for address in self._addresses]
        found = [each for _, each in bound if each is not None]
        if not found:
            raise StartError(
                f"cannot listen on {' or '.join(address for address, _ in bound)}: this machine"
                " has no such address; choose with --bind"
            )
        return found

    def _bind(self, address: str) -> socket.socket | None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            bound = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:
                return None
            raise
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # Each family has its own socket, so that both can be asked for by name.
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((address, self.port))
            bound.listen(BACKLOG)
            bound.setblocking(False)
        except OSError as error:
            bound.close()
            if error.errno == errno.EADDRNOTAVAIL:
                return None
            raise StartError(self._sentence(address, error)) from error
        return bound

    def _sentence(self, address: str, error: OSError) -> str:
        where = f"port {self.port} on {address}"
        if error.errno == errno.EADDRINUSE:
            return (
                f"cannot listen on {where}: another program uses it;"
                f" choose another with --{self._option}"
            )
        if error.errno == errno.EACCES:
            return (
                f"cannot listen on {where}: ports below 1024 need the right to bind them"
                f" (CAP_NET_BIND_SERVICE or root); choose another with --{self._option}"
            )
        return f"cannot listen on {where}: {error.strerror}; choose another with --{self._option}"
