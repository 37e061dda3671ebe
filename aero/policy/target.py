# -*- test-case-name: aero.policy.test.test_target -*-
"""
What the query of C{/tcp} asks for (gateway.md section 12.1).

Only the shape is checked here. Whether the host is one, and may be reached, is for
L{aero.policy.egress} to say.
"""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import unquote

from aero.errors import Refused

MAX_TARGET_CHARACTERS = 1_056
MAX_HOST_CHARACTERS = 1_024
MAX_PORT_CHARACTERS = 16

_PORT = re.compile(r"[0-9]{1,16}")


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """
    Where a client wants to go, not yet approved.

    @ivar host: Text without brackets.
    @ivar port: 1 to 65535.
    """

    host: str
    port: int


def parseTarget(query: str) -> Target:
    """
    Read C{v}, C{target}, C{host} and C{port} from a query string.

    @param query: What follows the question mark, still encoded.
    @raise Refused: 400, with the sentence that names the fault.
    """
    values = _firstValues(query)
    if values.get("v", "") not in ("", "1"):
        raise _refused("Unsupported TCP proxy protocol version")
    target = values.get("target")
    host, port = _splitTarget(target) if target is not None else _hostAndPort(values)
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65_535:
        raise _refused("Invalid port")
    return Target(host, int(port))


def _firstValues(query: str) -> dict[str, str]:
    """
    Decode a form, keeping the first value of each name.
    """
    values: dict[str, str] = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.replace("+", " ").partition("=")
            values.setdefault(unquote(name), unquote(value))
    return values


def _splitTarget(target: str) -> tuple[str, str]:
    if len(target) > MAX_TARGET_CHARACTERS:
        raise _refused("Invalid target: too long")
    if not target:
        raise _refused("Query parameter target must not be empty")
    if target.startswith("["):
        host, bracket, rest = target[1:].partition("]")
        if not bracket:
            raise _refused("Invalid target: missing closing bracket for IPv6 literal")
        if not host:
            raise _refused("Invalid target: empty IPv6 literal")
        if not rest.startswith(":"):
            raise _refused("Invalid target: missing port separator")
        return host, rest[1:]
    host, colon, port = target.rpartition(":")
    if not colon:
        raise _refused("Invalid target: missing port separator")
    if not host or not port:
        raise _refused("Invalid target: expected <host>:<port>")
    if ":" in host:
        raise _refused("Invalid target: IPv6 literals must use bracket form, e.g. [::1]:443")
    if "[" in host or "]" in host:
        raise _refused("Invalid target: unexpected bracket in host")
    return host, port


def _hostAndPort(values: dict[str, str]) -> tuple[str, str]:
    for name in ("host", "port"):
        if name not in values:
            raise _refused(f"Missing required query parameter: {name}")
    host, port = values["host"], values["port"]
    if len(host) > MAX_HOST_CHARACTERS:
        raise _refused("Invalid host: too long")
    if len(port) > MAX_PORT_CHARACTERS:
        raise _refused("Invalid port")
    if not host:
        raise _refused("Host must not be empty")
    if host.startswith("[") != host.endswith("]"):
        raise _refused("Invalid host: mismatched brackets")
    if host.startswith("["):
        host = host[1:-1]
        if not host:
            raise _refused("Invalid host: empty bracketed host")
    return host, port


def _refused(message: str) -> Refused:
    return Refused(400, "bad_request", message, reason="target")
