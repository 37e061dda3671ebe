# -*- test-case-name: aero.dns.test.test_addresses -*-
"""
Where an upstream is: the address behind its name, and endpoints to connect to it.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
)
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from .exchange import ExchangeFailed

#: Seconds that the address of a named upstream is remembered.
REMEMBERED: Final = 60.0
#: Seconds that a connection may take to open; an attempt usually ends before.
CONNECT_TIMEOUT: Final = 10.0


def isLiteral(host: str) -> bool:
    """
    Whether a host is an address.
    """
    return bool(isIPAddress(host) or isIPv6Address(host))


def streamEndpoint(
    reactor: Any, host: str, port: int
) -> TCP4ClientEndpoint | TCP6ClientEndpoint | HostnameEndpoint:
    """
    The endpoint for TCP to a host; an address is not looked up.
    """
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT)
    return HostnameEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT)


class UpstreamAddress:
    """
    The address of an upstream that datagrams go to.

    A name is looked up by the system, not by the resolver it is needed for.
    """

    def __init__(self, reactor: Any, host: str) -> None:
        self._reactor = reactor
        self._host = host
        self._literal = isLiteral(host)
        self._address = host if self._literal else ""
        self._expires = 0.0

    def get(self) -> Deferred[str]:
        """
        The address, or L{ExchangeFailed}.
        """
        if self._literal or (self._address and self._reactor.seconds() < self._expires):
            return succeed(self._address)
        receiver = _FirstAddress()
        self._reactor.nameResolver.resolveHostName(receiver, self._host)
        return receiver.found.addCallback(self._remember)

    def _remember(self, address: str) -> str:
        self._address = address
        self._expires = self._reactor.seconds() + REMEMBERED
        return address


@implementer(IResolutionReceiver)
class _FirstAddress:
    """
    Takes the first address of a lookup.
    """

    def __init__(self) -> None:
        self.found: Deferred[str] = Deferred()
        self._address = ""

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """
        Nothing is known yet.
        """

    def addressResolved(self, address: IAddress) -> None:
        """
        Keep the first.
        """
        if not self._address and isinstance(address, (IPv4Address, IPv6Address)):
            self._address = address.host

    def resolutionComplete(self) -> None:
        """
        Tell it.
        """
        if self._address:
            self.found.callback(self._address)
        else:
            self.found.errback(ExchangeFailed("address", "the upstream's name has no address"))
