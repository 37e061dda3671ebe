# -*- test-case-name: aero.policy.test.test_destinations -*-
"""
Where datagrams may go (relay.md section 11.4): presets, networks and ports.

A refusal beats a permission, a list of permitted networks permits nothing else, and special
networks are refused unless asked for. Special is what L{aero.policy.reach} refuses, which is more
than the reference's list: tunnels and translations that carry private addresses too, and the
addresses of this machine.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections import OrderedDict
from typing import Iterable, Sequence

from .reach import AddressPolicy, OwnAddresses

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Addresses whose decision is remembered; a session talks to few and asks about each
#: datagram.
_REMEMBERED = 4_096


class DestinationPolicy:
    """
    Decides about the destination of each datagram.

    @ivar allowPrivate: Whether special networks are not refused as such.
    @ivar defaultAllow: What holds where nothing else decides.
    """

    def __init__(
        self,
        *,
        preset: str = "prod",
        allowPrivate: bool = False,
        allowNetworks: Iterable[_Network] = (),
        denyNetworks: Iterable[_Network] = (),
        allowPorts: Sequence[tuple[int, int]] = (),
        denyPorts: Sequence[tuple[int, int]] = (),
        own: OwnAddresses | None = None,
    ) -> None:
        """
        @param preset: C{prod} refuses what nothing permits, C{dev} permits it.
        @param allowPorts: Inclusive ranges; with any, no other port is permitted.
        @param own: The addresses of this machine.
        """
        self.allowPrivate = allowPrivate
        self._addresses = AddressPolicy(allowPrivate=allowPrivate, own=own)
        self._version = self._addresses.version
        self.defaultAllow = preset == "dev"
        self._allow = _byWidth(allowNetworks)
        self._deny = _byWidth(denyNetworks)
        self._restricted = any(self._allow.values())
        self._allowPorts = _ranges(allowPorts)
        self._denyPorts = _ranges(denyPorts)
        self._decisions: OrderedDict[bytes, str] = OrderedDict()

    @property
    def permitsNothing(self) -> bool:
        """
        Whether every datagram is refused, because no network is named and nothing else permits it.
        """
        return not (self.defaultAllow or self._restricted)

    def refusal(self, remote: bytes, port: int) -> str:
        """
        Why a datagram may not go somewhere.

        @param remote: The packed address in its one spelling (L{aero.wire.udprelay.canonical}).
        @return: Empty where it may; else C{port}, C{private}, C{network} or C{default}.
        """
        if port == 0 or _inRanges(self._denyPorts, port):
            return "port"
        if self._allowPorts[0] and not _inRanges(self._allowPorts, port):
            return "port"
        if self._version != self._addresses.version:
            self._version = self._addresses.version
            self._decisions.clear()
        reason = self._decisions.get(remote)
        if reason is None:
            if len(self._decisions) >= _REMEMBERED:
                self._decisions.popitem(last=False)
            reason = self._decisions[remote] = self._decide(remote)
        return reason

    def _decide(self, remote: bytes) -> str:
        address = ipaddress.ip_address(remote)
        if not self._addresses.allows(str(address)):
            return "private"
        width, number = len(remote), int(address)
        if _contains(self._deny[width], number):
            return "network"
        if self._restricted:
            return "" if _contains(self._allow[width], number) else "network"
        return "" if self.defaultAllow else "default"


_Masks = list[tuple[int, int]]


def _byWidth(networks: Iterable[_Network]) -> dict[int, _Masks]:
    """
    Networks as mask and prefix, by the width of their addresses in bytes.
    """
    found: dict[int, _Masks] = {4: [], 16: []}
    for network in networks:
        width = 4 if network.version == 4 else 16
        found[width].append((int(network.netmask), int(network.network_address)))
    return found


def _contains(masks: _Masks, number: int) -> bool:
    return any(number & mask == prefix for mask, prefix in masks)


def _ranges(ports: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """
    Disjoint ranges in order: first ports, last ports.
    """
    firsts: list[int] = []
    lasts: list[int] = []
    for first, last in sorted(ports):
        if lasts and first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return firsts, lasts


def _inRanges(ranges: tuple[list[int], list[int]], port: int) -> bool:
    firsts, lasts = ranges
    position = bisect_right(firsts, port) - 1
    return position >= 0 and port <= lasts[position]
