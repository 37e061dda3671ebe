# -*- test-case-name: aero.policy.test.test_profiles -*-
"""
Bundles of port rules for the egress policy.

C{web} is what pages need. C{open} is everything, for machines of one's own. C{standard} is
what a public server of emulators can answer for: whatever a visitor does comes from its
address, so the ports stay closed where traffic from strangers is mostly abuse and the
operator is the one who ends up on a blocklist. Ports that people really use from an emulated
machine stay open although they are scanned too: 22, 23 (bulletin boards), 3389, 5900, 6667.

The rules are about TCP. Amplification over UDP (1900, 123) is no matter of theirs.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """
    Which ports may be connected to.

    @ivar name: What operators call it.
    @ivar only: The ports allowed; C{None} is all that are not refused.
    @ivar refused: Ports that are not allowed, each with the reason.
    """

    name: str
    only: frozenset[int] | None = None
    refused: dict[int, str] = dataclasses.field(default_factory=dict)

    def allows(self, port: int) -> bool:
        """
        Whether a port may be connected to.
        """
        return port not in self.refused if self.only is None else port in self.only


_MAIL = "mail: an open way to port {} sends spam under this server's address"
_WINDOWS = "Windows networking: worms and credential relays, hardly ever meant for the internet"
_OPEN_DOOR = "{}, which by default asks nobody for a password and gives away the machine"

_STANDARD: dict[int, str] = {
    **{port: _MAIL.format(port) for port in (25, 465, 587)},
    **{port: _WINDOWS for port in (135, 136, 137, 138, 139, 445)},
    19: "character generator: answers without end, good for nothing but load (RFC 864)",
    111: "port mapper: tells what to attack next, used inside networks only (RFC 1833)",
    2375: _OPEN_DOOR.format("Docker's API"),
    5555: _OPEN_DOOR.format("the Android debug bridge"),
    6379: _OPEN_DOOR.format("Redis"),
    11211: _OPEN_DOOR.format("memcached"),
}

WEB = Profile("web", only=frozenset({80, 443}))
STANDARD = Profile("standard", refused=_STANDARD)
OPEN = Profile("open")

#: Every profile by name.
PROFILES: dict[str, Profile] = {profile.name: profile for profile in (WEB, STANDARD, OPEN)}
