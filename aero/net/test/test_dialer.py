"""
Tests for L{aero.net.dialer}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail, succeed
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.metrics import ROWS, Metrics
from aero.metrics import tcp as rows
from aero.net.dialer import ApprovedTarget, Dialer
from aero.net.happyeyeballs import DialFailed
from aero.net.resolver import LookupFailed
from aero.policy.egress import EgressPolicy
from aero.policy.hosts import HostPattern


class DialerTests(SynchronousTestCase):
    """
    Resolve, approve, connect.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.metrics = Metrics(ROWS)
        self.answers: dict[str, Deferred[list[str]]] = {}
        self.dialer = self.makeDialer()

    def makeDialer(self) -> Dialer:
        policy = EgressPolicy(
            profile="open",
            allowPrivate=False,
            allowedHosts=(),
            blockedHosts=(HostPattern.parse("blocked.example"),),
            requireName=False,
            allowedPorts=(80,),
        )
        return Dialer(self.reactor, self, policy, self.metrics)

    def resolve(self, name: str) -> Deferred[list[str]]:
        return self.answers[name]

    def approve(self, host: str, port: int = 80) -> Deferred[ApprovedTarget]:
        return ensureDeferred(self.dialer.approve(host, port))

    def assertRefused(self, result: Deferred[ApprovedTarget], status: int) -> None:
        failure: Any = self.failureResultOf(result, Refused)
        self.assertEqual(failure.value.status, status)

    def test_literal(self) -> None:
        """
        An address needs no resolver, whatever its spelling.
        """
        target = self.successResultOf(self.approve("8.8.8.8"))
        self.assertEqual((target.addresses, str(target)), (("8.8.8.8",), "8.8.8.8:80"))

    def test_name(self) -> None:
        """
        Of a name's addresses the public ones are kept, in their order.
        """
        self.answers["example.com"] = succeed(["10.0.0.1", "2606:4700::1", "8.8.8.8"])
        target = self.successResultOf(self.approve("EXAMPLE.com."))
        self.assertEqual(target.addresses, ("2606:4700::1", "8.8.8.8"))

    def test_refusals(self) -> None:
        """
        What the policy refuses is refused with its status, and counted by kind.
        """
        self.answers["inside.example"] = succeed(["192.168.0.1"])
        for host, port, status in (
            ("8.8.8.8", 25, 403),
            ("blocked.example", 80, 403),
            ("a_b", 80, 400),
            ("127.0.0.1", 80, 403),
            ("inside.example", 80, 403),
        ):
            self.assertRefused(self.approve(host, port), status)
        value = self.metrics.value
        self.assertEqual(value(rows.BLOCKED_BY_PORT_POLICY), 1)
        self.assertEqual(value(rows.BLOCKED_BY_HOST_POLICY), 2)
        self.assertEqual(value(rows.BLOCKED_BY_IP_POLICY), 2)

    def test_lookupFails(self) -> None:
        """
        A name without addresses is a 502.
        """
        self.answers["gone.example"] = fail(LookupFailed("gone.example", "failed"))
        self.assertRefused(self.approve("gone.example"), 502)

    def test_cancelLookup(self) -> None:
        """
        Cancelling an approval cancels the lookup.
        """
        cancelled: list[object] = []
        self.answers["slow.example"] = Deferred(cancelled.append)
        result = self.approve("slow.example")
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertEqual(len(cancelled), 1)

    def test_connect(self) -> None:
        """
        A connection goes to the approved address and port, and is counted.
        """
        target = self.successResultOf(self.approve("8.8.8.8"))
        protocol = Protocol()
        result = self.dialer.connect(target, protocol)
        ((host, port, factory, _, _),) = self.reactor.tcpClients
        self.assertEqual((host, port), ("8.8.8.8", 80))
        factory.buildProtocol(None).makeConnection(StringTransport())
        self.assertIs(self.successResultOf(result), protocol)
        self.assertEqual(self.metrics.value(rows.TCP_DIALS, "connected"), 1)

    def test_connectFails(self) -> None:
        """
        A failure is counted by its reason.
        """
        target = self.successResultOf(self.approve("8.8.8.8"))
        result = self.dialer.connect(target, Protocol())
        self.reactor.tcpClients[0][2].clientConnectionFailed(
            self.reactor.connectors[0], Failure(error.ConnectionRefusedError())
        )
        self.failureResultOf(result, DialFailed)
        self.assertEqual(self.metrics.value(rows.TCP_DIALS, "refused"), 1)

    def test_unapproved(self) -> None:
        """
        A target that somebody made, or another dialer approved, is not connected to.
        """
        made = ApprovedTarget("127.0.0.1", 22, ("127.0.0.1",), None)
        other = self.successResultOf(ensureDeferred(self.makeDialer().approve("8.8.8.8", 80)))
        for target in (made, other):
            self.assertRaises(TypeError, self.dialer.connect, target, Protocol())
        self.assertEqual(self.reactor.tcpClients, [])
