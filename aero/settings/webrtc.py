# -*- test-case-name: aero.settings.test.test_relaychecks -*-
"""
Settings of WebRTC and of the bridge of the data channel C{l2} (relay.md sections 8, 13, 16.6
and 16.7).
"""

from __future__ import annotations

import ipaddress
import re

from aero.policy.origin import normalizeOrigin

from ._goparsers import choiceIgnoringCase, goBoolean, positive, positiveDuration
from ._parsers import choice, httpURL, integer, listOf, port, text
from ._table import group, setting

#: Fewer ICE ports than this make sessions fail under load.
MIN_PORTS = 100

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value.strip()))
    except ValueError:
        raise ValueError("expected an IP address") from None


def _token(value: str) -> str:
    stripped = value.strip()
    if stripped and not _TOKEN.fullmatch(stripped):
        raise ValueError("expected the characters of an HTTP token (RFC 9110 section 5.6.2)")
    return stripped


def _origin(value: str) -> str:
    origin = normalizeOrigin(value)
    if origin is None:
        raise ValueError("expected an origin such as https://example.com, or null")
    return origin


def _backend(value: str) -> str:
    """
    The URL of an L2 backend, or C{internal} or C{off}.
    """
    if value.strip() in ("internal", "off"):
        return value.strip()
    url = httpURL("ws", "wss")(value)
    if "@" in url.split("/")[2]:
        raise ValueError("expected a URL without a user name")
    return url


@group
class WebRTCSettings:
    """
    WebRTC

    Where ICE listens, which servers it uses, and how large messages may be.
    """

    portMin: int = setting(
        variable="WEBRTC_UDP_PORT_MIN",
        option="webrtc-udp-port-min",
        default=0,
        parse=port,
        shown="any",
        help="The lowest UDP port of ICE; goes with WEBRTC_UDP_PORT_MAX, at least 100 ports apart.",
    )
    portMax: int = setting(
        variable="WEBRTC_UDP_PORT_MAX",
        option="webrtc-udp-port-max",
        default=0,
        parse=port,
        shown="any",
        help="The highest UDP port of ICE.",
    )
    listenIP: str = setting(
        variable="WEBRTC_UDP_LISTEN_IP",
        option="webrtc-udp-listen-ip",
        default="0.0.0.0",  # noqa: S104 (what the reference says for "all")
        parse=_address,
        help="The one local address that ICE binds and offers; 0.0.0.0 or :: for all but loopback.",
    )
    nat1To1IPs: tuple[str, ...] = setting(
        variable="WEBRTC_NAT_1TO1_IPS",
        option="webrtc-nat-1to1-ips",
        default=(),
        parse=listOf(_address, "an address"),
        help="The public addresses of this machine behind a NAT that maps ports one to one, at most one a family.",
    )
    nat1To1Type: str = setting(
        variable="WEBRTC_NAT_1TO1_IP_CANDIDATE_TYPE",
        option="webrtc-nat-1to1-ip-candidate-type",
        default="host",
        parse=choice("host", "srflx"),
        help="Whether those addresses replace the local ones (host) or are offered beside them (srflx).",
    )
    connectTimeout: float = setting(
        variable="WEBRTC_SESSION_CONNECT_TIMEOUT",
        option="webrtc-session-connect-timeout",
        default=30.0,
        parse=positiveDuration,
        shown="30s",
        help="How long a WebRTC session has to connect.",
    )
    maxConnecting: int = setting(
        variable="AERO_WEBRTC_MAX_CONNECTING",
        option="webrtc-max-connecting",
        default=256,
        parse=positive,
        help="WebRTC sessions of all clients together that have not connected yet; more offers are refused.",
    )
    allowPrivateCandidates: bool = setting(
        variable="AERO_WEBRTC_ALLOW_PRIVATE_CANDIDATES",
        option="webrtc-allow-private-candidates",
        default=True,
        derive=lambda values: values["relayMode"] != "prod",
        parse=goBoolean,
        shown="true; false in the relay mode prod, which a public domain has",
        help="Whether ICE may send checks to candidates of clients that are not public addresses, or addresses of this"
        " machine. Without it such clients still connect, by the checks that they send.",
    )
    maxCandidates: int = setting(
        variable="AERO_WEBRTC_MAX_CANDIDATES",
        option="webrtc-max-candidates",
        default=16,
        parse=integer(1, 64),
        help="Candidates that one WebRTC session may tell; the others are passed over.",
    )
    maxChecksPerAddress: int = setting(
        variable="AERO_WEBRTC_MAX_CHECKS_PER_ADDRESS",
        option="webrtc-max-checks-per-address",
        default=16,
        parse=integer(1, 10_000),
        help="ICE checks, repeated ones included, that one session sends to one IP address that does not answer.",
    )
    maxChecks: int = setting(
        variable="AERO_WEBRTC_MAX_CHECKS",
        option="webrtc-max-checks",
        default=64,
        parse=integer(1, 100_000),
        help="The same to all addresses together.",
    )
    checksPerSecondPerIP: int = setting(
        variable="AERO_WEBRTC_CHECKS_PER_SECOND_PER_IP",
        option="webrtc-checks-per-second-per-ip",
        default=50,
        parse=integer(0, 1_000_000),
        help="Unanswered ICE checks a second for one client IPv4 address or IPv6 /64, on average over ten seconds; 0 is"
        " any number.",
    )
    checksPerSecond: int = setting(
        variable="AERO_WEBRTC_CHECKS_PER_SECOND",
        option="webrtc-checks-per-second",
        default=1_000,
        parse=integer(0, 10_000_000),
        help="Unanswered ICE checks a second for all clients of the process together; 0 is any number.",
    )
    consentTimeout: float = setting(
        variable="AERO_WEBRTC_CONSENT_TIMEOUT",
        option="webrtc-consent-timeout",
        default=15.0,
        parse=positiveDuration,
        shown="15s",
        help="How long a peer may not answer ICE's checks before its session ends (RFC 7675).",
    )
    maxMessage: int = setting(
        variable="WEBRTC_DATACHANNEL_MAX_MESSAGE_BYTES",
        option="webrtc-datachannel-max-message-bytes",
        default=0,
        parse=integer(0, 2**32 - 1),
        shown="what udp and l2 need",
        help="Bytes of one data channel message, told in the answer; more ends the session.",
    )
    maxReceiveBuffer: int = setting(
        variable="WEBRTC_SCTP_MAX_RECEIVE_BUFFER_BYTES",
        option="webrtc-sctp-max-receive-buffer-bytes",
        default=0,
        parse=integer(0, 2**32 - 1),
        shown="1048576, or two messages",
        help="Bytes that one session's SCTP association holds back for reassembly.",
    )
    iceServersJSON: str = setting(
        variable="AERO_ICE_SERVERS_JSON",
        default="",
        parse=text,
        secret=True,
        help="The ICE servers as a JSON array of objects with urls, username and credential.",
    )
    stunURLs: str = setting(
        variable="AERO_STUN_URLS",
        option="stun-urls",
        default="",
        parse=text,
        help="STUN servers, separated by commas, where AERO_ICE_SERVERS_JSON is not set.",
    )
    turnURLs: str = setting(
        variable="AERO_TURN_URLS",
        option="turn-urls",
        default="",
        parse=text,
        help="TURN servers, separated by commas, where AERO_ICE_SERVERS_JSON is not set.",
    )
    turnUsername: str = setting(
        variable="AERO_TURN_USERNAME",
        option="turn-username",
        default="",
        parse=text,
        help="The user name at the TURN servers.",
    )
    turnCredential: str = setting(
        variable="AERO_TURN_CREDENTIAL",
        default="",
        parse=text,
        secret=True,
        help="The password at the TURN servers.",
    )
    turnRESTSecret: str = setting(
        variable="TURN_REST_SHARED_SECRET",
        default="",
        parse=text,
        secret=True,
        help="The secret shared with the TURN servers, from which each client gets its own short-lived credentials.",
    )
    turnRESTTTL: int = setting(
        variable="TURN_REST_TTL_SECONDS",
        option="turn-rest-ttl-seconds",
        default=3_600,
        parse=positive,
        help="Seconds that such credentials are valid.",
    )
    turnRESTPrefix: str = setting(
        variable="TURN_REST_USERNAME_PREFIX",
        option="turn-rest-username-prefix",
        default="aero",
        parse=text,
        help="What the user names of such credentials have in the middle; without a colon.",
    )
    turnRESTRealm: str = setting(
        variable="TURN_REST_REALM",
        option="turn-rest-realm",
        default="",
        parse=text,
        help="Accepted for the reference's sake; nothing uses it.",
    )


