# -*- test-case-name: aero.http.test.test_upgradelog -*-
"""
One line in the log for each refused WebSocket upgrade: the path, the status and the reason.

A browser tells a page nothing about a refused upgrade, so the log of the server is the place where
an operator finds the reason. Strangers can send upgrades faster than a log can be written:
the lines have a rate, for each client and in all, and each line says how many were left out
before it.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from aero.log import blurred
from aero.policy.quota import TokenBuckets, addressKey

from .request import AeroRequest

#: Lines a second, and how many may come at once: for all clients, and for one client address.
RATE, BURST = 5.0, 20.0
CLIENT_RATE, CLIENT_BURST = 1.0, 5.0

_ALL = "all"
#: Characters of a path that are written.
_MAX_PATH = 100


class UpgradeLog:
    """
    The log of refused upgrades of one site.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, *, fullAddresses: bool = False) -> None:
        """
        @param fullAddresses: Whether client addresses are written whole.
        """
        self._clock = clock
        self._fullAddresses = fullAddresses
        self._all = TokenBuckets(RATE, BURST)
        self._clients = TokenBuckets(CLIENT_RATE, CLIENT_BURST)
        self._left = 0

    def refused(self, request: AeroRequest, status: int, reason: str, message: str) -> None:
        """
        An upgrade was refused.

        @param reason: The rule, in one word, as the metrics have it.
        @param message: The text that the client gets.
        """
        now = self._clock.seconds()
        address = request.client.ip
        if self._clients.take(addressKey(address), now) or self._all.take(_ALL, now):
            self._left += 1
            return
        left, self._left = self._left, 0
        self._log.info(
            "refused a WebSocket upgrade to {path} with {status}: {text} ({reason}),"
            " client {client}{left}",
            path=_shown(request.path),
            status=status,
            text=message,
            reason=reason,
            client=address if self._fullAddresses else blurred(address),
            left=f" ({left} lines left out before)" if left else "",
        )


def _shown(path: bytes) -> str:
    """
    The path of a request without its query string, which may hold a credential.
    """
    text = path[:_MAX_PATH].decode("latin-1")
    return "".join(char if char.isprintable() else "?" for char in text)
