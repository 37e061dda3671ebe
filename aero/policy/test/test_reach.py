"""
Tests for L{aero.policy.reach}.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.policy.destinations import DestinationPolicy
from aero.policy.egress import EgressPolicy
from aero.policy.guestegress import GuestEgress, GuestRules
from aero.policy.numeric import parseIPv4
from aero.policy.profiles import PROFILES
from aero.policy.reach import AddressPolicy, OwnAddresses
from aero.wire.ipv4 import addressNumber

FOUR = "93.184.216.34"
SIX = "2606:2800:220:1::1"
#: Spellings of IPv6 that lead to the IPv4 address without a tunnel.
CARRIED = (f"::ffff:{FOUR}", f"::{FOUR}", f"64:ff9b::{FOUR}")
NEIGHBOURS = ("93.184.216.33", "93.184.216.35", "2606:2800:220:1::2", "8.8.8.8")


def networks(*texts: str) -> tuple[Any, ...]:
    """
    Networks from text.
    """
    return tuple(map(ipaddress.ip_network, texts))


def ownAddresses(**options: Any) -> OwnAddresses:
    """
    A machine with an address of either family.
    """
    own = OwnAddresses(**options)
    own.learn(["127.0.0.1", "::1", "fe80::1%eth0", "10.0.0.5", FOUR, SIX])
    return own


class OwnAddressesTests(SynchronousTestCase):
    """
    L{OwnAddresses}.
    """

    def test_learnt(self) -> None:
        """
        Every address of the interfaces is refused, however it is written, and no other one.
        """
        own = ownAddresses()
        for address in (FOUR, SIX, "2606:2800:0220:0001:0:0:0:1", "10.0.0.5", *CARRIED):
            self.assertTrue(own.refuses(address), address)
        for address in (*NEIGHBOURS, "example.com", ""):
            self.assertFalse(own.refuses(address), address)

    def test_changes(self) -> None:
        """
        The addresses are those of the last time; only a change makes a new version.
        """
        own = ownAddresses()
        version = own.version
        self.assertFalse(own.learn([SIX, FOUR, "10.0.0.5", "::1", "127.0.0.1", "fe80::1"]))
        self.assertEqual(own.version, version)
        self.assertTrue(own.learn(["8.8.8.8", "nonsense"]))
        self.assertNotEqual(own.version, version)
        self.assertEqual(len(own), 1)
        self.assertTrue(own.refuses("8.8.8.8"))
        self.assertFalse(own.refuses(FOUR))

    def test_configured(self) -> None:
        """
        Networks of the settings count as this machine.
        """
        own = OwnAddresses(configured=networks("93.184.216.32/30", f"{SIX}/128"))
        for address in (FOUR, SIX, "93.184.216.33", *CARRIED):
            self.assertTrue(own.refuses(address), address)
        self.assertFalse(own.refuses("93.184.216.36"))

    def test_reachable(self) -> None:
        """
        The networks that the operator opens are not refused, learnt or configured.
        """
        own = ownAddresses(
            configured=networks("8.8.8.8/32"), reachable=networks("93.184.216.0/24", "8.8.8.8/32")
        )
        for address in (FOUR, "8.8.8.8", *CARRIED):
            self.assertFalse(own.refuses(address), address)
        self.assertTrue(own.refuses(SIX))


class AddressPolicyTests(SynchronousTestCase):
    """
    L{AddressPolicy}, and the policies that ask it.
    """

    def test_kinds(self) -> None:
        """
        What is not public is refused, and so is this machine; everything is allowed on demand.
        """
        policy = AddressPolicy(own=ownAddresses())
        for address in (FOUR, SIX, *CARRIED, "10.0.0.5", "10.0.0.6", "127.0.0.1", "168.63.129.16"):
            self.assertFalse(policy.allows(address), address)
            self.assertTrue(AddressPolicy(allowPrivate=True, own=ownAddresses()).allows(address))
        for address in NEIGHBOURS:
            self.assertTrue(policy.allows(address), address)

    def test_reachableIsPublicAllTheSame(self) -> None:
        """
        Opening all of this machine's addresses opens none that is not public.
        """
        policy = AddressPolicy(own=ownAddresses(reachable=networks("0.0.0.0/0", "::/0")))
        self.assertTrue(policy.allows(FOUR))
        self.assertFalse(policy.allows("10.0.0.5"))
        self.assertFalse(policy.allows("127.0.0.1"))

    def test_sitePorts(self) -> None:
        """
        A port of the site may be reached at public addresses of this machine.
        """
        policy = AddressPolicy(own=ownAddresses(), sitePorts=[443])
        self.assertTrue(policy.allows(FOUR, 443))
        self.assertTrue(policy.allows(FOUR, None))
        for port in (0, 80, 5432):
            self.assertFalse(policy.allows(FOUR, port))
        self.assertFalse(policy.allows("127.0.0.1", 443))
        self.assertFalse(AddressPolicy(own=ownAddresses()).allows(FOUR, None))

    def test_targets(self) -> None:
        """
        TCP targets: as an address, and as a name whose addresses are asked about.
        """
        own = ownAddresses()
        policy = EgressPolicy(
            profile="open",
            allowPrivate=False,
            allowedHosts=(),
            blockedHosts=(),
            requireName=False,
            allowedPorts=(),
            own=own,
        )
        for host in (FOUR, "1572395042", f"[{SIX}]", *CARRIED):
            refused = self.assertRaises(Refused, policy.check, host, 5432)
            self.assertEqual((refused.status, refused.reason), (403, "ip"))
        self.assertEqual(policy.approved([FOUR, "8.8.8.8", SIX]), ["8.8.8.8"])
        self.assertRaises(Refused, policy.approved, [FOUR, SIX])
        own.learn([])
        self.assertEqual(policy.approved([FOUR]), [FOUR])

    def test_datagrams(self) -> None:
        """
        Datagrams: a decision that was remembered ends with the next change of the addresses.
        """
        own = OwnAddresses()
        policy = DestinationPolicy(allowNetworks=networks("0.0.0.0/0", "::/0"), own=own)
        for address in (FOUR, SIX):
            packed = ipaddress.ip_address(address).packed
            self.assertEqual(policy.refusal(packed, 53), "")
            own.learn([address])
            self.assertEqual(policy.refusal(packed, 53), "private")
            own.learn([])
            self.assertEqual(policy.refusal(packed, 53), "")

    def test_guests(self) -> None:
        """
        Guests: TCP, UDP, ping, and the addresses of names. A forward is the operator's word.
        """
        address = parseIPv4(FOUR)
        assert address is not None
        rules = GuestRules(profile=PROFILES["open"], own=ownAddresses())
        guest = GuestEgress(rules)
        self.assertEqual(guest.tcpRefusal(address, 5432, 0), "private")
        self.assertEqual(guest.udpRefusal(address, 53, 0), "private")
        self.assertEqual(guest.pingRefusal(address, 0), "private")
        self.assertEqual(rules.addressRefusal(address), "private")
        self.assertEqual(guest.tcpRefusal(address, 5432, 0, forwarded=True), "")
        self.assertEqual(rules.addressRefusal(address, True), "")
        self.assertEqual(guest.tcpRefusal(addressNumber("8.8.8.8"), 5432, 0), "")

    def test_guestsAndSite(self) -> None:
        """
        With the site's port guests may look its name up and connect, and do nothing else.
        """
        address = addressNumber(FOUR)
        rules = GuestRules(profile=PROFILES["open"], own=ownAddresses(), sitePorts=[443])
        guest = GuestEgress(rules)
        self.assertEqual(rules.addressRefusal(address), "")
        self.assertEqual(guest.tcpRefusal(address, 443, 0), "")
        self.assertEqual(guest.tcpRefusal(address, 5432, 0), "private")
        self.assertEqual(guest.udpRefusal(address, 443, 0), "private")
        self.assertEqual(guest.pingRefusal(address, 0), "private")
