"""
Network namespaces and TAP devices of Linux, for guests with a kernel of their own.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from contextlib import contextmanager
from typing import Iterator

_NEW_NET = 0x4000_0000
_NEW_MOUNTS = 0x0002_0000
_PRIVATE = 1 << 18 | 1 << 14
_BIND = 1 << 12

_TUNSETIFF = 0x4004_54CA
_TAP, _NO_INFORMATION = 0x0002, 0x1000

_libc = ctypes.CDLL(None, use_errno=True)


def available() -> bool:
    """
    Whether this process may make namespaces and TAP devices.
    """
    return os.geteuid() == 0 and os.access("/dev/net/tun", os.R_OK | os.W_OK)


class Outside:
    """
    The network that this process was in before it entered one of its own.
    """

    def __init__(self) -> None:
        self._outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._inside = -1

    def leave(self) -> None:
        """
        Enter an empty network and a copy of the file system's mounts.
        """
        _check(_libc.unshare(_NEW_NET | _NEW_MOUNTS))
        _check(_libc.mount(b"none", b"/", None, _PRIVATE, None))
        self._inside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @contextmanager
    def back(self) -> Iterator[None]:
        """
        Be outside for a while; sockets made meanwhile stay there.
        """
        _check(_libc.setns(self._outside, _NEW_NET))
        try:
            yield
        finally:
            _check(_libc.setns(self._inside, _NEW_NET))


def bindMount(source: str, place: str) -> None:
    """
    Let a file appear in the place of another, for this process and its children.
    """
    _check(_libc.mount(source.encode(), place.encode(), None, _BIND, None))


def openTAP(name: str) -> int:
    """
    Make a TAP device in the network of this process.

    @return: Its descriptor, which does not block: each read is a frame, each write another.
    """
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    request = struct.pack("16sH22x", name.encode(), _TAP | _NO_INFORMATION)
    fcntl.ioctl(device, _TUNSETIFF, request)
    return device


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
