# -*- test-case-name: aero.policy.test.test_guestegress -*-
"""
Where a guest of C{/l2} may go: one policy for TCP, UDP, ping and the DNS (l2.md section 17).

L{GuestRules} is what the operator says, the same for all guests; L{GuestEgress} adds what one
guest has been told by the DNS, because rules about domains bind connections too, which know
addresses only. How they are bound:

  - A name that is refused is not answered. Where its addresses are known all the same, they
    are remembered as blocked.
  - With a list of allowed domains, an address may be reached only while it is remembered as
    one of a name that the guest asked for and was allowed.
  - With blocked domains only, an address may be reached unless it is remembered as blocked.
  - Many names share one address. An address that a name of either kind leads to counts as
    allowed, for as long as the allowed name is remembered: the guest can reach the blocked
    name's server only by asking a server that also serves something it may have. The other
    choice would let one blocked name take thousands of others with it.
  - An alias (CNAME) into a blocked domain is blocked. An alias that leads out of the allowed
    domains is not, because that is what content networks are.

A guest that learns the addresses of blocked names elsewhere, such as over HTTPS from a server
it may reach, is not stopped by rules about names unless only some domains are allowed. DNS to
other servers is answered by the LAN's own while there are rules about domains, and DNS over TLS
is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Collection, Final, Iterable, Iterator

from .addresses import isPublic
from .datagramlimits import Bucket
from .hosts import HostPatterns, IPTarget, NameTarget
from .numeric import ipv4Text
from .profiles import Profile
from .reach import AddressPolicy, OwnAddresses

#: Why something is refused: a stable word for metrics and logs, empty where it is not.
Refusal = str

PORT: Final = "port"
PRIVATE: Final = "private"
DOMAIN: Final = "domain"
UNRESOLVED: Final = "unresolved"
HOST: Final = "host"
RATE: Final = "rate"

#: Seconds of the rate of new flows that a guest may use at once.
_BURST_SECONDS: Final = 10.0

#: DNS over TLS (RFC 7858), which the LAN's DNS cannot answer for others.
DNS_OVER_TLS: Final = 853

#: TEST-NETs (RFC 5737), which the reference lets static names and forwards use.
_TEST_NETS: Final = frozenset({0xC0000200 >> 8, 0xC6336400 >> 8, 0xCB007100 >> 8})


class DomainRules:
    """
    Which names may be looked up (l2.md section 17.4).
    """

    def __init__(self, *, allowed: Iterable[str] = (), blocked: Iterable[str] = ()) -> None:
        """
        @param allowed: Domains in lower case, each with everything below it; none is all.
        @param blocked: The same; they win.
        """
        self._allowed = frozenset(allowed)
        self._blocked = frozenset(blocked)

    def sentences(self) -> Iterator[str]:
        """
        The rules in words.
        """
        if self._allowed:
            yield "only names in " + ", ".join(sorted(self._allowed))
        if self._blocked:
            yield "no names in " + ", ".join(sorted(self._blocked))

    def __bool__(self) -> bool:
        """
        Whether there is any rule.
        """
        return bool(self._allowed or self._blocked)

    @property
    def isAllowList(self) -> bool:
        """
        Whether only some domains are allowed.
        """
        return bool(self._allowed)

    def isBlocked(self, name: str) -> bool:
        """
        Whether a name is in a blocked domain.

        @param name: In lower case, without the final dot.
        """
        return bool(self._blocked) and _within(name, self._blocked)

    def allows(self, name: str) -> bool:
        """
        Whether a name may be looked up.
        """
        if self.isBlocked(name):
            return False
        return not self._allowed or _within(name, self._allowed)


def _within(name: str, domains: frozenset[str]) -> bool:
    """
    Whether a name is one of some domains, or below it.
    """
    while name:
        if name in domains:
            return True
        name = name.partition(".")[2]
    return False


class GuestRules:
    """
    What the operator says about all guests.

    @ivar domains: The rules about names.
    """

    def __init__(
        self,
        *,
        profile: Profile,
        tcpPorts: Iterable[int] | None = None,
        udpPorts: Iterable[int] | None = None,
        allowPrivate: bool = False,
        domains: DomainRules | None = None,
        allowedHosts: HostPatterns | None = None,
        blockedHosts: HostPatterns | None = None,
        requireName: bool = False,
        network: tuple[int, int] = (0x0A000200, 0xFFFFFF00),
        nameMemory: float = 3_600.0,
        maxRemembered: int = 4_096,
        newPerSecond: float = 0.0,
        own: OwnAddresses | None = None,
        sitePorts: Collection[int] = (),
    ) -> None:
        """
        @param profile: The ports for what no list is about.
        @param tcpPorts: The only TCP ports; C{None} leaves it to the profile, none is none.
        @param udpPorts: The only UDP ports.
        @param allowPrivate: Whether addresses that are not public may be reached, and those of
            this machine.
        @param allowedHosts: The only hosts that may be reached, from the rules for all clients.
        @param blockedHosts: Hosts that may not be reached.
        @param requireName: Whether addresses may be reached only if a name led there.
        @param network: Address and mask of the LAN itself, which nothing leads out to.
        @param newPerSecond: Connections and flows that one guest may begin in a second, on average;
            0 is any number.
        @param own: The addresses of this machine.
        @param sitePorts: TCP ports that may be reached at public addresses of this machine.
        """
        self.domains = domains or DomainRules()
        self._profile = profile
        self._tcpPorts = None if tcpPorts is None else frozenset(tcpPorts)
        self._udpPorts = None if udpPorts is None else frozenset(udpPorts)
        self._addresses = AddressPolicy(allowPrivate=allowPrivate, own=own, sitePorts=sitePorts)
        self._allowedHosts = allowedHosts or HostPatterns(())
        self._blockedHosts = blockedHosts or HostPatterns(())
        self._network, self._mask = network
        self.nameMemory = nameMemory
        self.maxRemembered = maxRemembered
        self.newPerSecond = newPerSecond
        self.bindsNames = bool(
            self.domains or self._allowedHosts or self._blockedHosts or requireName
        )
        self.needsName = self.domains.isAllowList or bool(self._allowedHosts) or requireName

    def sentences(self) -> Iterator[str]:
        """
        The rules in words, for people who want to know what their machine may do.
        """
        yield "TCP to " + _portsInWords(self._tcpPorts, self._profile)
        yield "UDP to " + _portsInWords(self._udpPorts, self._profile)
        if self._addresses.allowPrivate:
            yield "private networks too"
        else:
            yield "public addresses only"
        yield from self.domains.sentences()
        if self._allowedHosts:
            yield "only some hosts"
        if self._blockedHosts:
            yield "not to some hosts"
        if self.needsName:
            yield "no addresses that no name led to"
        if self.newPerSecond:
            yield f"{self.newPerSecond:g} new connections a second"

    def tcpPortRefusal(self, port: int, forwarded: bool) -> Refusal:
        """
        Whether a TCP port may be reached. A forward was asked for by the operator, so that
        only a list of ports can be against it.
        """
        return self._portRefusal(self._tcpPorts, port, forwarded)

    def udpPortRefusal(self, port: int, forwarded: bool) -> Refusal:
        """
        The same for UDP.
        """
        return self._portRefusal(self._udpPorts, port, forwarded)

    def _portRefusal(self, ports: frozenset[int] | None, port: int, forwarded: bool) -> Refusal:
        if ports is not None:
            return "" if port in ports else PORT
        if forwarded:
            return ""
        if self.bindsNames and port == DNS_OVER_TLS:
            return PORT
        return "" if self._profile.allows(port) else PORT

    def addressRefusal(
        self, address: int, forwarded: bool = False, port: int | None = None
    ) -> Refusal:
        """
        Whether an address may be reached at all.

        @param forwarded: Whether a forward or a static name leads there, which may be in the
            LAN itself, in the networks for documentation, and an address of this machine.
        @param port: The TCP port; 0 for what has none; C{None} for an answer of the DNS, which
            may be used with any port.
        """
        if address & self._mask == self._network:
            return "" if forwarded else PRIVATE
        text = ipv4Text(address)
        if forwarded and (address >> 8 in _TEST_NETS or isPublic(text)):
            return ""
        return "" if self._addresses.allows(text, port) else PRIVATE

    def nameRefusal(self, name: str) -> Refusal:
        """
        Whether a name may be looked up.

        @param name: In lower case, without the final dot.
        """
        if not self.domains.allows(name):
            return DOMAIN
        if self._allowedHosts or self._blockedHosts:
            target = NameTarget(name)
            if self._blockedHosts.matches(target):
                return HOST
            if self._allowedHosts and not self._allowedHosts.matches(target):
                return HOST
        return ""

    def aliasRefusal(self, name: str) -> Refusal:
        """
        Whether a name may be led to by an alias.
        """
        if self.domains.isBlocked(name):
            return DOMAIN
        return HOST if self._blockedHosts.matches(NameTarget(name)) else ""

    def literalRefusal(self, address: int) -> Refusal | None:
        """
        What the lists of hosts say about an address as such; C{None} where they say nothing.
        """
        if not (self._allowedHosts or self._blockedHosts):
            return None
        target = IPTarget(ipv4Text(address))
        if self._blockedHosts.matches(target):
            return HOST
        return "" if self._allowedHosts.matches(target) else None


def _portsInWords(ports: frozenset[int] | None, profile: Profile) -> str:
    """
    Which ports may be reached.
    """
    only = profile.only if ports is None else ports
    if only is None:
        refused = ", ".join(map(str, sorted(profile.refused)))
        return f"every port but {refused}" if refused else "every port"
    return "ports " + ", ".join(map(str, sorted(only))) if only else "no port"


class GuestEgress:
    """
    The policy for one guest.

    @ivar rules: What the operator says.
    """

    def __init__(self, rules: GuestRules) -> None:
        self.rules = rules
        #: Until when an address counts as one of an allowed name, and of a blocked one; in
        #: the order they were last told.
        self._allowed: OrderedDict[int, float] = OrderedDict()
        self._blocked: OrderedDict[int, float] = OrderedDict()
        self._begun: Bucket | None = None

    def learn(self, address: int, ttl: float, now: float, allowed: bool) -> None:
        """
        A name leads to an address.

        @param ttl: Seconds that the answer may be kept.
        @param allowed: Whether the guest may have the name.
        """
        if not self.rules.bindsNames:
            return
        known = self._allowed if allowed else self._blocked
        known[address] = max(known.get(address, 0.0), now + max(ttl, self.rules.nameMemory))
        known.move_to_end(address)
        if len(known) > self.rules.maxRemembered:
            known.popitem(last=False)

    @property
    def remembered(self) -> int:
        """
        How many addresses are remembered.
        """
        return len(self._allowed) + len(self._blocked)

    def tcpRefusal(self, address: int, port: int, now: float, forwarded: bool = False) -> Refusal:
        """
        Why the guest may not connect somewhere.

        @param forwarded: Whether the operator leads this address and port elsewhere.
        """
        return self.rules.tcpPortRefusal(port, forwarded) or self._refusal(
            address, now, forwarded, port
        )

    def udpRefusal(self, address: int, port: int, now: float, forwarded: bool = False) -> Refusal:
        """
        Why the guest may not send a datagram somewhere.
        """
        return self.rules.udpPortRefusal(port, forwarded) or self._refusal(address, now, forwarded)

    def flowRefusal(self, now: float) -> Refusal:
        """
        Why the guest may not begin another connection or flow just now, which is counted if it
        may: a guest that looks for open ports all over the internet is stopped here (l2.md W41).
        """
        rate = self.rules.newPerSecond
        if rate <= 0:
            return ""
        if self._begun is None:
            self._begun = Bucket(rate, now, _BURST_SECONDS)
        return "" if self._begun.take(1, now) else RATE

    def pingRefusal(self, address: int, now: float) -> Refusal:
        """
        Why the guest may not ping somebody.
        """
        return self._refusal(address, now, False)

    def _refusal(self, address: int, now: float, forwarded: bool, port: int = 0) -> Refusal:
        rules = self.rules
        refusal = rules.addressRefusal(address, forwarded, port)
        if refusal or forwarded or not rules.bindsNames:
            return refusal
        literal = rules.literalRefusal(address)
        if literal is not None:
            return literal
        if _holds(self._allowed, address, now):
            return ""
        if rules.needsName:
            return UNRESOLVED
        return DOMAIN if _holds(self._blocked, address, now) else ""


def _holds(known: OrderedDict[int, float], address: int, now: float) -> bool:
    """
    Whether an address is remembered; one whose time is over is forgotten.
    """
    until = known.get(address)
    if until is None:
        return False
    if until <= now:
        del known[address]
        return False
    return True
