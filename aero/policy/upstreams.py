# -*- test-case-name: aero.policy.test.test_upstreams -*-
"""
The DNS servers to ask, as operators write them (gateway.md section 14.6).
"""

from __future__ import annotations

import dataclasses
import re
from typing import Literal
from urllib.parse import urlsplit

from .numeric import ipv6Text, parseIPv6

#: The most characters of one entry.
MAX_UPSTREAM_CHARACTERS = 4_096

_PORTS = {"udp": 53, "tls": 853}
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}")
_PORT = re.compile(r"[0-9]{1,5}")


@dataclasses.dataclass(frozen=True, slots=True)
class Upstream:
    """
    One server to ask.

    @ivar kind: C{udp} is plain DNS, over TCP where an answer does not fit (RFC 1035); C{tls} is
        RFC 7858; C{https} is RFC 8484, also for an C{http} URL.
    @ivar host: A name or an address, IPv6 without brackets.
    @ivar port: Its port.
    @ivar url: The whole URL of C{https}; empty for the others.
    """

    kind: Literal["udp", "tls", "https"]
    host: str
    port: int
    url: str = ""

    @classmethod
    def parse(cls, text: str) -> Upstream:
        """
        Read C{host}, C{host:port}, C{[v6]} or C{[v6]:port}, alone, after C{udp://} or after
        C{tls://}; or an C{https} or C{http} URL.

        @raise ValueError: It is none of them.
        """
        entry = text.strip()
        if not entry or len(entry) > MAX_UPSTREAM_CHARACTERS:
            raise ValueError(f"expected 1 to {MAX_UPSTREAM_CHARACTERS} characters")
        scheme, separator, rest = entry.partition("://")
        if not separator:
            return cls("udp", *_hostAndPort(entry, _PORTS["udp"]))
        match scheme.lower():
            case "udp":
                return cls("udp", *_hostAndPort(rest, _PORTS["udp"]))
            case "tls":
                return cls("tls", *_hostAndPort(rest, _PORTS["tls"]))
            case "https" | "http":
                return cls("https", *_endpointOf(entry), entry)
        raise ValueError("expected udp://, tls://, https:// or http:// before the host")

    @property
    def label(self) -> str:
        """
        Its name in metrics and logs: C{host:port} without brackets, or the URL without what a
        query might carry.
        """
        return self.url.partition("?")[0] if self.url else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        if self.url:
            return self.url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls://' if self.kind == 'tls' else ''}{host}:{self.port}"


def _hostAndPort(text: str, defaultPort: int) -> tuple[str, int]:
    if text.startswith("["):
        inside, bracket, rest = text[1:].partition("]")
        address = parseIPv6(inside) if bracket else None
        if address is None or (rest and not rest.startswith(":")):
            raise ValueError("expected an IPv6 address in brackets, such as [::1]:53")
        return ipv6Text(address), _port(rest[1:]) if rest else defaultPort
    host, colon, port = text.partition(":")
    if ":" in port:
        raise ValueError("an IPv6 address needs brackets, such as [::1]:53")
    if not _HOST.fullmatch(host):
        raise ValueError("expected a host name or an IP address")
    return host.lower(), _port(port) if colon else defaultPort


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65_535:
        raise ValueError("expected a port from 1 to 65535")
    return int(text)


def _endpointOf(url: str) -> tuple[str, int]:
    """
    Check a URL and take host and port from it.
    """
    expected = "expected a URL such as https://dns.example/dns-query"
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(expected)
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise ValueError(expected) from None
    if not parts.hostname or parts.username is not None or parts.fragment or port == 0:
        raise ValueError(expected)
    return parts.hostname, port or (443 if parts.scheme == "https" else 80)
