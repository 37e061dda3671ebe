"""
Settings of the HTTP server: limits at the door, headers, static files.
"""

from __future__ import annotations

from ._names import onPublicDomains
from ._parsers import httpURL, integer, text
from ._table import group, setting


@group
class HTTPSettings:
    """
    HTTP

    Limits at the door. Whatever exceeds one is refused with the status named and counted.
    """

    maxHeaderBytes: int = setting(
        variable="AERO_HTTP_MAX_HEADER_BYTES",
        option="http-max-header-bytes",
        default=65_536,
        parse=integer(1_024, 1_048_576),
        help="Bytes of the request line and headers together; more is a 431.",
    )
    maxHeaders: int = setting(
        variable="AERO_HTTP_MAX_HEADERS",
        option="http-max-headers",
        default=200,
        parse=integer(16, 10_000),
        help="Header lines of one request; more is a 431.",
    )
    maxTargetLength: int = setting(
        variable="AERO_HTTP_MAX_TARGET_LENGTH",
        option="http-max-target-length",
        default=8_192,
        parse=integer(64, 65_536),
        help="Characters of the request target; more is a 414.",
    )
    maxBodyBytes: int = setting(
        variable="AERO_HTTP_MAX_BODY_BYTES",
        option="http-max-body-bytes",
        default=1_048_576,
        parse=integer(0, 1_073_741_824),
        help="Bytes of a request body; more is a 413.",
    )
    headerTimeout: float = setting(
        variable="AERO_HTTP_HEADER_TIMEOUT_SECONDS",
        option="http-header-timeout",
        default=10,
        parse=integer(1, 3600),
        help="Seconds from the first byte of a request to the end of its headers.",
    )
    bodyTimeout: float = setting(
        variable="AERO_HTTP_BODY_TIMEOUT_SECONDS",
        option="http-body-timeout",
        default=60,
        parse=integer(1, 3600),
        help="Seconds from the end of the headers to the end of the body.",
    )
    idleTimeout: float = setting(
        variable="AERO_HTTP_IDLE_TIMEOUT_SECONDS",
        option="http-idle-timeout",
        default=75,
        parse=integer(1, 86_400),
        help="Seconds that a connection may stay open between two requests.",
    )
    writeTimeout: float = setting(
        variable="AERO_HTTP_WRITE_TIMEOUT_SECONDS",
        option="http-write-timeout",
        default=120,
        parse=integer(1, 86_400),
        help="Seconds that a client may take none of the response's bytes before it is disconnected.",
    )
    maxConnections: int = setting(
        variable="AERO_HTTP_MAX_CONNECTIONS",
        option="http-max-connections",
        default=10_000,
        parse=integer(1, 1_000_000),
        help="Client connections open at once, on all listeners together.",
    )
    maxConnectionsPerIP: int = setting(
        variable="AERO_HTTP_MAX_CONNECTIONS_PER_IP",
        option="http-max-connections-per-ip",
        default=512,
        parse=integer(0, 1_000_000),
        help="Connections open at once from one IPv4 address or IPv6 /64; 0 is no limit.",
    )
    bufferBytes: int = setting(
        variable="AERO_HTTP_BUFFER_BYTES",
        option="http-buffer-bytes",
        default=268_435_456,
        parse=integer(0),
        help="Bytes that may wait in HTTP at once in one process: headers, request bodies and replies that clients have not"
        " taken. Beyond it a new request or body is a 503; 0 is no limit.",
    )
    bufferBytesPerIP: int = setting(
        variable="AERO_HTTP_BUFFER_BYTES_PER_IP",
        option="http-buffer-bytes-per-ip",
        default=33_554_432,
        parse=integer(0),
        help="The same for one IPv4 address or IPv6 /64. A trusted proxy's connections count only for the process;"
        " 0 is no limit.",
    )
    maxRequestsPerMinute: int = setting(
        variable="RATE_LIMIT_REQUESTS_PER_MINUTE",
        option="rate-limit",
        default=0,
        derive=onPublicDomains(30_000),
        parse=integer(0),
        shown="30000 on a public domain, off for internal names",
        help="HTTP requests a minute from one client address; more is a 429. 0 is no limit.",
    )
    maxStreams: int = setting(
        variable="AERO_HTTP2_MAX_STREAMS",
        option="http2-max-streams",
        default=100,
        parse=integer(1, 10_000),
        help="Requests at once on one HTTP/2 connection.",
    )
    maxResets: int = setting(
        variable="AERO_HTTP2_MAX_RESETS",
        option="http2-max-resets",
        default=1_000,
        parse=integer(1),
        help="Unanswered requests that a client may cancel at once on one HTTP/2 connection; a thirtieth comes back each second.",
    )
    maxControlFrames: int = setting(
        variable="AERO_HTTP2_MAX_CONTROL_FRAMES",
        option="http2-max-control-frames",
        default=1_000,
        parse=integer(1),
        help="Pings, settings and such that a client may send at once on one HTTP/2 connection; a thirtieth comes back each second.",
    )
    hstsMaxAge: int = setting(
        variable="AERO_HSTS_MAX_AGE",
        option="hsts-max-age",
        default=0,
        parse=integer(0),
        help="The max-age of Strict-Transport-Security in seconds; 31536000 is usual once TLS is known to work.",
    )
    isolate: bool = setting(
        variable="CROSS_ORIGIN_ISOLATION",
        option="cross-origin-isolation",
        default=False,
        parse=lambda value: value.strip() == "1",
        help="1 sends the four isolation headers from the gateway service when it runs alone. The edge always does.",
    )
    edgeHeaders: bool = setting(
        variable="AERO_EDGE_HEADERS",
        option="edge-headers",
        default=False,
        parse=lambda value: value.strip() == "1",
        help="1 sends the whole header set of the edge from a process without it, for services that share one origin"
        " behind a proxy that adds none.",
    )
    metricsToken: str = setting(
        variable="AERO_METRICS_TOKEN",
        default="",
        parse=text,
        secret=True,
        help="A bearer token for /metrics. On a public domain /metrics answers only loopback without it.",
    )


@group
class StaticSettings:
    """
    Static files

    What the edge serves where no service owns the path.
    """

    root: str = setting(
        variable="AERO_FRONTEND_ROOT",
        option="frontend-root",
        default="",
        parse=text,
        shown="the packaged static/",
        help="The directory of the front end.",
    )
    proxy: str = setting(
        variable="AERO_FRONTEND_PROXY",
        option="frontend-proxy",
        default="",
        parse=httpURL("http"),
        shown="off",
        help="The URL of a development server that gets every path no service owns, WebSockets included.",
    )
    cacheBytes: int = setting(
        variable="AERO_STATIC_CACHE_BYTES",
        option="static-cache-bytes",
        default=67_108_864,
        parse=integer(0),
        help="Bytes of compressed files kept in memory.",
    )
    maxCompressBytes: int = setting(
        variable="AERO_STATIC_MAX_COMPRESS_BYTES",
        option="static-max-compress-bytes",
        default=33_554_432,
        parse=integer(0),
        help="The largest file that is compressed on the fly; larger ones are sent as they are.",
    )
    hotBytes: int = setting(
        variable="AERO_STATIC_HOT_BYTES",
        option="static-hot-bytes",
        default=16_777_216,
        parse=integer(0),
        help="Bytes of small files kept in memory as they are, so that serving them costs no read.",
    )
