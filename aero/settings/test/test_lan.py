"""
Tests for L{aero.settings.lan} and L{aero.settings.lanegress}.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.policy.forwards import Forward
from aero.settings import load


def lan(**environ: str) -> Any:
    """
    The settings of the LAN.
    """
    return load({}, environ).lan


def egress(**environ: str) -> Any:
    """
    The settings of where guests may go.
    """
    return load({}, environ).lanEgress


class LANSettingsTests(SynchronousTestCase):
    """
    The guest's network.
    """

    def test_defaults(self) -> None:
        """
        The defaults are those of l2.md sections 3.3 and 3.4.
        """
        found = lan()
        self.assertEqual(found.maxFlows, 256)
        self.assertEqual(found.flowIdle, 300.0)
        self.assertEqual(found.maxConnections, 1_024)
        self.assertEqual(found.maxPendingDNS, 1_024)
        self.assertEqual(found.maxDNSCacheEntries, 10_000)
        self.assertEqual(found.maxEarlyBytes, 262_144)
        self.assertEqual(found.lookupTimeout, 2.0)
        self.assertEqual((found.defaultTTL, found.maxTTL), (60, 300))
        self.assertEqual((found.connectTimeout, found.connectHold), (5.0, 0.25))
        self.assertEqual(found.leaseTime, 86_400)

    def test_clamped(self) -> None:
        """
        What is beyond the most that makes sense is the most (l2.md C9).
        """
        self.assertEqual(lan(AERO_L2_DNS_LOOKUP_TIMEOUT_MS="0").lookupTimeout, 0.0)
        self.assertEqual(lan(AERO_L2_DNS_LOOKUP_TIMEOUT_MS="1234").lookupTimeout, 1.234)
        self.assertEqual(lan(AERO_L2_DNS_LOOKUP_TIMEOUT_MS="999999").lookupTimeout, 60.0)
        self.assertEqual(lan(AERO_L2_MAX_UDP_FLOWS_PER_TUNNEL="70000").maxFlows, 65_535)
        self.assertEqual(lan(AERO_L2_UDP_FLOW_IDLE_TIMEOUT_MS="99999999999").flowIdle, 86_400.0)

    def test_flowIdle(self) -> None:
        """
        Flows live for two minutes at least, or for ever (RFC 4787 section 4.3).
        """
        name = "AERO_L2_UDP_FLOW_IDLE_TIMEOUT_MS"
        for value, expected in (("0", 0.0), ("120000", 120.0), ("300000", 300.0)):
            self.assertEqual(lan(**{name: value}).flowIdle, expected)
        for value in ("1", "60000", "119999"):
            with self.assertRaisesRegex(ConfigurationError, f"{name}.*{value}.*120000 or more"):
                lan(**{name: value})

    def test_dnsAddress(self) -> None:
        """
        The further address of the DNS is an address, off, or the usual one.
        """
        for value, expected in (("", None), ("off", 0), ("OFF", 0), ("10.0.2.9", 0x0A000209)):
            self.assertEqual(lan(AERO_L2_DNS_ADDRESS=value).dnsAddress, expected)
        with self.assertRaisesRegex(ConfigurationError, "AERO_L2_DNS_ADDRESS.*none.*or off"):
            lan(AERO_L2_DNS_ADDRESS="none")

    def test_sendBuffer(self) -> None:
        """
        A depth of 0 is the default (l2.md C7).
        """
        self.assertEqual(lan(AERO_L2_TCP_SEND_BUFFER="0").sendBuffer, 32)
        self.assertEqual(lan(AERO_L2_TCP_SEND_BUFFER="7").sendBuffer, 7)

    def test_network(self) -> None:
        """
        Subnet, addresses and routes are read; what is none stops the start.
        """
        found = lan(
            AERO_L2_SUBNET="192.168.7.0/24",
            AERO_L2_GATEWAY_ADDRESS="192.168.7.1",
            AERO_L2_STATIC_ROUTES="10.9.0.0/16=192.168.7.1, 10.8.0.0/16=192.168.7.1",
            AERO_L2_NTP_SERVERS="192.168.7.1,192.0.2.1",
        )
        self.assertEqual(found.subnet, ipaddress.IPv4Network("192.168.7.0/24"))
        self.assertEqual(found.gateway, 0xC0A80701)
        self.assertEqual([route.prefixLength for route in found.routes], [16, 16])
        self.assertEqual(found.ntpServers, (0xC0A80701, 0xC0000201))
        for variable, value in (
            ("AERO_L2_SUBNET", "10.0.2.0/31"),
            ("AERO_L2_SUBNET", "10.0.2.1/24"),
            ("AERO_L2_SUBNET", "127.0.0.0/8"),
            ("AERO_L2_SUBNET", "fe80::/64"),
            ("AERO_L2_GATEWAY_ADDRESS", "gateway"),
            ("AERO_L2_STATIC_ROUTES", "10.9.0.0/16"),
            ("AERO_L2_STATIC_ROUTES", "10.9.0.1/16=10.0.2.2"),
            ("AERO_L2_MTU", "575"),
            ("AERO_L2_MTU", "65536"),
            ("AERO_L2_UDP_FILTERING", "none"),
            ("AERO_L2_DOMAIN", "not a domain"),
        ):
            problem = self.assertRaises(ConfigurationError, lan, **{variable: value})
            self.assertEqual((problem.variable, problem.value), (variable, value))

    def test_staticNames(self) -> None:
        """
        Names and addresses; case and final dots mean nothing (l2.md section 3.7).
        """
        found = lan(AERO_L2_DNS_A=" Echo.Local. =203.0.113.10,other=198.51.100.7,").staticNames
        self.assertEqual(found, (("echo.local", 0xCB00710A), ("other", 0xC6336407)))
        for wrong in ("echo.local", "=1.2.3.4", ".=1.2.3.4", "echo=1.2.3", "echo=::1"):
            self.assertRaises(ConfigurationError, lan, AERO_L2_DNS_A=wrong)

    def test_forwards(self) -> None:
        """
        Forwards lead to addresses, names and bracketed IPv6 addresses (l2.md section 18).
        """
        found = lan(
            AERO_L2_TCP_FORWARD="203.0.113.10:80=127.0.0.1:8080,203.0.113.10:81=Host.Internal:9,"
            "203.0.113.10:82=[::1]:0"
        ).tcpForwards
        self.assertEqual(found[0], Forward(0xCB00710A, 80, "127.0.0.1", 8_080))
        self.assertEqual(found[1][2:], ("host.internal", 9))
        self.assertEqual(found[2].host, "::1")
        for wrong in (
            "203.0.113.10:80",
            "203.0.113.10=127.0.0.1:80",
            "203.0.113.10:80=127.0.0.1",
            "203.0.113.10:80=:80",
            "host:80=127.0.0.1:80",
            "203.0.113.10:80=::1:80",
            "203.0.113.10:65536=127.0.0.1:80",
            "203.0.113.10:80=127.0.0.1:http",
        ):
            self.assertRaises(ConfigurationError, lan, AERO_L2_UDP_FORWARD=wrong)


class EgressSettingsTests(SynchronousTestCase):
    """
    Where guests may go.
    """

    def test_ports(self) -> None:
        """
        Absent is no list, present and empty is none, and what is no port stops the start in
        the reference's words (l2.md C11).
        """
        self.assertIsNone(egress().tcpPorts)
        self.assertEqual(egress(AERO_L2_ALLOWED_TCP_PORTS=" ").tcpPorts, frozenset())
        self.assertEqual(egress(AERO_L2_ALLOWED_UDP_PORTS="").udpPorts, frozenset())
        self.assertEqual(egress(AERO_L2_ALLOWED_TCP_PORTS="80, 443,0").tcpPorts, {0, 80, 443})
        for kind in ("tcp", "udp"):
            variable = f"AERO_L2_ALLOWED_{kind.upper()}_PORTS"
            problem = self.assertRaises(ConfigurationError, egress, **{variable: "nope"})
            self.assertIn(variable, str(problem))
            self.assertIn(f"{kind} port allowlist", str(problem))

    def test_private(self) -> None:
        """
        Private addresses are refused unless allowed (l2.md C12).
        """
        self.assertFalse(egress().allowPrivateAddresses)
        self.assertTrue(egress(AERO_L2_ALLOW_PRIVATE_IPS="1").allowPrivateAddresses)

    def test_domains(self) -> None:
        """
        Domains lose their outer dots and their case; one that is nothing but dots is dropped
        (l2.md C13).
        """
        found = egress(AERO_L2_ALLOWED_DOMAINS=" .Example.com. ,., other.example,,")
        self.assertEqual(found.allowedDomains, ("example.com", "other.example"))
        self.assertEqual(egress(AERO_L2_BLOCKED_DOMAINS=".").blockedDomains, ())
        self.assertRaises(ConfigurationError, egress, AERO_L2_ALLOWED_DOMAINS="https://a.example")
