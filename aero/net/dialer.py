# -*- test-case-name: aero.net.test.test_dialer -*-
"""
Connections to targets: resolve, ask the policy, connect to the very addresses it approved.

It comes in two steps, because an endpoint can still answer with an HTTP status between them:
L{Dialer.approve} says whether a target may be reached and where it is, and L{Dialer.connect}
goes there and nowhere else. What the first gives is the only thing that the second takes, so
that no caller can leave the check out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

from aero.errors import Refused
from aero.metrics import Metrics
from aero.metrics import tcp as rows
from aero.policy.egress import EgressPolicy
from aero.policy.hosts import IPTarget

from .happyeyeballs import DialFailed, Race
from .resolver import LookupFailed, Resolver


@dataclass(frozen=True, slots=True)
class ApprovedTarget:
    """
    A target that the policy has let pass. Only L{Dialer.approve} makes one.

    @ivar host: The host, in normal form.
    @ivar port: The port.
    @ivar addresses: Where it may be connected to, best first.
    """

    host: str
    port: int
    addresses: tuple[str, ...]
    _by: object = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Dialer:
    """
    The only way from this server to a target.
    """

    def __init__(
        self,
        reactor: Any,
        resolver: Resolver,
        policy: EgressPolicy,
        metrics: Metrics,
        *,
        connectTimeout: float = 10.0,
        reportErrors: bool = False,
    ) -> None:
        """
        @param reactor: Provides C{IReactorTCP} and C{IReactorTime}.
        @param connectTimeout: Seconds that connecting may take, over all addresses.
        @param reportErrors: Whether L{DialFailed.error} is to have the ICMP error.
        """
        self._reactor = reactor
        self._resolver = resolver
        self._policy = policy
        self._connectTimeout = connectTimeout
        self._reportErrors = reportErrors
        self._metrics = metrics
        self._seconds = metrics.histogram(rows.TCP_DIAL_SECONDS)
        self._blocked = {
            "host": metrics.counter(rows.BLOCKED_BY_HOST_POLICY),
            "host-invalid": metrics.counter(rows.BLOCKED_BY_HOST_POLICY),
            "config": metrics.counter(rows.BLOCKED_BY_HOST_POLICY),
            "ip": metrics.counter(rows.BLOCKED_BY_IP_POLICY),
            "port": metrics.counter(rows.BLOCKED_BY_PORT_POLICY),
        }

    async def approve(self, host: str, port: int) -> ApprovedTarget:
        """
        Decide whether a target may be reached, and find out where it is.

        @param host: As the client wrote it.
        @raise Refused: With the status and text of gateway.md section 11.4; 502 where the
            name cannot be resolved.
        """
        try:
            target = self._policy.check(host, port)
            if isinstance(target, IPTarget):
                addresses = [str(target)]
            else:
                found = await self._resolver.resolve(str(target))
                addresses = self._policy.approved(found)
        except Refused as refused:
            counter = self._blocked.get(refused.reason)
            if counter is not None:
                counter.inc()
            raise
        except LookupFailed as problem:
            raise Refused(502, "bad_gateway", "DNS lookup failed", reason="lookup") from problem
        return ApprovedTarget(str(target), port, tuple(addresses), self)

    def connect(self, target: ApprovedTarget, protocol: IProtocol) -> Deferred[IProtocol]:
        """
        Connect to a target.

        @param protocol: What is connected to it.
        @return: Fires with the protocol after its C{connectionMade}; fails with
            L{DialFailed}; when cancelled, every socket is closed.
        @raise TypeError: The target is not one that this dialer approved.
        """
        if not isinstance(target, ApprovedTarget) or target._by is not self:
            raise TypeError("the target was not approved by this dialer")
        started = self._reactor.seconds()
        race = Race(
            self._reactor,
            target.addresses,
            target.port,
            protocol,
            self._connectTimeout,
            reportErrors=self._reportErrors,
        )

        def connected(result: IProtocol) -> IProtocol:
            self._seconds.observe(self._reactor.seconds() - started)
            self._count("connected")
            return result

        def failed(failure: Failure) -> Failure:
            problem = failure.value
            self._count(problem.reason if isinstance(problem, DialFailed) else "cancelled")
            return failure

        return race.done.addCallbacks(connected, failed)

    def _count(self, outcome: str) -> None:
        self._metrics.counter(rows.TCP_DIALS, outcome).inc()
