# -*- test-case-name: aero.net.test.test_interfaces -*-
"""
The addresses of this machine's interfaces, for the policy that keeps clients away from them.

On Linux they are read over netlink, which needs no privilege. The kernel notifies of each change,
and a look every few seconds finds what a lost notification would have told. Elsewhere the C library
is asked at the same interval.
"""

from __future__ import annotations

import socket
from typing import Any, Callable, Collection

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from aero.errors import DecodeError
from aero.metrics import Metrics
from aero.metrics import tcp as rows
from aero.policy.reach import OwnAddresses
from aero.wire.netlink import ADDRESS_GROUPS, addressRequest, parseAddresses

#: Seconds between two looks.
LOOK_INTERVAL = 10.0
#: Seconds from a notification to the look that it causes; more notifications cause no more looks.
SETTLE = 0.1

#: Seconds that the kernel has to answer.
_TIMEOUT = 1.0
#: How often an answer is asked for that changed while it was given.
_ATTEMPTS = 4
_DATAGRAM = 65_536


def readAddresses() -> Collection[str]:
    """
    Every address of every interface.

    @raise OSError: They cannot be read here.
    """
    if not hasattr(socket, "AF_NETLINK"):
        return _fromLibrary()
    found: list[str] = []
    for sequence in range(1, _ATTEMPTS + 1):
        found, isWhole = _dump(sequence)
        if isWhole:
            break
    return found


def _dump(sequence: int) -> tuple[list[str], bool]:
    found: list[str] = []
    isWhole = True
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(_TIMEOUT)
        sock.send(addressRequest(sequence))
        while True:
            try:
                part = parseAddresses(sock.recv(_DATAGRAM))
            except DecodeError as error:
                raise OSError(str(error)) from error
            found += part.addresses
            isWhole = isWhole and not part.isInterrupted
            if part.isLast:
                return found, isWhole


def _fromLibrary() -> Collection[str]:
    try:
        import ifaddr
    except ImportError as error:
        raise OSError("there is no netlink, and the package ifaddr is not installed") from error
    addresses = [each.ip for adapter in ifaddr.get_adapters() for each in adapter.ips]
    return [ip if isinstance(ip, str) else ip[0] for ip in addresses]


def openNotifications() -> socket.socket:
    """
    A socket that becomes readable when an address is added or removed.

    @raise OSError: There is none to be had here.
    """
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError("there is no netlink")
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        sock.setblocking(False)
        sock.bind((0, ADDRESS_GROUPS))
    except OSError:
        sock.close()
        raise
    return sock


class Interfaces:
    """
    Keeps the policy informed of the addresses of the interfaces.
    """

    _log = Logger()

    def __init__(
        self,
        own: OwnAddresses,
        reactor: Any,
        metrics: Metrics,
        *,
        read: Callable[[], Collection[str]] = readAddresses,
        openNotifications: Callable[[], socket.socket] = openNotifications,
    ) -> None:
        """
        @param own: What is told.
        @param reactor: Provides C{IReactorTime} and C{IReactorFDSet}.
        @param read: Gives the addresses, or raises C{OSError}.
        """
        self._own = own
        self._reactor = reactor
        self._read = read
        self._openNotifications = openNotifications
        self._gauge = metrics.gauge(rows.OWN_ADDRESSES)
        self._notifications: _Notifications | None = None
        self._call: IDelayedCall | None = None
        self._isRunning = False
        self._hasFailed = False

    def look(self) -> None:
        """
        Read the addresses now. Where that fails those of the last time stay.
        """
        try:
            found = self._read()
        except OSError as error:
            if not self._hasFailed:
                self._log.warn(
                    "The addresses of this machine cannot be read ({error}): clients may reach"
                    " services at its public addresses. Name these in AERO_OWN_NETWORKS",
                    error=error,
                )
            self._hasFailed = True
            return
        self._hasFailed = False
        if self._own.learn(found):
            self._log.debug("This machine has {count} addresses", count=len(self._own))
        self._gauge.set(len(self._own))

    def start(self) -> None:
        """
        Look at the addresses whenever they change, until L{stop}.
        """
        self._isRunning = True
        try:
            sock = self._openNotifications()
        except OSError:
            self._schedule(LOOK_INTERVAL)
            return
        self._notifications = _Notifications(sock, lambda: self._schedule(SETTLE))
        self._reactor.addReader(self._notifications)
        # A change between the look at the start and this moment was not notified of.
        self._look()

    def stop(self) -> None:
        """
        Look no more.
        """
        self._isRunning = False
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._notifications is not None:
            self._reactor.removeReader(self._notifications)
            self._notifications.close()
            self._notifications = None

    def _look(self) -> None:
        self._call = None
        self.look()
        self._schedule(LOOK_INTERVAL)

    def _schedule(self, seconds: float) -> None:
        """
        Look in so many seconds at the latest.
        """
        if not self._isRunning:
            return
        if self._call is not None:
            if self._call.getTime() <= self._reactor.seconds() + seconds:
                return
            self._call.cancel()
        self._call = self._reactor.callLater(seconds, self._look)


@implementer(IReadDescriptor)
class _Notifications:
    """
    The reactor's view of the socket that tells of changes.
    """

    def __init__(self, sock: socket.socket, changed: Callable[[], object]) -> None:
        self._socket = sock
        self._changed = changed

    def fileno(self) -> int:
        """
        The descriptor.
        """
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """
        The name in the log.
        """
        return "interfaces"

    def doRead(self) -> None:
        """
        Throw the notifications away: the addresses are read anew. An overflow is a change too.
        """
        self._changed()
        try:
            while True:
                self._socket.recv(_DATAGRAM)
        except OSError:
            return

    def connectionLost(self, reason: object) -> None:
        """
        The reactor has given the socket up; the looks at an interval go on.
        """
        self.close()

    def close(self) -> None:
        """
        Close the socket.
        """
        self._socket.close()
