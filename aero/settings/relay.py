"""
Settings of the relay credentials that C{POST /session} tells the client.
"""

from __future__ import annotations

from typing import Any, Mapping

from ._goparsers import choiceIgnoringCase
from ._names import isInternalName
from ._parsers import httpURL, integer, listOf, text
from ._table import group, setting


def _authMode(values: Mapping[str, Any]) -> str:
    """
    Nobody has to configure anything: on an internal name the relay is open to its own pages, and
    on a public domain the gateway gives them tokens. Alone it wants a key, as the reference.
    """
    services = set(values["services"])
    if "relay" not in services:
        return "none"
    if "edge" in services and isInternalName(values["domain"]):
        return "none"
    return "jwt" if "gateway" in services else "api_key"


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
        shown="the public base URL where the relay runs here, else off",
        help="The URL of the UDP relay; its credentials are part of every session.",
    )
    authMode: str = setting(
        variable="UDP_RELAY_AUTH_MODE",
        aliases=("AUTH_MODE",),
        option="udp-relay-auth-mode",
        default="none",
        derive=_authMode,
        parse=choiceIgnoringCase({"none": "none", "api_key": "api_key", "jwt": "jwt"}),
        shown="none for internal names, jwt on a public domain, api_key for the relay alone",
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
        shown="generated and kept in the state directory where gateway and relay both run",
        help="The key that signs tokens, with jwt.",
    )
    previousJWTSecrets: tuple[str, ...] = setting(
        variable="AERO_RELAY_JWT_SECRETS_PREVIOUS",
        default=(),
        parse=listOf(text, "a secret"),
        secret=True,
        help="Older keys whose tokens the relay still accepts, separated by commas.",
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
        help="The aud claim of relay tokens; the relay refuses a token with another one.",
    )
    issuer: str = setting(
        variable="UDP_RELAY_ISSUER",
        option="udp-relay-issuer",
        default="",
        parse=text,
        help="The iss claim of relay tokens; the relay refuses a token with another one.",
    )
