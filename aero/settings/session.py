"""
Settings of sessions and origins.
"""

from __future__ import annotations

from typing import Any, Mapping

from aero.policy.origin import allowlistEntry

from ._parsers import choice, httpURL, integer, listOf, number, text
from ._table import group, setting


def _secrets(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _publicBaseURL(values: Mapping[str, Any]) -> str:
    """
    The public origin that follows from the domain and the port (edge.md section 20.2).
    """
    domain, mode = values["domain"], values["tlsMode"]
    host = f"[{domain}]" if ":" in domain else domain
    if "edge" in values["services"] and mode != "off":
        secure, port = True, values["httpsPort"]
    elif "edge" in values["services"]:
        return f"https://{host}" if "." in domain else f"http://{host}:{values['port']}"
    else:
        secure, port, host = mode == "files", values["port"], "localhost"
    standard = 443 if secure else 80
    scheme = "https" if secure else "http"
    return f"{scheme}://{host}" if port in (0, standard) else f"{scheme}://{host}:{port}"


@group
class SessionSettings:
    """
    Sessions and origins

    Who may talk to the services, and the cookie that proves it.
    """

    publicBaseURL: str = setting(
        variable="PUBLIC_BASE_URL",
        option="public-base-url",
        default="https://localhost:8443",
        derive=_publicBaseURL,
        parse=httpURL("http", "https"),
        shown="from the domain and the port",
        help="The URL that browsers reach the services at. A path in it is a prefix that they are served under as"
        " well.",
    )
    allowedOrigins: tuple[str, ...] = setting(
        variable="ALLOWED_ORIGINS",
        option="allowed-origins",
        default=(),
        parse=listOf(allowlistEntry, "an origin"),
        shown="the origin of the public base URL",
        help="The origins that may use the services: full origins, * for any, or null.",
    )
    secret: str = setting(
        variable="AERO_GATEWAY_SESSION_SECRET",
        aliases=("SESSION_SECRET", "AERO_L2_SESSION_SECRET"),
        default="",
        parse=text,
        secret=True,
        shown="generated and kept in the state directory",
        help="The key that signs session cookies.",
    )
    previousSecrets: tuple[str, ...] = setting(
        variable="AERO_SESSION_SECRETS_PREVIOUS",
        default=(),
        parse=_secrets,
        secret=True,
        help="Older keys whose cookies are still accepted, separated by commas.",
    )
    ttl: int = setting(
        variable="SESSION_TTL_SECONDS",
        option="session-ttl",
        default=86_400,
        parse=integer(1),
        help="Seconds that a session lives after it was last renewed.",
    )
    sameSite: str = setting(
        variable="SESSION_COOKIE_SAMESITE",
        option="session-cookie-samesite",
        default="Lax",
        parse=choice("Lax", "Strict", "None"),
        help="The SameSite attribute of the session cookie.",
    )
    adminToken: str = setting(
        variable="AERO_ADMIN_TOKEN",
        default="",
        parse=text,
        secret=True,
        help="A bearer token for /session/open, where operators see the sessions with open tunnels and end them."
        " Without it that is not there.",
    )
    newPerMinutePerIP: float = setting(
        variable="AERO_SESSIONS_PER_MINUTE_PER_IP",
        option="sessions-per-minute-per-ip",
        default=120,
        parse=number(0),
        help="New sessions a minute for one IPv4 address or IPv6 /64; more is a 429. 0 is no limit.",
    )
    upgradesPerMinutePerIP: float = setting(
        variable="AERO_UPGRADES_PER_MINUTE_PER_IP",
        option="upgrades-per-minute-per-ip",
        default=1_200,
        parse=number(0),
        help="WebSocket upgrades a minute for one IPv4 address or IPv6 /64; more is a 429. 0 is no limit.",
    )
