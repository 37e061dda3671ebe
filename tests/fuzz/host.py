# -*- test-case-name: tests.test_fuzz -*-
"""
Hosts that clients want to be connected to.
"""

from __future__ import annotations

import contextlib
import ipaddress

from aero.errors import Refused
from aero.policy.addresses import isPublic
from aero.policy.egress import EgressPolicy
from aero.policy.hosts import HostPattern, IPTarget, classifyHost

from .explore import main

_POLICY = EgressPolicy(
    profile="open",
    allowPrivate=False,
    allowedHosts=(),
    blockedHosts=(HostPattern.parse("*.blocked.example"),),
    requireName=False,
    allowedPorts=(443,),
)


# Any text is an address, a name or a ValueError. Which one is final: read again it is the same.
# An address is one to another implementation too, a name is one that DNS can hold and that
# nobody takes for an address. The policy raises Refused and lets no address pass that is not
# global.
def check(data: bytes) -> None:
    for text in (data.decode("utf-8", "replace"), data.decode("latin-1")):
        isPublic(text)
        with contextlib.suppress(ValueError):
            pattern = HostPattern.parse(text)
            assert HostPattern.parse(str(pattern)) == pattern
        try:
            target = classifyHost(text)
        except ValueError:
            assert _refusal(text) == 400
            continue
        assert classifyHost(str(target)) == target
        refused = _refusal(text)
        if not isinstance(target, IPTarget):
            assert 1 <= len(target.name) <= 253 and target.name.isascii()
            assert not target.name.replace(".", "").isdigit()
            assert (refused == 403) == target.name.endswith(".blocked.example")
            continue
        address = ipaddress.ip_address(target.address)
        assert (refused is None) == isPublic(target.address)
        if address.is_private or address.is_loopback or address.is_link_local:
            assert refused == 403


def _refusal(text: str) -> int | None:
    try:
        _POLICY.check(text, 443)
    except Refused as refused:
        return refused.status
    return None


if __name__ == "__main__":
    main(check)
