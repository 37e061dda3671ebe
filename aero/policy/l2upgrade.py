# -*- test-case-name: aero.policy.test.test_l2upgrade -*-
"""
What the handshake of an Ethernet tunnel has to look like, where it may come from, and at which
host it may arrive (l2.md sections 5, 7 and 8).

Every refusal is the reference's, word for word, because its clients and its operators know them.
"""

from __future__ import annotations

import re
from typing import Callable, Iterable, Sequence

from aero.errors import Refused

from .hostname import normalizeName, splitAuthority
from .origin import Origins, normalizeOrigin

#: Gives the lines of a header, unmerged.
Lines = Callable[[bytes], Sequence[bytes]]

_CODES = {
    400: "bad_request",
    403: "forbidden",
    405: "method_not_allowed",
    426: "upgrade_required",
}
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_VISIBLE = re.compile(rb"[\t -~]*")
_SPACE = re.compile(r"\s")
_PORT = re.compile(r"[0-9]{1,5}")


def checkHandshake(method: bytes, version: bytes, lines: Lines) -> bytes:
    """
    Rows 1 to 6 of section 5.

    @param version: C{HTTP/1.1}, or what else the request came by.
    @return: The C{Sec-WebSocket-Key}.
    @raise Refused: The first thing that is wrong.
    """
    if method != b"GET":
        raise refusal(405, "Request method must be `GET`", "method")
    if not any(b"upgrade" in line.lower() for line in lines(b"Connection")):
        raise refusal(400, "Connection header did not include 'upgrade'", "handshake")
    if _first(lines(b"Upgrade")).lower() != b"websocket":
        raise refusal(400, "`Upgrade` header did not include 'websocket'", "handshake")
    if _first(lines(b"Sec-WebSocket-Version")) != b"13":
        raise refusal(400, "`Sec-WebSocket-Version` header did not include '13'", "version")
    key = _first(lines(b"Sec-WebSocket-Key"))
    if not key:
        raise refusal(400, "`Sec-WebSocket-Key` header missing", "handshake")
    if version != b"HTTP/1.1":
        raise refusal(
            426,
            "WebSocket request couldn't be upgraded since no upgrade state was present",
            "handshake",
        )
    return key


def checkOrigin(origins: Origins, originLines: Sequence[bytes], hosts: Sequence[bytes]) -> str:
    """
    The procedure of section 7.1.

    @param hosts: What the client may have taken for this host, for the same-host policy.
    @return: The normalised origin.
    @raise Refused: With the reason C{origin_missing}, C{origin_invalid} or
        C{origin_not_allowed}.
    """
    if len(originLines) > 1:
        raise refusal(403, "invalid Origin header: multiple values", "origin_invalid")
    raw = originLines[0].strip() if originLines else b""
    if not raw or not _VISIBLE.fullmatch(raw):
        raise refusal(403, "missing Origin header", "origin_missing")
    origin = normalizeOrigin(raw.decode("ascii"))
    if origin is None:
        text = raw.decode("ascii")
        raise refusal(403, f"invalid Origin header: {text}", "origin_invalid")
    if any(origins.allow([raw], [host]).allowed for host in hosts or [b""]):
        return origin
    raise refusal(403, f"Origin not allowed: {origin}", "origin_not_allowed")


class HostAllowlist:
    """
    The hosts that tunnels may be opened at (section 8).
    """

    def __init__(self, entries: Iterable[str]) -> None:
        """
        @param entries: As the operator wrote them; those that are no host match nothing.
        """
        self._entries = tuple(entries)
        self._byScheme: dict[str, frozenset[str]] = {}

    def __bool__(self) -> bool:
        """
        Whether hosts are checked at all.
        """
        return bool(self._entries)

    def check(self, host: bytes | None, scheme: str) -> None:
        """
        Decide about one request.

        @param scheme: C{http} or C{https}, or as a WebSocket's URL has it; it decides which port
            goes without saying.
        @raise Refused: With the reason C{host_missing}, C{host_invalid} or
            C{host_not_allowed}.
        """
        if host is None:
            raise refusal(403, "missing Host header", "host_missing")
        normalized = normalizeHost(host.decode("latin-1"), scheme)
        if normalized is None:
            raise refusal(403, "malformed Host header", "host_invalid")
        if scheme not in self._byScheme:
            spelled = (normalizeHost(entry, scheme) for entry in self._entries)
            self._byScheme[scheme] = frozenset(filter(None, spelled))
        if normalized not in self._byScheme[scheme]:
            raise refusal(403, f"Host not allowed: {normalized}", "host_not_allowed")


def hostScheme(forwardedProto: bytes | None, originLines: Sequence[bytes], secure: bool) -> str:
    """
    The scheme of the URL that a client used, as far as anything tells.

    @param forwardedProto: What a proxy that is believed says.
    @param secure: Whether the connection is TLS.
    """
    said = (forwardedProto or b"").strip(b' \t"').lower().decode("latin-1")
    if said in _DEFAULT_PORTS:
        return said
    if originLines:
        scheme = originLines[0].partition(b"://")[0].strip().lower().decode("latin-1")
        if scheme in _DEFAULT_PORTS:
            return scheme
    return "https" if secure else "http"


def normalizeHost(text: str, scheme: str) -> str | None:
    """
    The one spelling of a host, as L{normalizeName} gives it, without the port that its scheme has
    anyway. An address stays as it is written.

    @return: C{None} for what is no host.
    """
    host = text.partition(",")[0].strip()
    if len(host) >= 2 and host.startswith('"') and host.endswith('"'):
        host = host[1:-1]
    if not host or _SPACE.search(host) or not host.isprintable():
        return None
    parts = splitAuthority(host)
    if parts is None:
        return None
    host, port = parts
    if host.startswith("["):
        name = host.lower() if len(host) > 3 else None
    else:
        name = normalizeName(host)
    if name is None:
        return None
    if port is None:
        return name
    if not _PORT.fullmatch(port) or int(port) > 65_535:
        return None
    number = int(port)
    return name if number == _DEFAULT_PORTS[scheme] else f"{name}:{number}"


def refusal(status: int, body: str, reason: str) -> Refused:
    """
    A refusal of the upgrade whose body is a text of the reference.
    """
    return Refused(status, _CODES[status], body, reason=reason)


def _first(lines: Sequence[bytes]) -> bytes:
    return lines[0].strip(b" \t") if lines else b""
