# -*- test-case-name: aero.ws.test.test_handshake -*-
"""
The opening handshake: which requests become a WebSocket, and what the others are told.

The checks look at the header lines that the client sent, repeated ones unmerged, in the order
of gateway.md section 9.2; the first that fails decides the answer. They are stricter than the
reference where RFC 6455 section 4.2.1 asks for it and no client can tell: only C{GET}, only
one C{Host}, and a key that is 16 bytes in base64.
"""

from __future__ import annotations

import binascii
import hashlib
import ipaddress
import time
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Callable, Iterable, Sequence
from urllib.parse import urlsplit

from twisted.internet.interfaces import IReactorTime

from aero.auth.sessions import Session, Sessions
from aero.errors import Refused
from aero.policy.clientaddress import Client
from aero.policy.origin import Origins
from aero.policy.quota import MakeBuckets, TokenBuckets, addressKey, localBuckets
from aero.wire.fieldlist import hasToken

Pairs = Sequence[tuple[bytes, bytes]]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: The longest C{Upgrade}, C{Connection} and C{Sec-WebSocket-Key}, and the longest version.
_MAX_VALUE, _MAX_VERSION = 256, 32
_MAX_MESSAGE_BYTES = 512

#: The words of section 9.1; other statuses have those of their RFC.
_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    414: "URI Too Long",
    426: "Upgrade Required",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True, slots=True)
class Accepted:
    """
    What a request that passed the checks said.

    @ivar key: The C{Sec-WebSocket-Key}.
    @ivar path: The path of its target, not percent-decoded.
    @ivar query: The query string of its target, without the question mark.
    @ivar session: The session of its cookie, or C{None} where none is needed.
    @ivar client: The effective client address.
    @ivar origin: The normalised origin, or C{None} where none was sent.
    @ivar offered: The lines of C{Sec-WebSocket-Protocol} as they are.
    @ivar subprotocol: The one that the endpoint chose, to be echoed.
    """

    key: bytes
    path: str
    query: str
    session: Session | None
    client: Client
    origin: str | None
    offered: tuple[bytes, ...]
    subprotocol: str | None = None

    def withSubprotocol(self, name: str) -> Accepted:
        """
        The same, with a subprotocol chosen.
        """
        return replace(self, subprotocol=name)


