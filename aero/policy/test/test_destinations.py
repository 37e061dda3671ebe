"""
Tests for L{aero.policy.destinations}.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.destinations import DestinationPolicy


def networks(*texts: str) -> list[Any]:
    """
    Networks from their text.
    """
    return [ipaddress.ip_network(text) for text in texts]


def refusal(policy: DestinationPolicy, address: str, port: int = 53) -> str:
    """
    Ask about an address in text.
    """
    return policy.refusal(ipaddress.ip_address(address).packed, port)


class PresetTests(SynchronousTestCase):
    """
    What holds when only a preset is chosen.
    """

    def test_prodRefusesAll(self) -> None:
        """
        Without permissions nothing may be reached.
        """
        self.assertEqual(refusal(DestinationPolicy(), "8.8.8.8"), "default")
        self.assertEqual(refusal(DestinationPolicy(), "2606:4700::1111"), "default")

    def test_devAllowsAll(self) -> None:
        """
        For development everything may be, loopback included.
        """
        policy = DestinationPolicy(preset="dev", allowPrivate=True)
        for address in ("8.8.8.8", "127.0.0.1", "::1", "10.0.0.1", "fd00::1"):
            self.assertEqual(refusal(policy, address), "", address)

    def test_portZero(self) -> None:
        """
        Port 0 is nowhere.
        """
        self.assertEqual(refusal(DestinationPolicy(preset="dev"), "8.8.8.8", 0), "port")


class NetworkTests(SynchronousTestCase):
    """
    Networks that are permitted and refused.
    """

    def test_allowRestrictsDev(self) -> None:
        """
        Permitted networks are the only ones, whatever the preset.
        """
        for preset in ("dev", "prod"):
            policy = DestinationPolicy(preset=preset, allowNetworks=networks("8.8.8.0/24"))
            self.assertEqual(refusal(policy, "8.8.8.8"), "")
            self.assertEqual(refusal(policy, "8.8.4.4"), "network")

    def test_denyBeatsAllow(self) -> None:
        """
        An address in both lists is refused.
        """
        policy = DestinationPolicy(
            allowNetworks=networks("8.8.8.0/24"), denyNetworks=networks("8.8.8.8/32")
        )
        self.assertEqual(refusal(policy, "8.8.8.8"), "network")
        self.assertEqual(refusal(policy, "8.8.8.9"), "")

    def test_specialNetworksNeedTheirSwitch(self) -> None:
        """
        A permitted private network is refused until private networks are allowed.
        """
        allowed = networks("10.0.0.0/8", "fd00::/8")
        self.assertEqual(refusal(DestinationPolicy(allowNetworks=allowed), "10.1.2.3"), "private")
        self.assertEqual(refusal(DestinationPolicy(allowNetworks=allowed), "fd00::1"), "private")
        switched = DestinationPolicy(allowNetworks=allowed, allowPrivate=True)
        self.assertEqual(refusal(switched, "10.1.2.3"), "")
        self.assertEqual(refusal(switched, "fd00::1"), "")

    def test_hiddenPrivateAddresses(self) -> None:
        """
        Translations and tunnels that carry private addresses are special too.
        """
        policy = DestinationPolicy(preset="dev")
        for address in ("64:ff9b::a00:1", "2002:a00:1::", "2001::1", "fec0::1", "192.0.2.1"):
            self.assertEqual(refusal(policy, address), "private", address)

    def test_familiesApart(self) -> None:
        """
        A network of one family says nothing about the other.
        """
        policy = DestinationPolicy(allowNetworks=networks("0.0.0.0/0"))
        self.assertEqual(refusal(policy, "2606:4700::1111"), "network")
        policy = DestinationPolicy(preset="dev", denyNetworks=networks("::/0"))
        self.assertEqual(refusal(policy, "8.8.8.8"), "")


class PortTests(SynchronousTestCase):
    """
    Ports that are permitted and refused.
    """

    def test_ranges(self) -> None:
        """
        Ranges are inclusive and may overlap.
        """
        policy = DestinationPolicy(preset="dev", allowPorts=[(53, 53), (1000, 2000), (1500, 3000)])
        for port, expected in ((53, ""), (1000, ""), (3000, ""), (54, "port"), (3001, "port")):
            self.assertEqual(refusal(policy, "8.8.8.8", port), expected, str(port))

    def test_denyBeatsAllow(self) -> None:
        """
        A port in both lists is refused.
        """
        policy = DestinationPolicy(preset="dev", allowPorts=[(1, 65_535)], denyPorts=[(25, 25)])
        self.assertEqual(refusal(policy, "8.8.8.8", 25), "port")
        self.assertEqual(refusal(policy, "8.8.8.8", 26), "")

    def test_portsOpenNothing(self) -> None:
        """
        A permitted port does not open a policy that refuses by default.
        """
        self.assertEqual(
            refusal(DestinationPolicy(allowPorts=[(53, 53)]), "8.8.8.8", 53), "default"
        )


class MemoryTests(SynchronousTestCase):
    """
    What is remembered about addresses.
    """

    def test_bounded(self) -> None:
        """
        A scan of many addresses does not grow the memory, and decisions stay right.
        """
        policy = DestinationPolicy(preset="dev", denyNetworks=networks("9.0.0.0/16"))
        for number in range(10_000):
            remote = (0x09000000 + number * 16).to_bytes(4, "big")
            expected = "network" if number * 16 < 65_536 else ""
            self.assertEqual(policy.refusal(remote, 53), expected)
        self.assertLessEqual(len(policy._decisions), 4_096)