@group
class BridgeSettings:
    """
    Ethernet over a data channel

    Where the data channel C{l2} leads: into the LAN of this process, or to a backend.
    """

    backendURL: str = setting(
        variable="L2_BACKEND_WS_URL",
        option="l2-backend-ws-url",
        default="internal",
        derive=lambda values: "internal" if "l2" in values["services"] else "off",
        parse=_backend,
        shown="internal where the service l2 runs too, else off",
        help="Where the data channel l2 leads: internal, off, or the WebSocket URL of an L2 backend (ws:// or wss://).",
    )
    backendOrigin: str = setting(
        variable="L2_BACKEND_ORIGIN",
        aliases=("L2_BACKEND_ORIGIN_OVERRIDE", "L2_BACKEND_WS_ORIGIN"),
        option="l2-backend-origin",
        default="",
        parse=_origin,
        shown="the client's",
        help="The Origin that the backend is shown.",
    )
    forwardOrigin: bool = setting(
        variable="L2_BACKEND_FORWARD_ORIGIN",
        option="l2-backend-forward-origin",
        default=True,
        derive=lambda values: values["backendURL"] != "off",
        parse=goBoolean,
        shown="true with a backend",
        help="Whether the backend is shown the client's Origin where L2_BACKEND_ORIGIN is not set.",
    )
    forwardAuth: str = setting(
        variable="L2_BACKEND_AUTH_FORWARD_MODE",
        option="l2-backend-auth-forward-mode",
        default="query",
        parse=choiceIgnoringCase({"none": "none", "query": "query", "subprotocol": "subprotocol"}),
        help="How the backend is given the client's credential: none, query or subprotocol.",
    )
    backendToken: str = setting(
        variable="L2_BACKEND_TOKEN",
        aliases=("L2_BACKEND_WS_TOKEN",),
        default="",
        parse=_token,
        secret=True,
        help="A token of this relay's own that the backend is offered as a subprotocol.",
    )
    forwardSession: bool = setting(
        variable="L2_BACKEND_FORWARD_AERO_SESSION",
        option="l2-backend-forward-aero-session",
        default=False,
        parse=goBoolean,
        help="Whether the backend is given the client's session cookie.",
    )
    maxL2Message: int = setting(
        variable="L2_MAX_MESSAGE_BYTES",
        option="l2-max-message-bytes",
        default=4_096,
        parse=positive,
        help="Bytes of one message of the data channel l2.",
    )
