"""
Tests for L{aero.policy.egress}.
"""

from __future__ import annotations

import ipaddress
from typing import Sequence

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.policy.addresses import isPublic
from aero.policy.egress import EgressPolicy
from aero.policy.hosts import HostPattern, IPTarget, NameTarget
from aero.testing.properties import given, strategies

_NOT_PUBLIC = "Target IP is not allowed by IP egress policy"


def makePolicy(
    *,
    profile: str = "open",
    allowPrivate: bool = False,
    allowed: Sequence[str] = (),
    blocked: Sequence[str] = (),
    requireName: bool = False,
    ports: Sequence[int] = (),
) -> EgressPolicy:
    """
    Make a policy of which only what matters has to be said.
    """
    return EgressPolicy(
        profile=profile,
        allowPrivate=allowPrivate,
        allowedHosts=[HostPattern.parse(text) for text in allowed],
        blockedHosts=[HostPattern.parse(text) for text in blocked],
        requireName=requireName,
        allowedPorts=ports,
    )


class CheckTests(SynchronousTestCase):
    """
    L{EgressPolicy.check}: rows 1 to 10 of gateway.md section 11.4.
    """

    def assertRefused(
        self, policy: EgressPolicy, host: str, port: int, status: int, message: str, reason: str
    ) -> None:
        """
        Check that a target is refused, and how.
        """
        refused = self.assertRaises(Refused, policy.check, host, port)
        code = {400: "bad_request", 403: "forbidden"}[status]
        self.assertEqual(
            (refused.status, refused.code, refused.message, refused.reason),
            (status, code, message, reason),
        )

    def test_allowed(self) -> None:
        """
        A target comes back in its one spelling.
        """
        policy = makePolicy()
        self.assertEqual(policy.check("Example.COM.", 80), NameTarget("example.com"))
        self.assertEqual(policy.check("[8.8.8.8]", 1), IPTarget("8.8.8.8"))
        self.assertEqual(
            policy.check("2001:4860:4860::8888", 65_535),
            IPTarget("2001:4860:4860:0000:0000:0000:0000:8888"),
        )

    def test_port(self) -> None:
        """
        Ports that do not exist are mistakes, whatever else is wrong.
        """
        for port in (0, -1, 65_536, 10**30):
            self.assertRefused(makePolicy(), "", port, 400, "Invalid target port", "port")

    def test_allowedPorts(self) -> None:
        """
        With a list of ports every other port is closed, before the host is looked at.
        """
        policy = makePolicy(ports=[80, 443])
        policy.check("a.example", 443)
        self.assertRefused(policy, "!", 22, 403, "Target port not allowed", "port")

    def test_profile(self) -> None:
        """
        Without a list of ports the profile decides; a list replaces it.
        """
        message = "Target port not allowed"
        self.assertRefused(makePolicy(profile="web"), "a", 22, 403, message, "port")
        self.assertRefused(makePolicy(profile="standard"), "a", 25, 403, message, "port")
        makePolicy(profile="standard").check("a", 22)
        makePolicy(profile="web", ports=[25]).check("a", 25)

    def test_unknownProfile(self) -> None:
        """
        A profile that does not exist is an error at the start.
        """
        error = self.assertRaises(ValueError, makePolicy, profile="strict")
        self.assertEqual(str(error), "expected one of web, standard, open")

    def test_invalidHost(self) -> None:
        """
        A host that is none is a mistake, in words that depend on whether there is a list.
        """
        for host in ("", "a_b", "a b", "1.2.3.4.5", "fe80::1%eth0"):
            self.assertRefused(makePolicy(), host, 80, 400, "Invalid host", "host-invalid")
            self.assertRefused(
                makePolicy(allowed=["a"]), host, 80, 400, "Invalid target host", "host-invalid"
            )

    def test_allowedHosts(self) -> None:
        """
        With a list of hosts every other host is closed, names and addresses.
        """
        policy = makePolicy(allowed=["a.example", "*.b.example", "8.8.8.8", "2606:4700::1"])
        for host in ("A.example", "x.b.example", "0x08080808", "2606:4700:0::1"):
            policy.check(host, 80)
        for host in ("b.example", "x.a.example", "8.8.4.4", "2606:4700::2"):
            self.assertRefused(policy, host, 80, 403, "Target host not allowed", "host")

    def test_requireName(self) -> None:
        """
        Where names are required every spelling of an address is refused, also a listed one.
        """
        message = "IP-literal targets are not allowed"
        for allowed in ([], ["8.8.8.8", "::ffff:8.8.8.8"]):
            policy = makePolicy(requireName=True, allowed=allowed)
            for host in ("8.8.8.8", "[8.8.8.8]", "134744072", "010.010.8.8", "[::ffff:8.8.8.8]"):
                self.assertRefused(policy, host, 80, 403, message, "host")
        makePolicy(requireName=True).check("a.example", 80)

    def test_requireNameBeforeBlocked(self) -> None:
        """
        An address that is also blocked is refused for being an address.
        """
        policy = makePolicy(requireName=True, blocked=["8.8.8.8"])
        self.assertRefused(policy, "8.8.8.8", 80, 403, "IP-literal targets are not allowed", "host")

    def test_blockedHosts(self) -> None:
        """
        A blocked host is closed although it is also listed.
        """
        policy = makePolicy(allowed=["*.example", "8.8.8.8"], blocked=["bad.example", "8.8.8.8"])
        policy.check("good.example", 80)
        for host in ("bad.example", "BAD.example.", "8.8.8.8", "134744072"):
            self.assertRefused(policy, host, 80, 403, "Target is blocked", "host")

    def test_blockedBeforePrivate(self) -> None:
        """
        A blocked address is refused for being blocked.
        """
        policy = makePolicy(blocked=["127.0.0.1"])
        self.assertRefused(policy, "127.1", 80, 403, "Target is blocked", "host")

    def test_notPublic(self) -> None:
        """
        Addresses that are not public are closed in every spelling, also where they are listed.
        """
        for allowed in ([], ["127.0.0.1", "0.0.0.0", "169.254.169.254", "10.0.0.1"]):
            policy = makePolicy(allowed=allowed)
            for host in ("127.0.0.1", "127.1", "2130706433", "0177.1", "0", "10.1", "0xa9fea9fe"):
                self.assertRefused(policy, host, 80, 403, _NOT_PUBLIC, "ip")
        for host in (
            "::1",
            "[::]",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fec0::1",
        ):
            self.assertRefused(makePolicy(), host, 80, 403, _NOT_PUBLIC, "ip")

    def test_allowPrivate(self) -> None:
        """
        An operator who allows private addresses gets all of them.
        """
        policy = makePolicy(allowPrivate=True)
        self.assertEqual(policy.check("127.1", 80), IPTarget("127.0.0.1"))
        policy.check("::1", 80)

    @given(strategies.integers(-5, 70_000))
    def test_anyPort(self, port: int) -> None:
        """
        Every port is allowed, closed or impossible.
        """
        policy = makePolicy(ports=[80, 443])
        if port in (80, 443):
            policy.check("a", port)
        else:
            status = 403 if 1 <= port <= 65_535 else 400
            self.assertEqual(self.assertRaises(Refused, policy.check, "a", port).status, status)

    @given(
        strategies.one_of(
            strategies.text(max_size=40),
            strategies.text(alphabet="0123456789abcdefx.:[]", max_size=40),
            strategies.ip_addresses().map(str),
        )
    )
    def test_anyHost(self, host: str) -> None:
        """
        Any text is refused, is a name, or is a public address.
        """
        try:
            target = makePolicy(profile="standard").check(host, 80)
        except Refused as refused:
            self.assertIn(refused.reason, ("host-invalid", "ip"))
            return
        if isinstance(target, IPTarget):
            self.assertTrue(isPublic(target.address))


