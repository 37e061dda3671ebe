"""
Settings of what several processes and machines share.
"""

from __future__ import annotations

from ._parsers import choice, milliseconds
from ._table import group, setting


def _redisURL(value: str) -> str:
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError(
            "expected a URL such as redis://host:6379/0, rediss://... (TLS) or unix://..."
        )
    return value


def _prefix(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value or len(value) > 64:
        raise ValueError("expected at most 64 visible ASCII characters")
    return value


@group
class FleetSettings:
    """
    Several machines

    Limits, locks and revocations hold for all workers of one process by themselves, and for several
    processes and machines through Redis. What is set here as C{open} holds in each process alone
    while Redis is away; C{closed} refuses.
    """

    redisURL: str = setting(
        variable="REDIS_URL",
        default="",
        parse=_redisURL,
        secret=True,
        help="The Redis that every process of the site uses; user and password may be in the URL. It needs the"
        " package redis: pip install 'aero-edge[redis]'.",
    )
    redisPrefix: str = setting(
        variable="AERO_REDIS_PREFIX",
        option="redis-prefix",
        default="aero:",
        parse=_prefix,
        help="What the keys in Redis begin with, for several sites that share one.",
    )
    redisTimeout: float = setting(
        variable="AERO_REDIS_TIMEOUT_MS",
        option="redis-timeout-ms",
        default=0.5,
        parse=milliseconds(1),
        shown="500",
        help="Milliseconds that Redis has for an answer; then it is away, and asked again a second later.",
    )
    awayLimits: str = setting(
        variable="AERO_REDIS_AWAY_LIMITS",
        option="redis-away-limits",
        default="open",
        parse=choice("open", "closed"),
        help="What happens to tunnels for a session or address while Redis is away.",
    )
    awayLocks: str = setting(
        variable="AERO_REDIS_AWAY_LOCKS",
        option="redis-away-locks",
        default="open",
        parse=choice("open", "closed"),
        help="What happens to the one relay session of a token while Redis is away.",
    )
    awayRates: str = setting(
        variable="AERO_REDIS_AWAY_RATES",
        option="redis-away-rates",
        default="open",
        parse=choice("open", "closed"),
        help="What happens to requests with a limit for each address while Redis is away.",
    )
