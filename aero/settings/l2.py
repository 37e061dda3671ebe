# -*- test-case-name: aero.settings.test.test_l2 -*-
"""
Settings of the Ethernet tunnel C{/l2}: where it listens alone, who may use it, what a tunnel may
cost, and captures (l2.md section 3). What the LAN behind it is like is L{aero.settings.lan}.
"""

from __future__ import annotations

from aero.policy.origin import allowlistEntry

from ._goparsers import choiceIgnoringCase
from ._names import onPublicDomains
from ._parsers import flag, integer, listOf, milliseconds, positiveOr, switch, text
from ._ports import listenAddress
from ._table import group, setting

#: Every spelling of an authentication mode (l2.md section 6.1), to the one it is known by.
AUTH_MODES = {
    "none": "none",
    "session": "session",
    "cookie": "session",
    "token": "token",
    "api_key": "token",
    "jwt": "jwt",
    "cookie_or_jwt": "cookie_or_jwt",
    "session_or_token": "session_or_token",
    "cookie_or_api_key": "session_or_token",
    "session_and_token": "session_and_token",
    "cookie_and_api_key": "session_and_token",
}


@group
class L2Settings:
    """
    The Ethernet tunnel

    C{/l2} and its alias C{/eth}: who may open a tunnel, and what one may cost.
    """

    listen: tuple[str, int] = setting(
        variable="AERO_L2_PROXY_LISTEN_ADDR",
        aliases=("AERO_L2_PROXY_BIND_ADDR",),
        option="l2-listen",
        default=("0.0.0.0", 8_090),  # noqa: S104 (what the reference says)
        parse=listenAddress,
        shown="0.0.0.0:8090",
        help="The numeric address and port of --services l2 alone; port 0 is any free one.",
    )
    readyLine: bool = setting(
        variable="AERO_L2_READY_STDOUT",
        option="l2-ready-stdout",
        default=False,
        parse=flag,
        help="1 prints AERO_L2_PROXY_READY and the tunnel's URL once --services l2 alone listens.",
    )
    shutdownGrace: float = setting(
        variable="AERO_L2_SHUTDOWN_GRACE_MS",
        option="l2-shutdown-grace-ms",
        default=3.0,
        parse=milliseconds(),
        shown="3000",
        help="Milliseconds that --services l2 alone gives its tunnels when it stops.",
    )
    proxyVersion: str = setting(
        variable="AERO_L2_PROXY_VERSION",
        aliases=("VERSION",),
        default="",
        parse=text,
        shown="the version of aero",
        help="The version that GET /version of --services l2 tells.",
    )
    proxyGitSha: str = setting(
        variable="AERO_L2_PROXY_GIT_SHA",
        default="dev",
        derive=lambda values: values["gitSha"] or "dev",
        parse=text,
        shown="GIT_SHA, or dev",
        help="The commit that GET /version of --services l2 tells.",
    )
    proxyBuiltAt: str = setting(
        variable="AERO_L2_PROXY_BUILD_TIMESTAMP",
        default="",
        derive=lambda values: values["builtAt"],
        parse=text,
        shown="BUILD_TIMESTAMP",
        help="The build time that GET /version of --services l2 tells.",
    )
    maxFramePayload: int = setting(
        variable="AERO_L2_MAX_FRAME_PAYLOAD",
        aliases=("AERO_L2_MAX_FRAME_SIZE",),
        option="l2-max-frame-payload",
        default=2_048,
        parse=positiveOr(2_048),
        unset=("0",),
        help="Bytes of one Ethernet frame in a tunnel, both ways; 0 is the default.",
    )
    maxControlPayload: int = setting(
        variable="AERO_L2_MAX_CONTROL_PAYLOAD",
        option="l2-max-control-payload",
        default=256,
        parse=positiveOr(256),
        unset=("0",),
        help="Bytes of one control message in a tunnel, both ways; 0 is the default.",
    )
    pingInterval: float = setting(
        variable="AERO_L2_PING_INTERVAL_MS",
        option="l2-ping-interval-ms",
        default=0.0,
        parse=milliseconds(),
        shown="off",
        help="Milliseconds between two PINGs that measure the round trip to a guest; 0 sends none.",
    )
    idleTimeout: float = setting(
        variable="AERO_L2_IDLE_TIMEOUT_MS",
        option="l2-idle-timeout-ms",
        default=0.0,
        parse=milliseconds(),
        shown="off",
        help="Milliseconds without any message from the client after which a tunnel is closed; 0 is never.",
    )
    sendBuffer: int = setting(
        variable="AERO_L2_WS_SEND_BUFFER",
        option="l2-ws-send-buffer",
        default=64,
        parse=positiveOr(64),
        unset=("0",),
        help="Answers that may wait for a client that reads nothing, in messages; one more that waits a second closes"
        " the tunnel. 0 is the default.",
    )
    open: bool = setting(
        variable="AERO_L2_OPEN",
        option="l2-open",
        default=False,
        parse=flag,
        help="1 takes tunnels from every Origin, and without one. Authentication stays.",
    )
    allowNoAuth: bool = setting(
        variable="AERO_L2_INSECURE_ALLOW_NO_AUTH",
        option="l2-insecure-allow-no-auth",
        default=False,
        parse=flag,
        help="1 together with AERO_L2_OPEN=1 starts without any authentication.",
    )
    allowedOrigins: tuple[str, ...] = setting(
        variable="AERO_L2_ALLOWED_ORIGINS",
        option="l2-allowed-origins",
        default=(),
        parse=listOf(allowlistEntry, "an origin"),
        shown="those of the site",
        help="The origins that may open tunnels: full origins, * for any, or null.",
    )
    extraOrigins: tuple[str, ...] = setting(
        variable="AERO_L2_ALLOWED_ORIGINS_EXTRA",
        option="l2-allowed-origins-extra",
        default=(),
        parse=listOf(allowlistEntry, "an origin"),
        help="More origins, beside those above or those of the site.",
    )
    allowedHosts: tuple[str, ...] = setting(
        variable="AERO_L2_ALLOWED_HOSTS",
        option="l2-allowed-hosts",
        default=(),
        parse=listOf(text, "a host"),
        shown="all",
        help="The hosts, with their port where it is not the usual one, that tunnels may be opened at.",
    )
    trustForwarded: bool = setting(
        variable="AERO_L2_TRUST_PROXY",
        option="l2-trust-proxy",
        default=False,
        parse=switch,
        help="1 is TRUST_PROXY=1, in the words of L2 deployments.",
    )
    trustProxyHost: bool = setting(
        variable="AERO_L2_TRUST_PROXY_HOST",
        option="l2-trust-proxy-host",
        default=False,
        parse=switch,
        help="1 believes Forwarded, X-Forwarded-Host and X-Forwarded-Proto about the host, from AERO_TRUSTED_PROXIES; where"
        " that is empty from everybody, or from nobody while this process terminates TLS itself.",
    )
    authMode: str = setting(
        variable="AERO_L2_AUTH_MODE",
        option="l2-auth-mode",
        default="",
        parse=choiceIgnoringCase(AUTH_MODES),
        shown="by what is configured",
        help="Who may open a tunnel: none, session, token, jwt, cookie_or_jwt, session_or_token, session_and_token."
        " Unset, it follows the key and the secret that are given; the edge then takes session on a public domain"
        " and none for internal names.",
    )
    apiKey: str = setting(
        variable="AERO_L2_API_KEY",
        aliases=("AERO_L2_TOKEN",),
        default="",
        parse=text,
        secret=True,
        help="The static token that opens tunnels.",
    )
    jwtSecret: str = setting(
        variable="AERO_L2_JWT_SECRET",
        default="",
        parse=text,
        secret=True,
        help="The key of JSON Web Tokens (HS256) that open tunnels.",
    )
    jwtAudience: str = setting(
        variable="AERO_L2_JWT_AUDIENCE",
        option="l2-jwt-audience",
        default="",
        parse=text,
        shown="any",
        help="The aud claim that such a token must have.",
    )
    jwtIssuer: str = setting(
        variable="AERO_L2_JWT_ISSUER",
        option="l2-jwt-issuer",
        default="",
        parse=text,
        shown="any",
        help="The iss claim that such a token must have.",
    )
    maxConnections: int = setting(
        variable="AERO_L2_MAX_CONNECTIONS",
        option="l2-max-connections",
        default=64,
        parse=integer(0),
        help="Tunnels at once in this process; 0 is no limit.",
    )
    maxConnectionsPerSession: int = setting(
        variable="AERO_L2_MAX_CONNECTIONS_PER_SESSION",
        aliases=("AERO_L2_MAX_TUNNELS_PER_SESSION",),
        option="l2-max-connections-per-session",
        default=0,
        derive=onPublicDomains(8),
        parse=integer(0),
        shown="8 on a public domain, off for internal names",
        help="Tunnels at once of one session; 0 is no limit.",
    )
    maxConnectionsPerIP: int = setting(
        variable="AERO_L2_MAX_CONNECTIONS_PER_IP",
        option="l2-max-connections-per-ip",
        default=0,
        derive=onPublicDomains(32),
        parse=integer(0),
        shown="32 on a public domain, off for internal names",
        help="Tunnels at once of one client IPv4 address or IPv6 /64; 0 is no limit.",
    )
    maxBytes: int = setting(
        variable="AERO_L2_MAX_BYTES_PER_CONNECTION",
        option="l2-max-bytes-per-connection",
        default=0,
        derive=onPublicDomains(1_099_511_627_776),
        parse=integer(0),
        shown="1099511627776 on a public domain, off for internal names",
        help="Bytes of messages, both ways together, after which a tunnel is closed; 0 is no limit.",
    )
    maxFPS: int = setting(
        variable="AERO_L2_MAX_FRAMES_PER_SECOND",
        option="l2-max-frames-per-second",
        default=0,
        derive=onPublicDomains(200_000),
        parse=integer(0),
        shown="200000 on a public domain, off for internal names",
        help="Messages from a client in one second, beyond which its tunnel is closed; 0 is no limit.",
    )
    captureDir: str = setting(
        variable="AERO_L2_CAPTURE_DIR",
        option="l2-capture-dir",
        default="",
        parse=lambda value: value,
        shown="off",
        help="The directory for one PCAPNG file a tunnel. It holds everything that guests send and get.",
    )
    captureMaxBytes: int = setting(
        variable="AERO_L2_CAPTURE_MAX_BYTES",
        option="l2-capture-max-bytes",
        default=67_108_864,
        parse=integer(0),
        help="Bytes of one capture file; 0 is no limit.",
    )
    captureTotalBytes: int = setting(
        variable="AERO_L2_CAPTURE_MAX_TOTAL_BYTES",
        option="l2-capture-max-total-bytes",
        default=1_073_741_824,
        parse=integer(0),
        help="Bytes that this process writes to all capture files together; 0 is no limit.",
    )
    captureFlush: float = setting(
        variable="AERO_L2_CAPTURE_FLUSH_INTERVAL_MS",
        option="l2-capture-flush-interval-ms",
        default=1.0,
        parse=milliseconds(),
        shown="1000",
        help="Milliseconds after which captured frames are in the file; 0 writes when buffers are full and at the end.",
    )