class UpgradeGate:
    """
    The checks that all WebSocket endpoints of a process share, and their state.

    @ivar draining: Set when the process stops: every upgrade is refused from then on.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        sessions: Sessions | None,
        origins: Origins,
        blockedClients: Iterable[str] = (),
        upgradesPerMinutePerIP: float = 0.0,
        maxTargetLength: int = 8_192,
        wallClock: Callable[[], float] = time.time,
        makeBuckets: MakeBuckets = localBuckets,
    ) -> None:
        """
        @param clock: For the rate limit.
        @param sessions: C{None} where no endpoint needs one.
        @param blockedClients: Addresses that get no WebSocket (C{TCP_BLOCKED_CLIENT_IPS}).
        @param wallClock: Seconds since the epoch, which cookies expire by.
        @param makeBuckets: Makes what the rate is kept with.
        """
        self.draining = False
        self._clock = clock
        self._sessions = sessions
        self._origins = origins
        self._blocked = frozenset(map(canonicalAddress, blockedClients))
        self._maxTargetLength = maxTargetLength
        self._wallClock = wallClock
        self._buckets: TokenBuckets | None = None
        if upgradesPerMinutePerIP > 0:
            rate = upgradesPerMinutePerIP
            self._buckets = makeBuckets("upgrades", rate / 60.0, max(1.0, rate))

    def admit(self, request: Any, *, needsSession: bool = True) -> Accepted:
        """
        Run the checks.

        @param request: The L{aero.http.request.AeroRequest}.
        @param needsSession: Whether a valid session cookie is one of them.
        @raise Refused: One of them failed.
        """
        self._checkDraining()
        if len(request.uri) > self._maxTargetLength:
            raise Refused(414, "url_too_long", "Request URL too long", reason="url")
        path, query = parseTarget(request.uri)
        lines = request.requestHeaders.getRawHeaders
        key = checkHeaders(request.method, request.clientproto, lambda name: lines(name) or ())
        client = request.client
        self.limitRate(client.ip)
        session = None
        if needsSession:
            if self._sessions is not None:
                cookies = lines(b"Cookie") or ()
                session = self._sessions.fromCookies(cookies, self._wallClock())
            if session is None:
                raise _noSession()
        self.checkAddress(client.ip)
        return Accepted(
            key=key,
            path=path,
            query=query,
            session=session,
            client=client,
            origin=self._checkOrigin(lines(b"Origin") or (), lines(b"Host") or (), client.secure),
            offered=tuple(lines(b"Sec-WebSocket-Protocol") or ()),
        )

    def checkAgain(self, accepted: Accepted) -> None:
        """
        Check what may have changed while the endpoint prepared for a client.

        @raise Refused: The process is stopping, or the client's session has ended.
        """
        self._checkDraining()
        session = accepted.session
        if session is None or self._sessions is None:
            return
        if not self._sessions.isAlive(session, self._wallClock()):
            raise _noSession()

    def _checkDraining(self) -> None:
        if self.draining:
            raise Refused(503, "unavailable", "Shutting down", reason="draining")

    def limitRate(self, ip: str) -> None:
        """
        @raise Refused: This address asks for too many upgrades.
        """
        if self._buckets is None:
            return
        wait = self._buckets.take(addressKey(ip), self._clock.seconds())
        if wait > 0:
            raise Refused(
                429, "too_many_requests", "Too many upgrades", reason="rate", retryAfter=wait
            )

    def checkAddress(self, ip: str) -> None:
        """
        @raise Refused: This address gets no WebSocket.
        """
        if self._blocked and canonicalAddress(ip) in self._blocked:
            raise Refused(403, "forbidden", "Client IP blocked", reason="client-ip")

    def _checkOrigin(
        self, origins: Sequence[bytes], hosts: Sequence[bytes], secure: bool
    ) -> str | None:
        if not origins or (len(origins) == 1 and not origins[0].strip()):
            return None
        decision = self._origins.allow(origins, hosts, "https" if secure else "http")
        if not decision.allowed:
            raise Refused(403, "forbidden", "Origin not allowed", reason="origin")
        return decision.origin


def parseTarget(target: bytes) -> tuple[str, str]:
    """
    Split a request target, in any of its forms, into path and query (row 3).

    @return: The path with its dot segments resolved but not percent-decoded, and the query.
    @raise Refused: It is no URL.
    """
    text = target.decode("latin-1")
    try:
        if not text.startswith("/") or text.startswith("//"):
            parts = urlsplit(text, "http")
            if parts.scheme not in ("http", "https", "ws", "wss"):
                raise ValueError("not an HTTP target")
            if not parts.hostname or (parts.port or 0) < 0:
                raise ValueError("no host")
            path, query = parts.path or "/", parts.query
        else:
            path, _, query = text.partition("#")[0].partition("?")
    except ValueError:
        raise Refused(400, "bad_request", "Invalid request URL", reason="url") from None
    return _withoutDots(path), query


def checkHeaders(method: bytes, version: bytes, lines: Callable[[bytes], Sequence[bytes]]) -> bytes:
    """
    Check the request line and the headers of the handshake (rows 5 to 8).

    @param lines: Gives the lines of a header, unmerged.
    @return: The key.
    @raise Refused: The first thing that is wrong.
    """
    if method != b"GET" or version != b"HTTP/1.1" or len(lines(b"Host")) != 1:
        raise _invalid()
    if not hasToken([_single(lines(b"Upgrade"))], b"websocket"):
        raise _invalid()
    if not hasToken([_single(lines(b"Connection"))], b"upgrade"):
        raise _invalid()
    if _single(lines(b"Sec-WebSocket-Version"), _MAX_VERSION).strip() != b"13":
        raise _invalid("version")
    keys = lines(b"Sec-WebSocket-Key")
    if not keys or (len(keys) == 1 and not keys[0].strip()):
        raise Refused(
            400,
            "bad_request",
            "Missing required header: Sec-WebSocket-Key",
            reason="handshake",
        )
    key = _single(keys).strip()
    try:
        if len(key) != 24 or len(binascii.a2b_base64(key, strict_mode=True)) != 16:
            raise _invalid()
    except binascii.Error:
        raise _invalid() from None
    return key


def acceptHash(key: bytes) -> bytes:
    """
    The C{Sec-WebSocket-Accept} of a key (RFC 6455 section 4.2.2).
    """
    digest = hashlib.sha1(key.strip() + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False)


def switchingProtocols(key: bytes, subprotocol: str | None, pairs: Pairs) -> bytes:
    """
    The whole 101.

    @param subprotocol: Left out unless it is a token.
    @param pairs: The header set of the site.
    """
    head = [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + acceptHash(key) + b"\r\n"
    ]
    if subprotocol:
        name = subprotocol.encode("utf-8")
        if _TOKEN.issuperset(name):
            head.append(b"Sec-WebSocket-Protocol: " + name + b"\r\n")
    head.extend(name + b": " + value + b"\r\n" for name, value in pairs)
    head.append(b"\r\n")
    return b"".join(head)


def rejection(refused: Refused, pairs: Pairs, end: bytes = b"\n") -> bytes:
    """
    The whole response to a request that does not become a WebSocket (section 9.1).

    @param pairs: The header set of the site.
    @param end: What the body ends with.
    """
    phrase = _PHRASES.get(refused.status, "Error")
    body = (_oneLine(refused.message) or phrase).encode("utf-8") + end
    return refusalResponse(refused, pairs, b"text/plain; charset=utf-8", body)


def refusalResponse(refused: Refused, pairs: Pairs, contentType: bytes, body: bytes) -> bytes:
    """
    Put a refusal together, whatever form its body has.

    @param pairs: The header set of the site.
    """
    phrase = _PHRASES.get(refused.status, "Error").encode()
    head = [
        b"HTTP/1.1 %d %b\r\n" % (refused.status, phrase),
        b"Content-Type: %b\r\nContent-Length: %d\r\n" % (contentType, len(body)),
        b"Cache-Control: no-store\r\nConnection: close\r\n",
    ]
    if refused.retryAfter is not None:
        head.append(b"Retry-After: %d\r\n" % max(1, -int(-refused.retryAfter // 1)))
    if refused.status == 405:
        head.append(b"Allow: GET,HEAD\r\n")
    if refused.reason == "version":
        head.append(b"Sec-WebSocket-Version: 13\r\n")
    taken = {b"content-type", b"content-length", b"cache-control", b"connection"}
    for name, value in pairs:
        if name.lower() not in taken:
            head.append(name + b": " + value + b"\r\n")
    head.append(b"\r\n")
    head.append(body)
    return b"".join(head)


def canonicalAddress(ip: str) -> str:
    """
    An address in the one spelling in which it can be compared: an IPv4 address in IPv6
    clothes (C{::ffff:192.0.2.1}) as IPv4. What is no address is given back in lower case.
    """
    text = ip.strip().strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text.lower()
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _invalid(reason: str = "handshake") -> Refused:
    return Refused(400, "bad_request", "Invalid WebSocket upgrade", reason=reason)


def _noSession() -> Refused:
    return Refused(401, "unauthorized", "Unauthorized", reason="session")


def _single(lines: Sequence[bytes], limit: int = _MAX_VALUE) -> bytes:
    """
    The value of a header that may stand there once only.
    """
    if len(lines) != 1 or len(lines[0]) > limit:
        raise _invalid()
    return lines[0]


def _oneLine(message: str) -> str:
    """
    A message as one line of at most 512 bytes; empty for one that has no text to show.
    """
    text = " ".join(message.split())
    if not text.isprintable():
        return ""
    cut = text.encode("utf-8", "replace")[:_MAX_MESSAGE_BYTES]
    return cut.decode("utf-8", "ignore")


def _withoutDots(path: str) -> str:
    """
    Resolve dot segments (RFC 3986 section 5.2.4).
    """
    if "." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
            continue
        if last:
            kept.append("")
    return "/" + "/".join(kept)
