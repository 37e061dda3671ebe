"""
Tests for L{aero.policy.clientaddress}.
"""

from __future__ import annotations

import ipaddress
from typing import Sequence

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.clientaddress import Client, ClientAddresses
from aero.testing.properties import given, strategies

_PROXY = "10.0.0.1"


def makeAddresses(
    *networks: str, trust: bool = True, terminatesTLS: bool = False
) -> ClientAddresses:
    """
    Make the rules with trusted proxies in the given networks.
    """
    return ClientAddresses(
        trust=trust,
        networks=[ipaddress.ip_network(network) for network in networks],
        terminatesTLS=terminatesTLS,
    )


class UntrustedTests(SynchronousTestCase):
    """
    Forwarding headers that are not believed.
    """

    def assertIgnored(self, addresses: ClientAddresses, peer: str) -> None:
        """
        Check that headers change nothing.
        """
        self.assertFalse(addresses.believes(peer))
        for secure in (False, True):
            self.assertEqual(
                addresses.client(peer, secure, [b"1.2.3.4"], [b"https"]), Client(peer, secure)
            )

    def test_off(self) -> None:
        """
        Without trust the client is whoever connected.
        """
        self.assertIgnored(makeAddresses(trust=False), _PROXY)
        self.assertIgnored(makeAddresses("10.0.0.0/8", trust=False), _PROXY)

    def test_atTheEdge(self) -> None:
        """
        A process that terminates TLS believes nobody unless it is told whom.
        """
        self.assertIgnored(makeAddresses(terminatesTLS=True), _PROXY)
        client = makeAddresses("10.0.0.0/8", terminatesTLS=True).client(
            _PROXY, True, [b"1.2.3.4"], []
        )
        self.assertEqual(client, Client("1.2.3.4", True))

    def test_stranger(self) -> None:
        """
        Headers of a peer that is no trusted proxy say nothing.
        """
        self.assertIgnored(makeAddresses("10.0.0.0/8", "fd00::/8"), "192.0.2.1")
        self.assertIgnored(makeAddresses("10.0.0.0/8"), "2001:db8::1")
        self.assertIgnored(makeAddresses("10.0.0.0/8"), "unix")


class TrustedTests(SynchronousTestCase):
    """
    Forwarding headers of trusted proxies.
    """

    def assertClient(
        self, addresses: ClientAddresses, lines: Sequence[bytes], expected: str
    ) -> None:
        """
        Check whom a request through the proxy is from.
        """
        self.assertTrue(addresses.believes(_PROXY))
        client = addresses.client(_PROXY, False, lines, [])
        self.assertEqual(client, Client(expected, False), lines)

    def test_behindAnIngress(self) -> None:
        """
        Without a list whoever connects is the one proxy, and what it appended is true. What
        the client wrote before that is not.
        """
        addresses = makeAddresses()
        for lines, expected in (
            ([b"192.0.2.1"], "192.0.2.1"),
            ([b"6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            ([b"6.6.6.6", b"192.0.2.1"], "192.0.2.1"),
            ([], _PROXY),
            ([b""], _PROXY),
            ([b"nonsense"], _PROXY),
        ):
            self.assertClient(addresses, lines, expected)

    def test_chain(self) -> None:
        """
        The client is the first from the right that is no trusted proxy.
        """
        addresses = makeAddresses("10.0.0.0/8", "2001:db8:1::/48")
        for lines, expected in (
            ([b"192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            ([b"6.6.6.6, 192.0.2.1, 10.0.0.3,10.0.0.2"], "192.0.2.1"),
            ([b"6.6.6.6,192.0.2.1", b"2001:db8:1::5"], "192.0.2.1"),
            ([b"2001:db8:2::1"], "2001:db8:2::1"),
            ([b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ([b"192.0.2.1, nonsense, 10.0.0.2"], "10.0.0.2"),
            ([b"192.0.2.1,,10.0.0.2"], "10.0.0.2"),
            ([b"192.0.2.1, " + b"1" * 10_000], _PROXY),
            ([b"192.0.2.1, 10.0.0.2\xe9"], _PROXY),
        ):
            self.assertClient(addresses, lines, expected)

    def test_spelling(self) -> None:
        """
        Ports and brackets are left out, IPv4-mapped addresses are IPv4, IPv6 is compressed.
        """
        addresses = makeAddresses("10.0.0.0/8")
        for entry, expected in (
            (b"192.0.2.1:4711", "192.0.2.1"),
            (b"\t192.0.2.1 ", "192.0.2.1"),
            (b"[2001:DB8::1]:4711", "2001:db8::1"),
            (b"[2001:DB8::1]", "2001:db8::1"),
            (b"2001:DB8:0:0::1", "2001:db8::1"),
            (b"::ffff:192.0.2.1", "192.0.2.1"),
            (b"192.0.2.1, ::ffff:10.0.0.9", "192.0.2.1"),
            (b"[192.0.2.1", _PROXY),
            (b"192.0.2.1:", _PROXY),
            (b"192.0.2.1:123456", _PROXY),
            (b"0300.0.2.1", _PROXY),
            (b"unknown", _PROXY),
            (b'"192.0.2.1"', _PROXY),
        ):
            self.assertClient(addresses, [entry], expected)

    def test_mappedPeer(self) -> None:
        """
        A proxy that a dual-stack socket shows as IPv6 is still that proxy.
        """
        client = makeAddresses("10.0.0.0/8").client("::ffff:10.0.0.1", False, [b"192.0.2.1"], [])
        self.assertEqual(client.ip, "192.0.2.1")
        client = makeAddresses(trust=False).client("::ffff:192.0.2.7", False, [], [])
        self.assertEqual(client.ip, "192.0.2.7")

    def test_secure(self) -> None:
        """
        The first value of C{X-Forwarded-Proto} says whether the browser used TLS.
        """
        addresses = makeAddresses("10.0.0.0/8")
        for lines, expected in (
            ([b"https"], True),
            ([b" HTTPS\t, http"], True),
            ([b"https", b"http"], True),
            ([b"http", b"https"], False),
            ([b"http, https"], False),
            ([b"http"], False),
            ([b"ftp"], False),
            ([b"httpss"], False),
            ([b""], False),
            ([b",https"], False),
            ([], False),
        ):
            self.assertIs(addresses.client(_PROXY, False, [], lines).secure, expected, lines)
        self.assertTrue(addresses.client(_PROXY, True, [], [b"http"]).secure)

    @given(
        strategies.lists(
            strategies.one_of(
                strategies.binary(max_size=70),
                strategies.ip_addresses().map(lambda address: str(address).encode("ascii")),
            ),
            max_size=4,
        )
    )
    def test_forged(self, written: list[bytes]) -> None:
        """
        Nothing that a client writes itself changes who it is.
        """
        client = makeAddresses("10.0.0.0/8").client(
            _PROXY, False, [b", ".join([*written, b"192.0.2.1"])], []
        )
        self.assertEqual(client.ip, "192.0.2.1")

    @given(strategies.text(max_size=70), strategies.lists(strategies.binary(max_size=70)))
    def test_anything(self, peer: str, lines: list[bytes]) -> None:
        """
        Any peer and any header give a client.
        """
        for addresses in (makeAddresses(), makeAddresses("0.0.0.0/0", "::/0")):
            client = addresses.client(peer, False, lines, lines)
            if client.ip != peer:
                ipaddress.ip_address(client.ip)
