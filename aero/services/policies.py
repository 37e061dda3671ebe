# -*- test-case-name: aero.services.test.test_policies -*-
"""
The policies that follow from the settings.
"""

from __future__ import annotations

import dataclasses
import resource

from twisted.logger import Logger

from aero.policy.destinations import DestinationPolicy
from aero.policy.egress import EgressPolicy
from aero.settings.shares import ShareSettings
from aero.settings.tcp import EgressSettings
from aero.settings.udp import UDPSettings

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


def egressPolicy(settings: EgressSettings) -> EgressPolicy:
    """
    The policy about targets of TCP.
    """
    return EgressPolicy(
        profile=settings.profile,
        allowPrivate=settings.allowPrivate,
        allowedHosts=settings.allowedHosts,
        blockedHosts=settings.blockedHosts,
        requireName=settings.requireName,
        allowedPorts=settings.allowedPorts,
    )


def destinationPolicy(settings: UDPSettings) -> DestinationPolicy:
    """
    The policy about where datagrams of the relay may go.
    """
    return DestinationPolicy(
        preset=settings.preset,
        allowPrivate=settings.allowPrivateNetworks,
        allowNetworks=settings.allowCIDRs,
        denyNetworks=settings.denyCIDRs,
        allowPorts=settings.allowUDPPorts,
        denyPorts=settings.denyUDPPorts,
    )
