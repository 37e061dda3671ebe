# -*- test-case-name: aero.wire.test.test_tcptarget -*-
"""
The target of a C{/tcp} tunnel in its query string (gateway.md section 12.1).

Whether the host makes sense and may be reached is for the egress policy; here it is only
found.
"""

from __future__ import annotations

from urllib.parse import unquote_plus

from aero.errors import Refused

_MAX_TARGET = 1_056
_MAX_HOST = 1_024
_MAX_SHORT = 16


def parseTarget(query: str) -> tuple[str, int]:
    """
    Find host and port.

    @param query: The query string without the question mark, still encoded.
    @return: The host without brackets, and the port.
    @raise Refused: 400, with the text of the specification.
    """
    fields = _firstFields(query)
    version = fields.get("v", "")
    if version not in ("", "1"):
        raise _refused("Unsupported TCP proxy protocol version", "target-version")
    target = fields.get("target")
    if target is not None:
        return _splitTarget(target)
    if "host" not in fields:
        raise _refused("Missing required query parameter: host")
    if "port" not in fields:
        raise _refused("Missing required query parameter: port")
    return _parseHost(fields["host"]), _parsePort(fields["port"])


def _firstFields(query: str) -> dict[str, str]:
    """
    The first value of every name that matters, form-decoded.
    """
    fields: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        name = unquote_plus(name, errors="replace")
        if name in ("v", "target", "host", "port") and name not in fields:
            fields[name] = unquote_plus(value, errors="replace")
    return fields


def _splitTarget(target: str) -> tuple[str, int]:
    if len(target) > _MAX_TARGET:
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
        return host, _parsePort(rest[1:])
    host, colon, port = target.rpartition(":")
    if not colon:
        raise _refused("Invalid target: missing port separator")
    if not host or not port:
        raise _refused("Invalid target: expected <host>:<port>")
    if ":" in host:
        raise _refused("Invalid target: IPv6 literals must use bracket form, e.g. [::1]:443")
    if "[" in host or "]" in host:
        raise _refused("Invalid target: unexpected bracket in host")
    return host, _parsePort(port)


def _parseHost(host: str) -> str:
    if len(host) > _MAX_HOST:
        raise _refused("Invalid host: too long")
    if not host:
        raise _refused("Host must not be empty")
    opening, closing = host.startswith("["), host.endswith("]")
    if opening != closing or (opening and len(host) < 2):
        raise _refused("Invalid host: mismatched brackets")
    if not opening:
        return host
    if len(host) == 2:
        raise _refused("Invalid host: empty bracketed host")
    return host[1:-1]


def _parsePort(port: str) -> int:
    """
    1 to 16 ASCII digits, leading zeros allowed.
    """
    if not 1 <= len(port) <= _MAX_SHORT or not (port.isascii() and port.isdigit()):
        raise _refused("Invalid port")
    value = int(port)
    if not 1 <= value <= 65_535:
        raise _refused("Invalid port")
    return value


def _refused(message: str, reason: str = "target") -> Refused:
    return Refused(400, "bad_request", message, reason=reason)
