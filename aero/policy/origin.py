# -*- test-case-name: aero.policy.test.test_origin -*-
"""
Web origins: one spelling for each, and which of them may use the services.

Two programs that read an origin differently are a way around an allowlist, so the grammar
is the narrow one of gateway.md section 3.3 and the host is read as the URL standard reads it.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Sequence

from .hostname import normalizeHost, splitAuthority
from .numeric import parseIPv4

#: The most characters of an C{Origin} or C{Host} that are looked at.
MAX_ORIGIN_CHARACTERS = 4_096

#: What ECMAScript's C{trim} removes; Python's C{strip} also takes some control characters.
_WHITE = (
    "\t\n\v\f\r \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(r"(https?)://([^/]+)/?", re.IGNORECASE)
_NOT_IN_ORIGIN = re.compile(r"[^!-~]|[%,{}`\\?#]")
_NOT_IN_HOST = re.compile(r"[^!-~]|[%,/?#\\@]")


def normalizeOrigin(raw: str) -> str | None:
    """
    Give the one spelling of an origin (gateway.md section 3.3).

    @return: C{scheme://host[:port]}, or C{null} for the opaque origin, or C{None} where the
        text is not an origin.
    """
    text = raw.strip(_WHITE)
    if not text or len(text) > MAX_ORIGIN_CHARACTERS:
        return None
    if text == "null":
        return text
    found = None if _NOT_IN_ORIGIN.search(text) else _ORIGIN.fullmatch(text)
    if found is None:
        return None
    scheme = found[1].lower()
    authority = _normalizeAuthority(scheme, found[2])
    return None if authority is None else f"{scheme}://{authority}"


def allowlistEntry(text: str) -> str:
    """
    Read one entry of an allowlist: an origin, C{null}, or C{*} for every origin.

    A star inside of a host is refused although the URL standard allows it there: it would
    match no page, and whoever wrote it meant subdomains.

    @raise ValueError: It is none of them.
    """
    entry = text.strip(_WHITE)
    origin = "*" if entry == "*" else normalizeOrigin(entry)
    if origin is None or "*" in origin[1:]:
        raise ValueError(
            f'Invalid origin "{text}". Expected a full origin like "https://example.com".'
        )
    return origin


@dataclasses.dataclass(frozen=True, slots=True)
class OriginDecision:
    """
    What became of a request's C{Origin}.

    @ivar origin: The normalised origin; C{None} where none was sent, or none that can be read.
    @ivar allowed: Whether the request may go on; true where none was sent.
    """

    origin: str | None
    allowed: bool


_ABSENT = OriginDecision(None, True)
_UNREADABLE = OriginDecision(None, False)


class Origins:
    """
    The origins that may use the services (gateway.md section 3.2).

    @param allowed: Entries as L{allowlistEntry} gives them. None at all stands for the origin
        of the request's own C{Host}.
    @raise ValueError: An entry is not an origin.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(originKey(allowlistEntry(entry)) for entry in allowed)
        self._any = "*" in self._allowed

    def allow(
        self,
        originLines: Sequence[bytes],
        hostLines: Sequence[bytes] = (),
        scheme: str | None = None,
    ) -> OriginDecision:
        """
        Decide about one request.

        @param originLines: Every C{Origin} header line. Two of them are refused, because which
            one counts would depend on who reads them.
        @param hostLines: Every C{Host} header line, for the same-host policy.
        @param scheme: For the same-host policy, the scheme of the request where an origin of
            another scheme is not to be taken for the same site; C{None} compares hosts only.
        """
        if not originLines:
            return _ABSENT
        if len(originLines) > 1:
            return _UNREADABLE
        raw = originLines[0].decode("latin-1")
        if not raw.strip(" \t"):
            return _ABSENT
        origin = normalizeOrigin(raw)
        if origin is None:
            return _UNREADABLE
        if self._allowed:
            return OriginDecision(origin, self._any or originKey(origin) in self._allowed)
        return OriginDecision(origin, _isSameHost(origin, hostLines, scheme))


def originKey(origin: str) -> str:
    """
    Give what two origins are compared by. The dot of the root stays in an origin, because a browser
    compares C{Access-Control-Allow-Origin} with what it sent; it means nothing here.

    @param origin: As L{normalizeOrigin} gives it.
    """
    scheme, _, authority = origin.partition("://")
    host, colon, port = authority.partition(":")
    return f"{scheme}://{host[:-1]}{colon}{port}" if host.endswith(".") else origin


def comparedOrigin(raw: str) -> str | None:
    """
    Read an origin and give what it is compared by; C{None} where the text is not an origin.
    """
    origin = normalizeOrigin(raw)
    return None if origin is None else originKey(origin)


def _isSameHost(origin: str, hostLines: Sequence[bytes], scheme: str | None) -> bool:
    if origin == "null" or len(hostLines) != 1:
        return False
    originScheme = origin.partition("://")[0]
    if scheme is not None and scheme != originScheme:
        return False
    host = hostLines[0].decode("latin-1").strip(_WHITE)
    if not host or len(host) > MAX_ORIGIN_CHARACTERS or _NOT_IN_HOST.search(host):
        return False
    authority = _normalizeAuthority(originScheme, host)
    return authority is not None and originKey(f"{originScheme}://{authority}") == originKey(origin)


def _normalizeAuthority(scheme: str, authority: str) -> str | None:
    """
    Normalise C{host[:port]}: no credentials, no empty port, no default port.
    """
    parts = splitAuthority(authority)
    if parts is None:
        return None
    name, port = parts
    host = normalizeHost(name)
    if host is None:
        return None
    if name.endswith(".") and parseIPv4(host) is None:
        host += "."
    if port is None:
        return host
    number = int(port) if port.isdigit() and port.isascii() else 0
    if not 1 <= number <= 65_535:
        return None
    return host if number == _DEFAULT_PORTS[scheme] else f"{host}:{number}"
