# -*- test-case-name: aero.services.test.test_warnings -*-
"""
What an operator is warned of when the process starts (relay.md section 15.3, and the same for
what the relay knows nothing of).

The process runs all the same: each of these settings is right somewhere. The relay's warnings
have the reference's codes and come in its order.
"""

from __future__ import annotations

from typing import Iterator
from urllib.parse import urlsplit

from aero.log import SecurityWarning
from aero.settings import Settings
from aero.settings.relaychecks import maxMessageBytes, maxReceiveBuffer

#: Above these the reference warns: bytes of a message, bytes of a buffer, seconds to connect.
_LARGE_MESSAGE = 1_048_576
_LARGE_BUFFER = 8 * 1_048_576
_LONG_CONNECT = 120.0


def relayWarnings(settings: Settings, *, isLocal: bool) -> Iterator[SecurityWarning]:
    """
    Warnings about the relay.

    @param isLocal: Whether only this machine can reach the process, by its default settings.
    """
    mode = settings.server.relayMode
    udp, signal, webrtc, bridge = settings.udp, settings.signal, settings.webrtc, settings.bridge
    auth = settings.relay.authMode
    if udp.inboundFilter == "any":
        yield SecurityWarning(
            "UDP_INBOUND_FILTER_MODE=any: everybody may send datagrams to guests",
            "udp_inbound_filter_mode_any",
            mode=mode,
            udp_inbound_filter_mode=udp.inboundFilter,
        )
    if auth == "none" and not isLocal:
        yield SecurityWarning(
            "AUTH_MODE=none: everybody may use the relay",
            "auth_mode_none",
            mode=mode,
            auth_mode=auth,
        )
    if "*" in settings.session.allowedOrigins:
        yield SecurityWarning(
            "ALLOWED_ORIGINS has *: pages of every site may use this server",
            "allowed_origins_wildcard",
            mode=mode,
            allowed_origins=",".join(settings.session.allowedOrigins),
        )
    policy = {
        "destination_policy_preset": udp.preset,
        "allow_private_networks": udp.allowPrivateNetworks,
        "default_allow": udp.preset == "dev",
    }
    if udp.preset == "dev":
        yield SecurityWarning(
            "DESTINATION_POLICY_PRESET=dev: datagrams may go everywhere that nothing refuses",
            "destination_policy_preset_dev",
            mode=mode,
            **policy,
        )
    elif mode == "prod" and udp.allowPrivateNetworks:
        yield SecurityWarning(
            "ALLOW_PRIVATE_NETWORKS=true: datagrams may go to private networks",
            "allow_private_networks_in_prod",
            mode=mode,
            **policy,
        )
    if mode == "prod" and signal.maxRelaySessions <= 0:
        yield SecurityWarning(
            "MAX_SESSIONS is not set: the relay takes as many sessions as are asked for",
            "max_sessions_unlimited_in_prod",
            mode=mode,
            max_sessions=signal.maxRelaySessions,
        )
    if (size := maxMessageBytes(settings)) > _LARGE_MESSAGE:
        yield SecurityWarning(
            f"data channel messages may have {size} bytes, which each session may make this"
            " process keep",
            "webrtc_datachannel_max_message_large",
            mode=mode,
            webrtc_datachannel_max_message_bytes=size,
        )
    if (size := maxReceiveBuffer(settings)) > _LARGE_BUFFER:
        yield SecurityWarning(
            f"SCTP may keep {size} bytes for each session",
            "webrtc_sctp_max_receive_buffer_large",
            mode=mode,
            webrtc_sctp_max_receive_buffer_bytes=size,
        )
    if webrtc.connectTimeout > _LONG_CONNECT:
        yield SecurityWarning(
            f"sessions have {webrtc.connectTimeout:g} s to connect, and cost memory until then",
            "webrtc_session_connect_timeout_large",
            mode=mode,
            webrtc_session_connect_timeout=webrtc.connectTimeout,
        )
    # The reference warns whether there is a backend or not; beside other services that would
    # be about nothing.
    isURL = "://" in bridge.backendURL
    alone = settings.server.services == ("relay",)
    if bridge.forwardAuth == "query" and auth != "none" and (isURL or alone):
        yield SecurityWarning(
            "L2_BACKEND_AUTH_FORWARD_MODE=query: credentials are part of the backend's URL, where"
            " logs keep them",
            "l2_backend_auth_forward_mode_query",
            mode=mode,
            l2_backend_ws_url_set=isURL,
            l2_backend_ws_host=urlsplit(bridge.backendURL).netloc if isURL else "",
            l2_backend_auth_forward_mode=bridge.forwardAuth,
            auth_mode=auth,
        )


