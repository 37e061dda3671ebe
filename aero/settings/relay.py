"""
Settings of the relay credentials that C{POST /session} tells the client.
"""

from __future__ import annotations

from ._parsers import choice, httpURL, integer, text
from ._table import group, setting


@group
class RelaySettings:
    """
    Relay credentials

    The UDP relay that C{POST /session} points to.
    """

    baseURL: str = setting(
        variable="UDP_RELAY_BASE_URL",
        option="udp-relay-base-url",
        default="",
        parse=httpURL("http", "https", "ws", "wss"),
        shown="off",
        help="The URL of the UDP relay; its credentials are part of every session.",
    )
    authMode: str = setting(
        variable="UDP_RELAY_AUTH_MODE",
        aliases=("AUTH_MODE",),
        option="udp-relay-auth-mode",
        default="none",
        parse=choice("none", "api_key", "jwt"),
        help="How clients prove themselves to the relay.",
    )
    apiKey: str = setting(
        variable="UDP_RELAY_API_KEY",
        aliases=("API_KEY",),
        default="",
        parse=text,
        secret=True,
        help="The key that authorises clients, with api_key.",
    )
    jwtSecret: str = setting(
        variable="UDP_RELAY_JWT_SECRET",
        aliases=("JWT_SECRET",),
        default="",
        parse=text,
        secret=True,
        help="The key that signs tokens, with jwt.",
    )
    tokenTTL: int = setting(
        variable="UDP_RELAY_TOKEN_TTL_SECONDS",
        option="udp-relay-token-ttl",
        default=300,
        parse=integer(1),
        help="Seconds that a relay token is valid.",
    )
    audience: str = setting(
        variable="UDP_RELAY_AUDIENCE",
        option="udp-relay-audience",
        default="",
        parse=text,
        help="The aud claim of relay tokens.",
    )
    issuer: str = setting(
        variable="UDP_RELAY_ISSUER",
        option="udp-relay-issuer",
        default="",
        parse=text,
        help="The iss claim of relay tokens.",
    )
