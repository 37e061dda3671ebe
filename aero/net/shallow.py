# -*- test-case-name: aero.net.test.test_shallow -*-
"""
Keep little of what is sent waiting in the kernel.

A socket's send buffer grows to megabytes during a bulk transfer. On a connection that carries the
packets of a guest, everything else the guest does waits behind them: a second and more on an
ordinary line. With a bound on what the kernel holds I{unsent}, on top of what is on its way, the
transport is full early, and what makes the packets is told to wait while they can still be
chosen. Nothing is lost in speed: the kernel asks for more as soon as it has less than that.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

#: Bytes that the kernel may hold unsent: a hundredth of a second at 100 Mbit/s.
UNSENT_BYTES = 131_072


def keepShallow(transport: Any, size: int = UNSENT_BYTES) -> bool:
    """
    Bound what the kernel holds unsent for a transport.

    @param transport: A TCP transport, or TLS on one.
    @return: Whether this system can do that.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    below = transport
    while (next := getattr(below, "transport", None)) is not None:
        below = next
    handle = getattr(below, "socket", None)
    if option is None or handle is None:
        return False
    with suppress(OSError):
        handle.setsockopt(socket.IPPROTO_TCP, option, size)
        return True
    return False
