# -*- test-case-name: aero.settings.test.test_relaychecks -*-
"""
What settings of the relay have to have to do with each other (relay.md sections 8.4 and 16),
and what follows from several of them.
"""

from __future__ import annotations

from aero.errors import ConfigurationError

from ._load import Settings
from .webrtc import MIN_PORTS

#: The longest header of a datagram, which a message may have beside its payload.
_HEADER = 24
#: Bytes of a data channel message beyond what C{udp} and C{l2} need.
_SPARE = 256
_MIB = 1_048_576
#: The smallest SCTP receive buffer: one packet of Ethernet (RFC 9260 section 3.3.2).
_MIN_BUFFER = 1_500


def maxMessageBytes(settings: Settings) -> int:
    """
    Bytes of the longest data channel message, which the answer tells the client.
    """
    return settings.webrtc.maxMessage or _neededMessage(settings) + _SPARE


def maxReceiveBuffer(settings: Settings) -> int:
    """
    Bytes that one SCTP association keeps for reassembly.
    """
    return settings.webrtc.maxReceiveBuffer or max(_MIB, 2 * maxMessageBytes(settings))


def checkRelay(settings: Settings) -> None:
    """
    Check all settings of a process that runs the relay.

    @raise ConfigurationError: The first that does not go with the others.
    """
    _checkCredentials(settings)
    _checkPings(settings)
    udp, webrtc = settings.udp, settings.webrtc
    if udp.readBuffer < udp.maxPayload + 1:
        raise ConfigurationError(
            "UDP_READ_BUFFER_BYTES",
            str(udp.readBuffer),
            f"expected MAX_DATAGRAM_PAYLOAD_BYTES + 1 ({udp.maxPayload + 1}) or more",
        )
    if bool(webrtc.portMin) != bool(webrtc.portMax):
        missing = "MAX" if webrtc.portMin else "MIN"
        raise ConfigurationError(
            f"WEBRTC_UDP_PORT_{missing}",
            None,
            "is required where the other end of the range is set",
        )
    if webrtc.portMin:
        ports = f"{webrtc.portMin}-{webrtc.portMax}"
        if webrtc.portMin > webrtc.portMax:
            raise ConfigurationError(
                "WEBRTC_UDP_PORT_MIN", ports, "expected the smaller port first"
            )
        if webrtc.portMax - webrtc.portMin + 1 < MIN_PORTS:
            raise ConfigurationError(
                "WEBRTC_UDP_PORT_MAX", ports, f"the range is too small, expected {MIN_PORTS} ports"
            )
    _checkSizes(settings)
    if webrtc.turnRESTSecret and (not webrtc.turnRESTPrefix or ":" in webrtc.turnRESTPrefix):
        raise ConfigurationError(
            "TURN_REST_USERNAME_PREFIX", webrtc.turnRESTPrefix, "expected text without a colon"
        )
    families = [":" in address for address in webrtc.nat1To1IPs]
    if len(families) != len(set(families)):
        raise ConfigurationError(
            "WEBRTC_NAT_1TO1_IPS",
            ",".join(webrtc.nat1To1IPs),
            "expected one address of each family at most: ICE has no use for a second",
        )


def _checkCredentials(settings: Settings) -> None:
    relay = settings.relay
    both = {"gateway", "relay"} <= set(settings.server.services)
    prefix = "UDP_RELAY_" if both else ""
    if relay.authMode == "api_key" and not relay.apiKey:
        raise ConfigurationError(
            f"{prefix}API_KEY", None, f"{prefix}API_KEY is required when {prefix}AUTH_MODE=api_key"
        )
    # The gateway and the relay of one process agree about a secret of their own.
    agreed = both and not relay.baseURL
    if relay.authMode == "jwt" and not relay.jwtSecret and not agreed:
        raise ConfigurationError(
            f"{prefix}JWT_SECRET",
            None,
            f"{prefix}JWT_SECRET is required when {prefix}AUTH_MODE=jwt",
        )


def _checkPings(settings: Settings) -> None:
    signal, udp = settings.signal, settings.udp
    for name, ping, idle in (
        ("SIGNALING_WS", signal.signalPing, signal.signalIdle),
        ("UDP_WS", udp.udpPing, udp.udpIdle),
    ):
        if ping >= idle:
            raise ConfigurationError(
                f"{name}_PING_INTERVAL",
                f"{ping:g}s",
                f"expected less than {name}_IDLE_TIMEOUT ({idle:g}s)",
            )


def _checkSizes(settings: Settings) -> None:
    needed = _neededMessage(settings)
    longest = maxMessageBytes(settings)
    if longest < needed:
        raise ConfigurationError(
            "WEBRTC_DATACHANNEL_MAX_MESSAGE_BYTES",
            str(longest),
            f"expected {needed} or more, which MAX_DATAGRAM_PAYLOAD_BYTES and"
            " L2_MAX_MESSAGE_BYTES need",
        )
    buffer = maxReceiveBuffer(settings)
    if buffer < max(longest, _MIN_BUFFER):
        raise ConfigurationError(
            "WEBRTC_SCTP_MAX_RECEIVE_BUFFER_BYTES",
            str(buffer),
            f"expected {_MIN_BUFFER} or more, and room for one message ({longest})",
        )


def _neededMessage(settings: Settings) -> int:
    return max(settings.udp.maxPayload + _HEADER, settings.bridge.maxL2Message)