def gatewayWarnings(settings: Settings, *, isPublic: bool) -> Iterator[SecurityWarning]:
    """
    Warnings about everything else on the one origin.

    @param isPublic: Whether the site has a name of the public internet.
    """
    if settings.egress.allowPrivate:
        yield SecurityWarning(
            "TCP_ALLOW_PRIVATE_IPS=1: browsers reach this machine and its private networks",
            "tcp_allow_private_ips",
        )
    if "*" in settings.session.allowedOrigins and "relay" not in settings.server.services:
        yield SecurityWarning(
            "ALLOWED_ORIGINS has *: pages of every site may use this server",
            "allowed_origins_wildcard",
            allowed_origins=",".join(settings.session.allowedOrigins),
        )
    if isPublic and not settings.session.newPerMinutePerIP:
        yield SecurityWarning(
            "AERO_SESSIONS_PER_MINUTE_PER_IP=0: one client may begin sessions without end",
            "sessions_unlimited",
        )
    if isPublic and not settings.session.upgradesPerMinutePerIP:
        yield SecurityWarning(
            "AERO_UPGRADES_PER_MINUTE_PER_IP=0: one client may open WebSockets without end",
            "upgrades_unlimited",
        )
    if isPublic and settings.server.logFullAddresses:
        yield SecurityWarning(
            "AERO_LOG_FULL_ADDRESSES=1: the log has the addresses of people",
            "log_full_addresses",
        )


def l2Warnings(settings: Settings, *, mode: str, isLocal: bool) -> Iterator[SecurityWarning]:
    """
    Warnings about the Ethernet tunnel.

    @param mode: Its mode of authentication.
    @param isLocal: Whether only this machine can reach the process, by its default settings.
    """
    l2 = settings.l2
    if mode == "none" and not isLocal:
        yield SecurityWarning(
            "AERO_L2_AUTH_MODE=none: everybody may open tunnels",
            "l2_auth_mode_none",
            auth_mode=mode,
        )
    if l2.open:
        yield SecurityWarning(
            "AERO_L2_OPEN=1: pages of every site, and programs, may open tunnels", "l2_open"
        )
    elif "*" in (*l2.allowedOrigins, *l2.extraOrigins):
        yield SecurityWarning(
            "AERO_L2_ALLOWED_ORIGINS has *: pages of every site may open tunnels",
            "l2_allowed_origins_wildcard",
            allowed_origins=",".join((*l2.allowedOrigins, *l2.extraOrigins)),
        )
    if not l2.maxConnections and not isLocal:
        yield SecurityWarning(
            "AERO_L2_MAX_CONNECTIONS=0: there may be tunnels without end", "l2_tunnels_unlimited"
        )
    if settings.lanEgress.allowPrivateAddresses:
        yield SecurityWarning(
            "AERO_L2_ALLOW_PRIVATE_IPS=1: guests reach this machine and its private networks",
            "l2_allow_private_ips",
        )
    if l2.captureDir.strip():
        yield SecurityWarning(
            f"AERO_L2_CAPTURE_DIR: everything that guests send and get is kept in {l2.captureDir}",
            "l2_capture",
            capture_dir=l2.captureDir,
        )
