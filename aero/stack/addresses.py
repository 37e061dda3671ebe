# -*- test-case-name: aero.stack.test.test_addresses -*-
"""
Which addresses belong to whom in one LAN.
"""

from __future__ import annotations

from .config import StackConfig


class Addresses:
    """
    The LAN's own addresses and its network. IPv4 addresses are unsigned 32-bit numbers.

    @ivar gateway: The gateway, which is always owned.
    @ivar hardwareAddress: The MAC address behind every owned address.
    @ivar owned: The addresses that the LAN answers for. It may change at any time.
    @ivar network: The first address of the network.
    @ivar mask: Ones where addresses of the network are equal.
    @ivar broadcast: The last address of the network, to which every station listens.
    """

    def __init__(self, config: StackConfig) -> None:
        self.gateway = config.gateway
        self.hardwareAddress = config.hardwareAddress
        self.owned = {config.gateway, *config.owned}
        self.mask = 0xFFFFFFFF << (32 - config.prefixLength) & 0xFFFFFFFF
        self.network = config.gateway & self.mask
        self.broadcast = self.network | ~self.mask & 0xFFFFFFFF

    def onLink(self, address: int) -> bool:
        """
        Whether an address is in the network.
        """
        return address & self.mask == self.network

    def isBroadcast(self, address: int) -> bool:
        """
        Whether an address means every station (RFC 1122 section 3.2.1.3).
        """
        return address == 0xFFFFFFFF or address == self.broadcast

    def isGuest(self, address: int) -> bool:
        """
        Whether an address is one that a guest may have: in the network, and neither ours nor
        the network's own two.
        """
        return (
            address & self.mask == self.network
            and address not in self.owned
            and address != self.network
            and address != self.broadcast
        )
