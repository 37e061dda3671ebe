# -*- test-case-name: aero.policy.test.test_egress -*-
"""
Where clients may connect to through this server (gateway.md section 11.4).

The order is resolve, decide, connect to the very address that was decided about: a name that
resolves differently the second time is not asked a second time. L{EgressPolicy.check} is
everything that can be said before resolving, L{EgressPolicy.approved} what is said after.
"""

from __future__ import annotations

from typing import Collection, Iterable, Sequence

from aero.errors import Refused

from .hosts import HostPattern, HostPatterns, IPTarget, NameTarget, classifyHost
from .profiles import PROFILES, Profile
from .reach import AddressPolicy, OwnAddresses

_NOT_PUBLIC = "Target IP is not allowed by IP egress policy"


class EgressPolicy:
    """
    Says which targets may be reached.

    @param profile: A name of L{aero.policy.profiles.PROFILES}.
    @param allowPrivate: Whether addresses that are not public may be reached, and those of this
        machine.
    @param allowedHosts: The only hosts that may be reached; none is all.
    @param blockedHosts: Hosts that may not be reached; they win.
    @param requireName: Whether targets given as addresses are refused.
    @param allowedPorts: The only ports that may be reached; none leaves it to the profile.
    @param own: The addresses of this machine.
    @param sitePorts: Ports that may be reached at public addresses of this machine, by targets
        given as addresses.
    @raise ValueError: There is no such profile.
    """

    def __init__(
        self,
        *,
        profile: str,
        allowPrivate: bool,
        allowedHosts: Iterable[HostPattern],
        blockedHosts: Iterable[HostPattern],
        requireName: bool,
        allowedPorts: Iterable[int],
        own: OwnAddresses | None = None,
        sitePorts: Collection[int] = (),
    ) -> None:
        if profile not in PROFILES:
            raise ValueError(f"expected one of {', '.join(PROFILES)}")
        only = frozenset(allowedPorts)
        self._ports = Profile("explicit", only=only) if only else PROFILES[profile]
        self._addresses = AddressPolicy(allowPrivate=allowPrivate, own=own, sitePorts=sitePorts)
        self._allowedHosts = HostPatterns(allowedHosts)
        self._blockedHosts = HostPatterns(blockedHosts)
        self._requireName = requireName

    def check(self, host: str, port: int) -> IPTarget | NameTarget:
        """
        Decide about a target as the client wrote it.

        @return: The target. An address may be connected to; a name has to be resolved, and
            the answer goes through L{approved}.
        @raise Refused: 400 where the target makes no sense, 403 where it is not allowed. The
            reason is C{port}, C{host-invalid}, C{host} or C{ip}.
        """
        if not 1 <= port <= 65_535:
            raise Refused(400, "bad_request", "Invalid target port", reason="port")
        if not self._ports.allows(port):
            raise Refused(403, "forbidden", "Target port not allowed", reason="port")
        listed = bool(self._allowedHosts)
        try:
            target = classifyHost(host)
        except ValueError:
            message = "Invalid target host" if listed else "Invalid host"
            raise Refused(400, "bad_request", message, reason="host-invalid") from None
        literal = isinstance(target, IPTarget)
        if listed and not self._allowedHosts.matches(target):
            raise Refused(403, "forbidden", "Target host not allowed", reason="host")
        if literal and self._requireName:
            raise Refused(403, "forbidden", "IP-literal targets are not allowed", reason="host")
        if self._blockedHosts.matches(target):
            raise Refused(403, "forbidden", "Target is blocked", reason="host")
        if literal and not self._addresses.allows(str(target), port):
            raise Refused(403, "forbidden", _NOT_PUBLIC, reason="ip")
        return target

    def approved(self, addresses: Sequence[str]) -> list[str]:
        """
        Keep the addresses of a resolver's answer that may be connected to, in their order.

        @raise Refused: 403 with the reason C{ip}; none is left.
        """
        kept = [address for address in addresses if self._addresses.allows(address)]
        if not kept:
            raise Refused(403, "forbidden", _NOT_PUBLIC, reason="ip")
        return kept
