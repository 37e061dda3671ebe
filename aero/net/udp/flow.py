# -*- test-case-name: aero.tunnel.datagrams.test.test_engine -*-
"""
What L{aero.tunnel.datagrams.engine} remembers about the header of a message.
"""

from __future__ import annotations

import socket

from .binding import Address, UDPBinding


class Flow:
    """
    What is known about all messages with one header.
    """

    __slots__ = ("address", "binding", "guestPort", "isIPv6", "isV2", "port", "remote")

    def __init__(self, version: int, guestPort: int, remote: bytes, port: int) -> None:
        self.isV2 = version == 2
        self.guestPort = guestPort
        self.remote = remote
        self.port = port
        self.isIPv6 = len(remote) == 16
        family = socket.AF_INET6 if self.isIPv6 else socket.AF_INET
        self.address: Address = (socket.inet_ntop(family, remote), port)
        self.binding: UDPBinding | None = None
