# -*- test-case-name: aero.policy.test.test_iceservers -*-
"""
The STUN and TURN servers that clients are told of, and which of them this server asks itself
(relay.md section 8.1).

A list that cannot be used does not stop the start: the pages that need it say what is wrong with
it. URLs are read whole (RFC 7064, RFC 7065), so that a mistake shows here and not in every
browser.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Sequence

_VARIABLE = "AERO_ICE_SERVERS_JSON"
_SCHEMES = ("stun", "stuns", "turn", "turns")
_MAX_SERVERS = 64
_URL = re.compile(
    r"(?P<scheme>stuns?|turns?):(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])"
    r"(:(?P<port>[0-9]{1,5}))?(\?transport=(?P<transport>udp|tcp))?"
)


class IceServersError(ValueError):
    """
    The list cannot be used. Its text is fit for clients: it repeats no credential.
    """


@dataclass(frozen=True, slots=True)
class IceServer:
    """
    One entry.

    @ivar urls: At least one URL.
    @ivar username: Empty where there is none.
    @ivar credential: Empty where there is none.
    """

    urls: tuple[str, ...]
    username: str = ""
    credential: str = ""

    @property
    def isRelay(self) -> bool:
        """
        Whether one of its URLs is that of a TURN server.
        """
        return any(url.startswith(("turn:", "turns:")) for url in self.urls)

    def told(self, username: str = "", credential: str = "") -> dict[str, Any]:
        """
        What a browser is told of it.

        @param username: What replaces its own, with the credential.
        """
        name = username or self.username
        secret = credential or self.credential
        value: dict[str, Any] = {"urls": list(self.urls)}
        if name:
            value["username"] = name
        if secret:
            value["credential"] = secret
        return {**value, "credentialType": "password"}


@dataclass(frozen=True, slots=True)
class IceURL:
    """
    One URL, taken apart.

    @ivar scheme: C{stun}, C{stuns}, C{turn} or C{turns}.
    @ivar host: A name, or an address without brackets.
    @ivar port: The port, the usual one where it says none.
    @ivar transport: C{udp} or C{tcp}.
    """

    scheme: str
    host: str
    port: int
    transport: str


def parseURL(text: str) -> IceURL:
    """
    Read one URL.

    @raise IceServersError: It is none of a STUN or TURN server.
    """
    scheme = text.partition(":")[0]
    if scheme not in _SCHEMES or ":" not in text:
        raise IceServersError("unsupported url scheme")
    found = _URL.fullmatch(text)
    secure = scheme.endswith("s")
    if found is None or (found["transport"] and scheme.startswith("stun")):
        raise IceServersError("malformed url")
    port = int(found["port"] or (5_349 if secure else 3_478))
    if not 0 < port < 65_536:
        raise IceServersError("malformed url")
    transport = found["transport"] or ("tcp" if secure else "udp")
    return IceURL(scheme, found["host"].strip("[]"), port, transport)


def parseServers(
    text: str, *, stun: str, turn: str, username: str, credential: str, hasSecret: bool
) -> tuple[IceServer, ...]:
    """
    Read the list, or make it of the variables that are simpler.

    @param text: C{AERO_ICE_SERVERS_JSON}; where it is blank the others count.
    @param stun: C{AERO_STUN_URLS}.
    @param turn: C{AERO_TURN_URLS}.
    @param username: C{AERO_TURN_USERNAME}.
    @param credential: C{AERO_TURN_CREDENTIAL}.
    @param hasSecret: Whether TURN servers may go without credentials, because each client gets
        its own.
    @raise IceServersError: It cannot be used.
    """
    if text.strip():
        return _fromJSON(text, hasSecret)
    servers: list[IceServer] = []
    stunURLs, turnURLs = _split(stun), _split(turn)
    if stunURLs:
        _checkURLs(stunURLs, "AERO_STUN_URLS")
        servers.append(IceServer(stunURLs))
    if turnURLs:
        _checkURLs(turnURLs, "AERO_TURN_URLS")
        name = username.strip()
        if (not name or not credential.strip()) and (name or credential.strip() or not hasSecret):
            raise IceServersError(
                "AERO_TURN_URLS needs AERO_TURN_USERNAME and AERO_TURN_CREDENTIAL"
            )
        servers.append(IceServer(turnURLs, name, credential if credential.strip() else ""))
    return tuple(servers)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _checkURLs(urls: Sequence[str], where: str) -> None:
    for url in urls:
        try:
            parseURL(url)
        except IceServersError as error:
            raise IceServersError(f"{where}: {error}") from None


def _fromJSON(text: str, hasSecret: bool) -> tuple[IceServer, ...]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise IceServersError(f"{_VARIABLE}: expected a JSON array") from None
    if not isinstance(value, list):
        raise IceServersError(f"{_VARIABLE}: expected a JSON array")
    if len(value) > _MAX_SERVERS:
        raise IceServersError(f"{_VARIABLE}: expected at most {_MAX_SERVERS} servers")
    servers = []
    for index, entry in enumerate(value):
        where = f"{_VARIABLE}: iceServers[{index}]"
        servers.append(_entry(entry, where, hasSecret))
    return tuple(servers)


def _entry(entry: Any, where: str, hasSecret: bool) -> IceServer:
    if not isinstance(entry, dict):
        raise IceServersError(f"{where}: expected an object")
    raw = entry.get("urls")
    listed = [raw] if isinstance(raw, str) else raw
    if listed is None:
        listed = []
    if not isinstance(listed, list) or not all(isinstance(url, str) for url in listed):
        raise IceServersError(f"{where}: urls must be a string or an array of strings")
    urls = tuple(url.strip() for url in listed if url.strip())
    if not urls:
        raise IceServersError(f"{where}: missing urls")
    _checkURLs(urls, where)
    username, credential = entry.get("username") or "", entry.get("credential") or ""
    if not isinstance(username, str) or not isinstance(credential, str):
        raise IceServersError(f"{where}: username and credential must be strings")
    server = IceServer(urls, username.strip(), credential if credential.strip() else "")
    if server.isRelay and not (hasSecret and not server.username and not server.credential):
        if not server.username:
            raise IceServersError(f"{where}: turn urls require username")
        if not server.credential:
            raise IceServersError(f"{where}: turn urls require credential")
    return server
