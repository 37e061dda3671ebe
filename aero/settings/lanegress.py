"""
Settings of where guests of C{/l2} may go (l2.md section 17).
"""

from __future__ import annotations

from ._lanparsers import domainSuffixes, portAllowlist
from ._parsers import integer, switch
from ._table import group, setting


@group
class LANEgressSettings:
    """
    Where guests may go

    What a guest of C{/l2} may reach, over TCP, UDP, ping and in the DNS. What is not said here follows the egress
    settings that it shares with C{/tcp}.
    """

    allowPrivateAddresses: bool = setting(
        variable="AERO_L2_ALLOW_PRIVATE_IPS",
        option="l2-allow-private-ips",
        default=False,
        parse=switch,
        help="1 lets guests reach addresses that are not public, all of them: private networks, this machine"
        " (127.0.0.0/8), and what hands out credentials in clouds (169.254.169.254).",
    )
    tcpPorts: frozenset[int] | None = setting(
        variable="AERO_L2_ALLOWED_TCP_PORTS",
        option="l2-allowed-tcp-ports",
        default=None,
        parse=portAllowlist("tcp"),
        blank=True,
        shown="TCP_ALLOWED_PORTS, or those of the egress profile",
        help="The only TCP ports that guests may reach, forwarded ones included; set but empty is none.",
    )
    udpPorts: frozenset[int] | None = setting(
        variable="AERO_L2_ALLOWED_UDP_PORTS",
        option="l2-allowed-udp-ports",
        default=None,
        parse=portAllowlist("udp"),
        blank=True,
        shown="those of the egress profile",
        help="The same for UDP.",
    )
    allowedDomains: tuple[str, ...] = setting(
        variable="AERO_L2_ALLOWED_DOMAINS",
        option="l2-allowed-domains",
        default=(),
        parse=domainSuffixes,
        shown="all",
        help="The only domains, each with everything below it, that guests may look up and reach.",
    )
    blockedDomains: tuple[str, ...] = setting(
        variable="AERO_L2_BLOCKED_DOMAINS",
        option="l2-blocked-domains",
        default=(),
        parse=domainSuffixes,
        help="Domains that guests may neither look up nor reach; wins over the allowed ones.",
    )
    nameMemory: int = setting(
        variable="AERO_L2_NAME_MEMORY_SECONDS",
        option="l2-name-memory",
        default=3_600,
        parse=integer(1, 604_800),
        help="Seconds that an address counts as that of a name after the guest was last told, if its TTL is not longer.",
    )
    maxRememberedAddresses: int = setting(
        variable="AERO_L2_MAX_REMEMBERED_ADDRESSES",
        option="l2-max-remembered-addresses",
        default=4_096,
        parse=integer(1, 1_000_000),
        help="Addresses of names remembered for each guest, for the domain rules; the oldest makes room.",
    )
    newPerSecond: int = setting(
        variable="AERO_L2_NEW_FLOWS_PER_SECOND",
        option="l2-new-flows-per-second",
        default=200,
        parse=integer(0, 1_000_000),
        help="TCP connections and UDP flows that one guest may begin in a second, on average over ten seconds; more are"
        " refused, which keeps a guest from scanning the internet. 0 is any number.",
    )
    flowLogRate: int = setting(
        variable="AERO_L2_FLOW_LOG_PER_SECOND",
        option="l2-flow-log-per-second",
        default=50,
        parse=integer(0, 100_000),
        help="Log lines a second, over all guests, about flows that ended and what was refused; 0 writes none.",
    )
