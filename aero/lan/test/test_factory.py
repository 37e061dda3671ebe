"""
Tests for L{aero.lan.factory} and the whole of L{aero.lan.lan}.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.lan.factory import LANFactory, networkPlan, stackConfig
from aero.lan.lan import LAN
from aero.metrics import lan as rows
from aero.policy.forwards import Forward
from aero.policy.hosts import HostPattern
from aero.settings import Settings
from aero.settings._lanparsers import StaticRoute
from aero.settings.lan import LANSettings
from aero.testing.guest import Guest
from aero.testing.lan import LANRig
from aero.wire.ipv4 import addressText

PUBLIC = "93.184.215.14"


class PlanTests(SynchronousTestCase):
    """
    Addresses and the MTU.
    """

    def plan(self, maxFrame: int = 2_048, **settings: Any) -> Any:
        return networkPlan(LANSettings(**settings), maxFrame)

    def test_default(self) -> None:
        """
        The plan of l2.md section 16.1.
        """
        plan = self.plan()
        self.assertEqual(addressText(plan.gateway), "10.0.2.2")
        self.assertEqual(addressText(plan.guest), "10.0.2.15")
        self.assertEqual((addressText(plan.mask), plan.mtu), ("255.255.255.0", 1_500))

    def test_subnets(self) -> None:
        """
        Another network has its gateway and guest at the same places, as far as it has such.
        """
        for subnet, gateway, guest in (
            ("192.168.76.0/24", "192.168.76.2", "192.168.76.15"),
            ("172.16.0.0/12", "172.16.0.2", "172.16.0.15"),
            ("10.9.8.0/28", "10.9.8.2", "10.9.8.3"),
            ("10.9.8.8/29", "10.9.8.10", "10.9.8.11"),
        ):
            plan = self.plan(subnet=ipaddress.IPv4Network(subnet))
            self.assertEqual((addressText(plan.gateway), addressText(plan.guest)), (gateway, guest))

    def test_guestBesideGateway(self) -> None:
        """
        A gateway at the end of a small network has its guest at the beginning.
        """
        plan = self.plan(subnet=ipaddress.IPv4Network("10.9.8.8/29"), gateway=0x0A09080E)
        self.assertEqual(addressText(plan.guest), "10.9.8.9")

    def test_contradictions(self) -> None:
        """
        Addresses outside of the network, of the network itself, twice the same, routers that
        the guest cannot reach, and an MTU larger than a frame stop the start.
        """
        for variable, settings in (
            ("AERO_L2_GATEWAY_ADDRESS", {"gateway": 0x0A000302}),
            ("AERO_L2_GATEWAY_ADDRESS", {"gateway": 0x0A0002FF}),
            ("AERO_L2_GUEST_ADDRESS", {"guest": 0x0A000200}),
            ("AERO_L2_GUEST_ADDRESS", {"guest": 0x0A000202}),
            ("AERO_L2_DNS_ADDRESS", {"dnsAddress": 0x0A000303}),
            ("AERO_L2_DNS_ADDRESS", {"dnsAddress": 0x0A000202}),
            ("AERO_L2_DNS_ADDRESS", {"dnsAddress": 0x0A00020F}),
            ("AERO_L2_DNS_ADDRESS", {"dnsAddress": 0x0A0002FF}),
            ("AERO_L2_STATIC_ROUTES", {"routes": (StaticRoute(0, 8, 0x01010101),)}),
            ("AERO_L2_MTU", {"mtu": 2_035}),
        ):
            problem = self.assertRaises(ConfigurationError, self.plan, **settings)
            self.assertEqual(problem.variable, variable)

    def test_dnsAddress(self) -> None:
        """
        The DNS has the third address too, unless that is somebody else's already or not wanted.
        """
        self.assertEqual(addressText(self.plan().dns), "10.0.2.3")
        self.assertEqual(addressText(self.plan(dnsAddress=0x0A000235).dns), "10.0.2.53")
        forward = Forward(0x0A000203, 80, "x", 1)
        for settings in (
            {"dnsAddress": 0},
            {"guest": 0x0A000203},
            {"gateway": 0x0A000203},
            {"subnet": ipaddress.IPv4Network("10.9.8.8/29")},
            {"tcpForwards": (forward,)},
            {"udpForwards": (forward,)},
        ):
            plan = self.plan(**settings)
            self.assertEqual((plan.dns, plan.owned), (0, {plan.gateway}), settings)

    def test_mtu(self) -> None:
        """
        The MTU is what a frame carries at most, and 1500 unless one wants more; the LAN keeps
        to the least that IPv4 has whatever frames carry.
        """
        self.assertEqual(self.plan(2_048, mtu=2_034).mtu, 2_034)
        self.assertEqual(self.plan(65_535, mtu=65_520).mtu, 65_520)
        self.assertEqual(self.plan(1_014).mtu, 1_000)
        self.assertEqual(self.plan(286).mtu, 576)

    def test_stack(self) -> None:
        """
        The stack gets the limits, and owns the addresses of forwards in the LAN.
        """
        settings = LANSettings(
            maxConnections=7,
            connectHold=0.5,
            maxEarlyBytes=9,
            tcpForwards=(Forward(0x0A000209, 80, "x", 1), Forward(0xCB007101, 80, "x", 1)),
        )
        config = stackConfig(settings, networkPlan(settings, 2_048))
        self.assertEqual((config.maxConnections, config.tcp.hold), (7, 0.5))
        self.assertEqual((config.tcp.maxEarly, config.tcp.mss), (9, 1_460))
        self.assertEqual(config.owned, (0x0A000209, 0x0A000203))


class CompositionTests(SynchronousTestCase):
    """
    The rules for guests beside those for all clients.
    """

    def dialled(self, rig: LANRig, port: int, address: str = PUBLIC) -> bool:
        before = len(rig.reactor.tcpClients)
        rig.guest.connect(address, port)
        return len(rig.reactor.tcpClients) > before

    def test_profile(self) -> None:
        """
        A public server lets no guest send mail, unless it says so of guests.
        """
        rig = LANRig(egress={"profile": "standard"})
        self.assertFalse(self.dialled(rig, 25))
        self.assertTrue(self.dialled(rig, 80))
        rig = LANRig(egress={"profile": "standard"}, rules={"tcpPorts": frozenset({25})})
        self.assertTrue(self.dialled(rig, 25))
        self.assertFalse(self.dialled(rig, 80))

    def test_sharedPorts(self) -> None:
        """
        The list of ports for all clients holds for guests that have none.
        """
        rig = LANRig(egress={"allowedPorts": (8_080,)})
        self.assertTrue(self.dialled(rig, 8_080))
        self.assertFalse(self.dialled(rig, 80))

    def test_privateIsSeparate(self) -> None:
        """
        What lets browsers into private networks does not let guests in, and the other way
        round is a matter of guests only.
        """
        rig = LANRig(egress={"allowPrivate": True})
        self.assertFalse(self.dialled(rig, 80, "192.168.1.1"))
        self.assertFalse(self.dialled(rig, 80, "169.254.169.254"))
        rig = LANRig(rules={"allowPrivateAddresses": True})
        self.assertTrue(self.dialled(rig, 80, "192.168.1.1"))

    def test_sharedHosts(self) -> None:
        """
        Blocked hosts are blocked for guests too; allowed ones are, where guests have no list
        of their own.
        """
        blocked = {"blockedHosts": (HostPattern.parse(PUBLIC),)}
        self.assertFalse(self.dialled(LANRig(egress=blocked), 80))
        allowed = {"allowedHosts": (HostPattern.parse(PUBLIC),)}
        rig = LANRig(egress=allowed)
        self.assertTrue(self.dialled(rig, 80))
        self.assertFalse(self.dialled(rig, 80, "1.1.1.1"))
        rig = LANRig(egress=allowed, rules={"allowedDomains": ("example.com",)})
        self.assertFalse(self.dialled(rig, 80))


class Greeting(Protocol):
    """
    Says who is there, and ends.
    """

    def connectionMade(self) -> None:
        self.transport.write(b"hello")  # type: ignore[union-attr]
        self.transport.loseConnection()  # type: ignore[union-attr]


class FactoryTests(SynchronousTestCase):
    """
    Making LANs.
    """

    def test_services(self) -> None:
        """
        A subclass puts services into every LAN, and hears of its end.
        """
        ended: list[LAN] = []

        class Greeters(LANFactory):
            def lanStarted(self, lan: LAN) -> None:
                factory = Factory.forProtocol(Greeting)
                factory.noisy = False
                lan.listenTCP(7, factory)

            def lanStopped(self, lan: LAN) -> None:
                ended.append(lan)

        rig = LANRig(factory=Greeters)
        guest = rig.guest.connect("10.0.2.2", 7)
        rig.settle()
        self.assertEqual((guest.received, guest.ended), (b"hello", True))
        rig.factory.stop()
        self.assertEqual((ended, rig.factory.lans), ([rig.lan], set()))

    def test_failingHooks(self) -> None:
        """
        A hook that fails is logged, and the guest has its network all the same.
        """

        class Broken(LANFactory):
            def lanStarted(self, lan: LAN) -> None:
                raise RuntimeError("broken")

            lanStopped = lanStarted

        rig = LANRig(factory=Broken)
        rig.guest.askForLease()
        rig.factory.stop()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_apart(self) -> None:
        """
        LANs have nothing to do with each other.
        """
        rig = LANRig()
        other = Guest()
        lan = rig.factory.buildLAN(rig.lan.peer, other)
        other.attach(lan.framesReceived)
        self.assertEqual(rig.metrics.value(rows.LANS), 2)
        other.askForLease()
        rig.guest.connect(PUBLIC, 80)
        other.connect(PUBLIC, 80)
        self.assertIsNone(rig.lan.lease)
        rig.lan.stop()
        self.assertEqual(rig.metrics.value(rows.L2_TCP_ACTIVE), 1)
        other.ping("10.0.2.2")
        self.assertEqual(len(other.echoes), 1)
        rig.factory.stop()
        self.assertEqual(rig.metrics.value(rows.LANS), 0)
        self.assertEqual(rig.reactor.getDelayedCalls(), [])

    def test_secrets(self) -> None:
        """
        No two LANs have the same secret.
        """
        asked: list[int] = []

        def randomness(size: int) -> bytes:
            asked.append(size)
            return bytes([len(asked)]) * size

        defaults = Settings()
        rig = LANRig()
        factory = LANFactory(
            defaults.lan,
            reactor=rig.reactor,
            metrics=rig.metrics,
            dns=rig.dns,  # type: ignore[arg-type]
            resolver=rig.names,
            egress=defaults.egress,
            lanEgress=defaults.lanEgress,
            maxFrame=2_048,
            deliveries=rig.deliveries,
            randomness=randomness,
        )
        for _ in range(2):
            factory.buildLAN(rig.lan.peer, rig.guest)
        self.assertEqual(asked.count(32), 2)

    def test_subnet(self) -> None:
        """
        Another network is a setting.
        """
        guest = Guest(address="192.168.76.15", gateway="192.168.76.2")
        rig = LANRig(guest=guest, subnet=ipaddress.IPv4Network("192.168.76.0/24"))
        guest.askForLease()
        self.assertEqual(guest.address, "192.168.76.15")
        guest.ping("192.168.76.2")
        self.assertEqual(len(guest.echoes), 1)
        guest.sendDatagram(5_000, "192.168.76.2", 69, b"x")
        self.assertEqual(guest.errors[0][:2], (3, 3))
        rig.settle()

    def test_largeFrames(self) -> None:
        """
        With frames of 64 KiB the guest is told so, and segments are as large.
        """
        guest = Guest(maxFrame=65_534, mss=65_480)
        rig = LANRig(guest=guest, mtu=65_520)
        guest.sendDHCP(1)
        self.assertEqual(guest.offers[0][2][26], (65_520).to_bytes(2, "big"))
        connection = guest.connect(PUBLIC, 80)
        target = rig.acceptTarget()
        rig.settle()
        target.send(b"x" * 200_000)
        for _ in range(10):
            rig.settle()
        self.assertEqual(len(connection.received), 200_000)
        self.assertGreater(max(len(frame) for frame in guest.frames), 60_000)

    def test_dropsCounted(self) -> None:
        """
        What the stack dropped is counted while the LAN is there (W43), and once.
        """
        rig = LANRig()
        for count in (1, 2):
            rig.guest.send(b"short")
            for _ in range(2):
                rig.metrics.exposition()
                self.assertEqual(rig.metrics.value(rows.STACK_DROPS, "frameShort"), count)
        rig.guest.send(b"short")
        rig.lan.stop()
        rig.metrics.exposition()
        self.assertEqual(rig.metrics.value(rows.STACK_DROPS, "frameShort"), 3)
