# -*- test-case-name: aero.settings.test.test_public -*-
"""
Settings of what all clients share (L{aero.net.commons}).
"""

from __future__ import annotations

from ._names import onPublicDomains
from ._parsers import integer, milliseconds, number
from ._table import group, setting


@group
class ShareSettings:
    """
    What all clients share

    The time, memory and sockets of this process, summed over everything that a client has open. "One address" is an IPv4 address or
    an IPv6 /64.
    """

    turnTime: float = setting(
        variable="AERO_TURN_MS",
        option="turn-ms",
        default=0.002,
        parse=milliseconds(1),
        shown="2",
        help="Milliseconds that the messages of one client address may take before others have their turn.",
    )
    noEffectRate: float = setting(
        variable="AERO_NO_EFFECT_PER_SECOND",
        option="no-effect-per-second",
        default=0,
        derive=onPublicDomains(200),
        parse=number(0),
        shown="200 on a public domain, off for internal names",
        help="Messages without effect a second of one client address: pings, refused OPENs of /tcp-mux, frames of streams that"
        " do not exist, empty messages. More close the connection with 1008. 0 is no limit.",
    )
    noEffectBurst: float = setting(
        variable="AERO_NO_EFFECT_BURST",
        option="no-effect-burst",
        default=0,
        derive=onPublicDomains(2_000),
        parse=number(0),
        shown="2000 on a public domain, off for internal names",
        help="Messages without effect that one client address may send at once; 0 is no limit.",
    )
    maxWaitingBytes: int = setting(
        variable="AERO_MAX_WAITING_BYTES",
        option="max-waiting-bytes",
        default=0,
        derive=onPublicDomains(536_870_912),
        parse=integer(0),
        shown="536870912 on a public domain, off for internal names",
        help="Bytes of memory for tunnels and guests of all clients together: buffers of connections, queues, reassembly. 0 is no limit.",
    )
    maxWaitingBytesPerIP: int = setting(
        variable="AERO_MAX_WAITING_BYTES_PER_IP",
        option="max-waiting-bytes-per-ip",
        default=0,
        derive=onPublicDomains(67_108_864),
        parse=integer(0),
        shown="67108864 on a public domain, off for internal names",
        help="The same for one client address. Buffers get smaller as it is used up; then new connections are refused.",
    )
    maxSockets: int = setting(
        variable="AERO_MAX_OUTSIDE_SOCKETS",
        option="max-outside-sockets",
        default=0,
        derive=onPublicDomains(8_192),
        parse=integer(0),
        shown="8192 on a public domain, off for internal names",
        help="Sockets for tunnels and guests of all clients together, TCP and UDP; more are refused. 0 is no limit.",
    )
    maxSocketsPerIP: int = setting(
        variable="AERO_MAX_OUTSIDE_SOCKETS_PER_IP",
        option="max-outside-sockets-per-ip",
        default=0,
        derive=onPublicDomains(1_024),
        parse=integer(0),
        shown="1024 on a public domain, off for internal names",
        help="The same for one client address; 0 is no limit.",
    )
