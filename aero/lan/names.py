# -*- test-case-name: aero.lan.test.test_names -*-
"""
The names of a guest's LAN itself: C{gateway}, C{dns}, and what the guest calls itself, alone and
in the domain of the LAN; and the reverse names of private addresses, of which the LAN's DNS knows
its own and denies all others (RFC 6303).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Protocol, Sequence

from aero.settings.lan import LANSettings
from aero.wire.dns import NOERROR, NS, NXDOMAIN, PTR, SOA, A, encodeName, nameText
from aero.wire.dnsanswer import Record
from aero.wire.dnsquery import Query
from aero.wire.reversezones import TTL, reverseName, reverseZone, soaRecord, tails

from .services.dhcp import DHCPServer, NetworkPlan

#: A name that a host can have (RFC 1123 section 2.1); underscores are seen, too.
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class Found(NamedTuple):
    """
    What is known about a question.
    """

    rcode: int
    records: Sequence[Record] = ()
    authority: Sequence[Record] = ()


class Neighbourhood(Protocol):
    """
    The parts of a LAN that have names.
    """

    plan: NetworkPlan
    settings: LANSettings
    dhcp: DHCPServer


class LANNames:
    """
    Answers questions about names of one LAN.
    """

    def __init__(self, lan: Neighbourhood, *, forwardReverse: bool = False) -> None:
        """
        @param forwardReverse: Whether reverse names of private addresses that are not of this LAN
            are for the resolver of the server.
        """
        self._lan = lan
        self._forwardReverse = forwardReverse
        self._domain = lan.settings.dhcpDomain.lower()
        self._ttl = lan.settings.defaultTTL
        self._fixed = {"gateway": lan.plan.gateway}
        if lan.plan.dns:
            self._fixed["dns"] = lan.plan.dns

    def find(self, query: Query) -> Found | None:
        """
        The answer to a question.

        @return: C{None} where it is about no name of this LAN.
        """
        zone = reverseZone(query.name.lower())
        if zone:
            return self._reverse(query, zone)
        name = nameText(query.name)
        address = self._addresses().get(name.removesuffix(f".{self._domain}"))
        if address is None:
            return None
        if query.qtype != A:
            return Found(NOERROR)
        return Found(NOERROR, [Record(query.name, A, self._ttl, address.to_bytes(4, "big"))])

    def _addresses(self) -> dict[str, int]:
        """
        The addresses of the LAN by their name within its domain.
        """
        lan = self._lan
        lease = lan.dhcp.lease
        own = lease.hostName if lease is not None and lease.hostName else lan.settings.hostName
        own = own.lower().rstrip(".").removesuffix(f".{self._domain}")
        named = {own: lan.dhcp.address} if _LABEL.fullmatch(own) else {}
        return named | self._fixed

    def _reverse(self, query: Query, zone: bytes) -> Found | None:
        """
        The answer about a name in a zone of private addresses.
        """
        name = query.name.lower()
        suffix = f".{self._domain}" if self._domain else ""
        known = {address: own + suffix for own, address in self._addresses().items()}
        for static, address in self._lan.settings.staticNames:
            known.setdefault(address, static)
        names = {reverseName(address): own for address, own in known.items()}
        own = names.get(name)
        authority = [soaRecord(zone)]
        if own is not None:
            if query.qtype != PTR:
                return Found(NOERROR, (), authority)
            target = encodeName([label.encode() for label in own.split(".")])
            return Found(NOERROR, [Record(query.name, PTR, self._ttl, target)])
        if self._forwardReverse:
            return None
        if name == zone:
            if query.qtype == SOA:
                return Found(NOERROR, authority)
            if query.qtype == NS:
                return Found(NOERROR, [Record(query.name, NS, TTL, zone)])
        elif not any(name in tails(each) for each in names):
            return Found(NXDOMAIN, (), authority)
        return Found(NOERROR, (), authority)