class ApprovedTests(SynchronousTestCase):
    """
    L{EgressPolicy.approved}: row 12 of gateway.md section 11.4.
    """

    def test_public(self) -> None:
        """
        The public addresses of an answer are kept in their order.
        """
        addresses = ["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1", "nonsense", "1.1.1.1"]
        self.assertEqual(makePolicy().approved(addresses), ["8.8.8.8", "2606:4700::1", "1.1.1.1"])

    def test_none(self) -> None:
        """
        A name without any address that may be reached is refused like such an address.
        """
        for policy, addresses in (
            (makePolicy(), []),
            (makePolicy(), ["127.0.0.1", "::1", "fe80::1%eth0"]),
            (makePolicy(allowPrivate=True), []),
        ):
            refused = self.assertRaises(Refused, policy.approved, addresses)
            self.assertEqual((refused.status, refused.message), (403, _NOT_PUBLIC))
            self.assertEqual(refused.reason, "ip")

    def test_allowPrivate(self) -> None:
        """
        An operator who allows private addresses gets the answer as it is.
        """
        addresses = ["127.0.0.1", "8.8.8.8", "::1"]
        self.assertEqual(makePolicy(allowPrivate=True).approved(addresses), addresses)

    @given(strategies.lists(strategies.ip_addresses().map(str), max_size=5))
    def test_anyAnswer(self, addresses: list[str]) -> None:
        """
        Nothing that is not public gets through, and nothing public is lost.
        """
        expected = [address for address in addresses if isPublic(address)]
        if expected:
            self.assertEqual(makePolicy().approved(addresses), expected)
        else:
            self.assertRaises(Refused, makePolicy().approved, addresses)

    @given(
        strategies.ip_addresses(network="10.0.0.0/8"), strategies.ip_addresses(network="fc00::/7")
    )
    def test_rebinding(self, four: ipaddress.IPv4Address, six: ipaddress.IPv6Address) -> None:
        """
        A name of somebody's own that points into this network leads nowhere.
        """
        policy = makePolicy()
        self.assertEqual(policy.check("rebind.example", 80), NameTarget("rebind.example"))
        self.assertRaises(Refused, policy.approved, [str(four), str(six)])
