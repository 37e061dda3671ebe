"""
Settings of the addresses of this machine, as destinations of its clients.
"""

from __future__ import annotations

from ._parsers import IPNetwork, flag, listOf, network
from ._table import group, setting


@group
class OwnAddressSettings:
    """
    This machine as a destination

    Clients and guests may not reach the addresses of this machine, the public ones included. Those of its interfaces
    are known without a setting, and so are WEBRTC_NAT_1TO1_IPS.
    """

    networks: tuple[IPNetwork, ...] = setting(
        variable="AERO_OWN_NETWORKS",
        option="own-networks",
        default=(),
        parse=listOf(network, "a network"),
        help="Addresses and networks that lead to this machine although no interface has them, separated by commas: the"
        " public address of a one-to-one NAT or of a load balancer.",
    )
    reachable: tuple[IPNetwork, ...] = setting(
        variable="AERO_REACHABLE_OWN_NETWORKS",
        option="reachable-own-networks",
        default=(),
        parse=listOf(network, "a network"),
        help="Networks in which clients and guests may reach this machine's own addresses, where the other rules let"
        " them; 0.0.0.0/0,::/0 is all. Services that listen there are open to every client.",
    )
    siteForGuests: bool = setting(
        variable="AERO_L2_ALLOW_SITE",
        option="l2-allow-site",
        default=False,
        parse=flag,
        help="1 lets guests reach the HTTPS port of this site at this machine's public addresses.",
    )
