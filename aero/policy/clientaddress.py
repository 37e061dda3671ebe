# -*- test-case-name: aero.policy.test.test_clientaddress -*-
"""
Who the client is when there are proxies in front.

C{X-Forwarded-For} is written by everyone on the way, the client first. Only what a trusted
proxy appended is true, so the walk goes from the right and ends at the first address that is
not a trusted proxy (edge.md section 20.2, gateway.md section 3.6).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import Iterable, Iterator, Sequence

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: An address in brackets, or an IPv4 address, with the port that some proxies append.
_WITH_PORT = re.compile(rb"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")

#: What gateway.md calls ASCII-trim.
_ASCII_SPACE = bytes(range(0x21))

#: No address is longer, with brackets and a port.
_MAX_ENTRY = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """
    The client of a request, as far as it is known.

    @ivar ip: Its address; IPv4 where it is IPv4-mapped.
    @ivar secure: Whether it came over TLS, all the way from the browser.
    """

    ip: str
    secure: bool


class ClientAddresses:
    """
    Tells the client from the proxies.

    @param trust: Whether forwarding headers are believed at all.
    @param networks: Where the trusted proxies are. Without any, whoever connects is one, which
        is right behind an ingress and wrong on the internet: a process that terminates TLS
        itself then believes nobody.
    @param terminatesTLS: Whether this process terminates TLS itself.
    """

    def __init__(self, *, trust: bool, networks: Iterable[_Network], terminatesTLS: bool) -> None:
        self._networks = tuple(networks)
        self._trust = trust
        self._nobody = terminatesTLS and not self._networks

    def believes(self, peer: str) -> bool:
        """
        Whether what a peer says about its clients is true.

        @param peer: The address of whoever connected.
        """
        return self._trust and self.mayForward(peer)

    def mayForward(self, peer: str) -> bool:
        """
        Whether a peer could be a proxy, whose headers are true where the operator trusts them.

        @param peer: The address of whoever connected.
        """
        if not self._networks:
            return not self._nobody
        return self._isProxy(_parse(peer))

    def client(
        self,
        peer: str,
        secure: bool,
        forwardedFor: Sequence[bytes],
        forwardedProto: Sequence[bytes],
    ) -> Client:
        """
        Find the client of a request.

        @param peer: The address of whoever connected.
        @param secure: Whether that connection is TLS.
        @param forwardedFor: Every C{X-Forwarded-For} header line.
        @param forwardedProto: Every C{X-Forwarded-Proto} header line.
        """
        address = _parse(peer)
        shown = peer if address is None else str(address)
        if not self.believes(peer):
            return Client(shown, secure)
        for entry in _fromTheRight(forwardedFor):
            hop = _parse(entry)
            if hop is None:
                break
            shown = str(hop)
            if not self._isProxy(hop):
                break
        return Client(shown, secure or _saysHTTPS(forwardedProto))

    def _isProxy(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _fromTheRight(lines: Sequence[bytes]) -> Iterator[str]:
    """
    The entries of a header, last one first, without the ports that some proxies append.

    Empty entries are not ignored, other than in the lists of RFC 9110: a proxy that appended one
    does not know its client, so the walk must end there and not at what the client wrote.
    """
    for line in reversed(lines):
        for raw in reversed(line.split(b",")):
            entry = raw.strip(_ASCII_SPACE)
            found = _WITH_PORT.fullmatch(entry) if len(entry) <= _MAX_ENTRY else None
            text = (found[1] or found[2]) if found else entry
            yield text.decode("latin-1")


def _parse(text: str) -> _Address | None:
    """
    Read an address; IPv4-mapped ones, which dual-stack sockets show, are IPv4.
    """
    if len(text) > _MAX_ENTRY:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _saysHTTPS(forwardedProto: Sequence[bytes]) -> bool:
    """
    Whether the first value of C{X-Forwarded-Proto} is C{https} (gateway.md section 4.4).
    """
    if not forwardedProto:
        return False
    return forwardedProto[0].partition(b",")[0].strip(_ASCII_SPACE).lower() == b"https"
