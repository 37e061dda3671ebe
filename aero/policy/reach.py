# -*- test-case-name: aero.policy.test.test_reach -*-
"""
Which addresses clients may get to through this server: the one place that decides, for C{/tcp},
C{/tcp-mux}, C{/udp}, data channels, guests and the candidates of ICE.

Two kinds of addresses are refused: those that are not public (L{aero.policy.addresses}), and those
of this machine itself. A public address of this machine leads to services that a firewall in
front of it hides from everybody else, and to those that trust local connections.
"""

from __future__ import annotations

import ipaddress
from typing import Collection, Iterable

from .addresses import embeddedIPv4, isPublic
from .numeric import parseIPv4, parseIPv6

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class OwnAddresses:
    """
    The addresses of this machine. L{aero.net.interfaces} tells which ones its interfaces have.

    @ivar version: Grows with each change, for callers that remember decisions.
    """

    def __init__(
        self, *, configured: Iterable[_Network] = (), reachable: Iterable[_Network] = ()
    ) -> None:
        """
        @param configured: Networks that lead to this machine although no interface has their
            addresses, such as the public address of a one-to-one NAT.
        @param reachable: Networks in which clients may reach the addresses of this machine.
        """
        self._configured = tuple(configured)
        self._reachable = tuple(reachable)
        self._learnt: frozenset[_Address] = frozenset()
        self.version = 0

    def __len__(self) -> int:
        return len(self._learnt)

    def learn(self, addresses: Iterable[str]) -> bool:
        """
        Replace what is known of the interfaces.

        @param addresses: Every address of every interface; what is no address is passed over.
        @return: Whether anything changed.
        """
        found = frozenset(address for address in map(_reached, addresses) if address is not None)
        if found == self._learnt:
            return False
        self._learnt = found
        self.version += 1
        return True

    def refuses(self, address: str) -> bool:
        """
        Whether an address is one of this machine that clients may not reach.

        @param address: An IPv4 or IPv6 address as text. An IPv6 address that carries an IPv4
            address without a tunnel counts as that one.
        """
        found = _reached(address)
        if found is None:
            return False
        if found not in self._learnt and not _within(self._configured, found):
            return False
        return not _within(self._reachable, found)


class AddressPolicy:
    """
    Decides about addresses for one kind of client.
    """

    def __init__(
        self,
        *,
        allowPrivate: bool = False,
        own: OwnAddresses | None = None,
        sitePorts: Collection[int] = (),
    ) -> None:
        """
        @param allowPrivate: Whether every address may be reached: those that are not public, and
            those of this machine.
        @param own: The addresses of this machine; C{None} where none are known.
        @param sitePorts: TCP ports that may be reached at the addresses of this machine that
            are public.
        """
        self.allowPrivate = allowPrivate
        self._own = OwnAddresses() if own is None else own
        self._sitePorts = frozenset(sitePorts)

    @property
    def version(self) -> int:
        """
        Grows whenever a decision may be another one than before.
        """
        return self._own.version

    def allows(self, address: str, port: int | None = 0) -> bool:
        """
        Whether an address may be reached.

        @param port: The TCP port; 0 for what has no TCP port; C{None} asks whether any port of
            the address may be reached.
        """
        if self.allowPrivate:
            return True
        if not isPublic(address):
            return False
        if port in self._sitePorts or (port is None and self._sitePorts):
            return True
        return not self._own.refuses(address)


def _reached(text: str) -> _Address | None:
    """
    The address that packets to an address reach; C{None} where the text is no address.
    """
    if ":" not in text:
        four = parseIPv4(text)
        return None if four is None else ipaddress.IPv4Address(four)
    six = parseIPv6(text.partition("%")[0])
    if six is None:
        return None
    four = embeddedIPv4(six)
    return ipaddress.IPv6Address(six) if four is None else ipaddress.IPv4Address(four)


def _within(networks: Iterable[_Network], address: _Address) -> bool:
    return any(address in network for network in networks)
