# -*- test-case-name: aero.test.test_app -*-
"""
The policies that follow from the settings.
"""

from __future__ import annotations

from aero.policy.destinations import DestinationPolicy
from aero.policy.egress import EgressPolicy
from aero.settings.tcp import EgressSettings
from aero.settings.udp import UDPSettings


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
