# -*- test-case-name: aero.policy.test.test_l2backend -*-
"""
What a backend for Ethernet is shown of the client that a data channel belongs to (relay.md
sections 13.3 and 13.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Sequence
from urllib.parse import quote, urlsplit, urlunsplit

#: The protocol that the backend has to choose, and what a token is offered as.
TUNNEL = "aero-l2-tunnel-v1"
TOKEN_PREFIX = "aero-l2-token."  # noqa: S105 (a name)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_COOKIE = b"aero_session"
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xff\"\\;,]")


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """
    One handshake.

    @ivar url: Where to, with what the query string carries.
    @ivar protocols: What is offered, the tunnel first.
    @ivar origin: Empty for none.
    @ivar cookie: The value of C{Cookie}; empty for none.
    @ivar secrets: What is not to be seen in a log.
    """

    url: str
    protocols: tuple[str, ...]
    origin: str
    cookie: str
    secrets: tuple[str, ...]


def backendRequest(
    url: str,
    *,
    mode: str,
    token: str,
    credential: str | None,
    originOverride: str,
    forwardOrigin: bool,
    origin: str,
    forwardSession: bool,
    cookies: Sequence[bytes],
) -> BackendRequest:
    """
    Decide what is sent.

    @param mode: C{none}, C{query} or C{subprotocol}: how the credential is passed on.
    @param token: The token of this relay's own; empty for none.
    @param credential: What admitted the client, or C{None}.
    @param originOverride: What replaces the client's origin; empty for nothing.
    @param origin: The client's origin.
    @param cookies: The C{Cookie} lines of the client's request.
    @raise ValueError: The credential cannot be offered as a subprotocol.
    """
    protocols = [TUNNEL]
    if credential and mode == "query":
        url = _withCredential(url, credential)
    offered = token or (credential if mode == "subprotocol" else "")
    if offered:
        entry = TOKEN_PREFIX + offered
        if not _TOKEN.fullmatch(entry):
            raise ValueError("the credential is no token that a subprotocol could carry")
        protocols.append(entry)
    shown = originOverride or (origin if forwardOrigin else "")
    session = rawSession(cookies) if forwardSession else None
    return BackendRequest(
        url,
        tuple(protocols),
        shown,
        "" if session is None else f"aero_session={session}",
        tuple(secret for secret in (credential, token, session) if secret),
    )


def rawSession(cookies: Sequence[bytes]) -> str | None:
    """
    The first session cookie as it was sent, which may be empty.

    @return: C{None} where there is none, or one that no header can carry.
    """
    for line in cookies:
        for part in line[:16_384].split(b";"):
            name, equals, value = part.partition(b"=")
            if equals and name.strip() == _COOKIE:
                text = value.strip().decode("latin-1")
                return None if _UNSAFE.search(text) else text
    return None


def _withCredential(url: str, credential: str) -> str:
    """
    Set C{token} and C{apiKey}, and keep the other parameters as they are.
    """
    parts = urlsplit(url)
    value = quote(credential, safe="", errors="surrogateescape")
    kept = [
        part
        for part in parts.query.split("&")
        if part and part.partition("=")[0] not in ("token", "apiKey")
    ]
    query = "&".join([*kept, f"apiKey={value}", f"token={value}"])
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))
