# -*- test-case-name: aero.lan.nat.test.test_tcp -*-
"""
The ways out of a guest's LAN: to what the policy approved, and to where the operator's
forwards lead.
"""

from __future__ import annotations

from typing import Any, Collection, Iterable, NamedTuple

from twisted.internet.defer import Deferred, succeed

from aero.metrics import Metrics
from aero.net.deliveries import Deliveries
from aero.net.dialer import ApprovedTarget, Dialer
from aero.net.resolver import Resolver
from aero.policy.egress import EgressPolicy
from aero.policy.forwards import Forward, ForwardMap
from aero.policy.reach import OwnAddresses
from aero.wire.ipv4 import addressText


class Way(NamedTuple):
    """
    An approved target, and who approved it.
    """

    target: ApprovedTarget
    dialer: Dialer

    def connect(self, protocol: Any) -> Deferred[Any]:
        """
        See L{Dialer.connect}.
        """
        return self.dialer.connect(self.target, protocol)


class FourFirst:
    """
    A resolver that puts IPv4 first, as forwards to names have it.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def resolve(self, name: str) -> Deferred[list[str]]:
        """
        See L{Resolver.resolve}.
        """
        return self._resolver.resolve(name).addCallback(fourFirst)


def fourFirst(addresses: list[str]) -> list[str]:
    """
    IPv4 addresses before IPv6 ones, otherwise in order.
    """
    return sorted(addresses, key=lambda address: ":" in address)


class Outside:
    """
    Dials for guests. Nothing is connected to that did not come through L{approve}.

    @ivar forwards: The forwards of TCP.
    @ivar deliveries: The connections whose guest has gone.
    """

    def __init__(
        self,
        reactor: Any,
        resolver: Resolver,
        metrics: Metrics,
        *,
        forwards: Iterable[Forward],
        allowPrivate: bool,
        connectTimeout: float,
        deliveries: Deliveries,
        own: OwnAddresses | None = None,
        sitePorts: Collection[int] = (),
    ) -> None:
        """
        @param allowPrivate: Whether guests may reach addresses that are not public. The policy
            of the guest has decided about that too; here it is the last word.
        @param own: The addresses of this machine.
        @param sitePorts: Ports that guests may reach at public addresses of this machine.
        """
        self.forwards = ForwardMap(forwards)
        self.deliveries = deliveries
        # Ports and names are the matter of the guest's own policy, which was asked before.
        rest: dict[str, Any] = {
            "profile": "open",
            "allowedHosts": (),
            "blockedHosts": (),
            "requireName": False,
            "allowedPorts": (),
        }
        self._direct = Dialer(
            reactor,
            resolver,
            EgressPolicy(allowPrivate=allowPrivate, own=own, sitePorts=sitePorts, **rest),
            metrics,
            connectTimeout=connectTimeout,
            reportErrors=True,
        )
        self._forwarded = Dialer(
            reactor,
            FourFirst(resolver),
            EgressPolicy(allowPrivate=True, **rest),
            metrics,
            connectTimeout=connectTimeout,
        )

    async def approve(self, address: int, port: int) -> Way:
        """
        Find out where a guest's destination is.

        @raise Refused: It may not be reached, or is nowhere.
        """
        forward = self.forwards.find(address, port)
        dialer = self._direct if forward is None else self._forwarded
        host, hostPort = forward or (addressText(address), port)
        return Way(await dialer.approve(host, hostPort), dialer)


def resolveForward(resolver: Resolver, host: str) -> Deferred[str]:
    """
    The address of a forward's host.

    @return: Fails with L{aero.net.resolver.LookupFailed}.
    """
    if ":" in host or host.replace(".", "").isdigit():
        return succeed(host)
    return resolver.resolve(host).addCallback(lambda found: fourFirst(found)[0])
