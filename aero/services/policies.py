# -*- test-case-name: aero.services.test.test_policies -*-
"""
The policies about where clients may get to, made of the settings, and the addresses of this
machine that they know.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import resource
from functools import cached_property
from typing import Any

from twisted.logger import Logger

from aero.metrics import ROWS, Metrics
from aero.net.commons import Commons
from aero.net.interfaces import Interfaces
from aero.policy.destinations import DestinationPolicy
from aero.policy.egress import EgressPolicy
from aero.policy.reach import OwnAddresses
from aero.settings import Settings
from aero.settings.shares import ShareSettings

_log = Logger(namespace="aero.shares")


def withinDescriptors(settings: ShareSettings, descriptors: int | None = None) -> ShareSettings:
    """
    The settings of what clients share, with no more sockets to the outside than half of the
    descriptors of this process: the other half is for clients. Without a limit nothing changes.

    @param descriptors: How many this process may have open; by default what the system says.
    """
    if descriptors is None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if not 0 <= descriptors // 2 < settings.maxSockets:
        return settings
    most = max(1, descriptors // 2)
    _log.warn(
        "AERO_MAX_OUTSIDE_SOCKETS is {wanted}, but this process may have only {descriptors}"
        " files open (ulimit -n, LimitNOFILE): {most} is used",
        wanted=settings.maxSockets,
        descriptors=descriptors,
        most=most,
    )
    return dataclasses.replace(settings, maxSockets=most)


class PolicyParts:
    """
    The parts of one server that decide about destinations.

    @ivar settings: All settings.
    @ivar reactor: The reactor.
    """

    settings: Settings
    reactor: Any

    def makeEgressPolicy(self) -> EgressPolicy:
        """
        The policy about targets. It decides before and after a name is resolved, and no
        endpoint connects to anything that it did not approve.
        """
        egress = self.settings.egress
        return EgressPolicy(
            profile=egress.profile,
            allowPrivate=egress.allowPrivate,
            allowedHosts=egress.allowedHosts,
            blockedHosts=egress.blockedHosts,
            requireName=egress.requireName,
            allowedPorts=egress.allowedPorts,
            own=self.ownAddresses,
        )

    def makeDestinationPolicy(self) -> DestinationPolicy:
        """
        The policy about where datagrams of the relay may go.
        """
        udp = self.settings.udp
        return DestinationPolicy(
            preset=udp.preset,
            allowPrivate=udp.allowPrivateNetworks,
            allowNetworks=udp.allowCIDRs,
            denyNetworks=udp.denyCIDRs,
            allowPorts=udp.allowUDPPorts,
            denyPorts=udp.denyUDPPorts,
            own=self.ownAddresses,
        )

    @cached_property
    def metrics(self) -> Metrics:
        """
        The live metrics.
        """
        return Metrics(ROWS, process=True)

    @cached_property
    def commons(self) -> Commons:
        """
        The limits that all clients share.
        """
        shares = withinDescriptors(self.settings.shares)
        return Commons(self.reactor, self.metrics, shares)

    @cached_property
    def ownAddresses(self) -> OwnAddresses:
        """
        The addresses of this machine, which no client may reach.
        """
        settings = self.settings
        mapped = map(ipaddress.ip_network, settings.webrtc.nat1To1IPs)
        return OwnAddresses(
            configured=(*settings.own.networks, *mapped), reachable=settings.own.reachable
        )

    @cached_property
    def interfaces(self) -> Interfaces:
        """
        Learns L{ownAddresses} from the interfaces.
        """
        return Interfaces(self.ownAddresses, self.reactor, self.metrics)

    @cached_property
    def egressPolicy(self) -> EgressPolicy:
        """
        See L{makeEgressPolicy}.
        """
        return self.makeEgressPolicy()

    @cached_property
    def destinationPolicy(self) -> DestinationPolicy:
        """
        See L{makeDestinationPolicy}.
        """
        return self.makeDestinationPolicy()
