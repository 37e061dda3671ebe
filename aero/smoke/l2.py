# -*- test-case-name: aero.smoke.test.test_checks -*-
"""
Checks of Ethernet over WebSocket (edge.md section 15, assertions 32 to 36).
"""

from __future__ import annotations

import struct

from .client import BINARY
from .context import Context, check, expectAccepted, expectStatus
from .report import Failed, Skipped
from .site import expectHeaders

PROTOCOL = "aero-l2-tunnel-v1"

#: Magic, version; then the type and the flags.
_PING = b"\xa2\x03\x01\x00"
_PONG = b"\xa2\x03\x02\x00"


def _open(context: Context, path: str, *, cookie: bool, origin: bool) -> int:
    headers = context.browser(cookie=cookie, origin=origin)
    with context.site.webSocket(path, [PROTOCOL], headers) as socket:
        if socket.response.status == 101:
            expectAccepted(socket, PROTOCOL)
        expectHeaders(context, socket.response)
        return socket.response.status


def _needL2(context: Context) -> str:
    services = context.needSession().get("services")
    if isinstance(services, list) and "l2" not in services:
        raise Skipped("this site runs no l2")
    return context.endpoint("l2", "/l2")


@check("/l2 and /eth carry a tunnel that answers its PING")
def l2(context: Context) -> str | None:
    primary = _needL2(context)
    for path in (primary, "/eth"):
        with context.site.webSocket(path, [PROTOCOL], context.browser()) as socket:
            expectAccepted(socket, PROTOCOL)
            expectHeaders(context, socket.response)
            nonce = struct.pack("!I", 0xA3505EED)
            socket.send(_PING + nonce)
            for _ in range(8):  # the server may have sent a PING of its own first
                frame = socket.receive(5.0)
                if frame is None or frame == (BINARY, _PONG + nonce):
                    break
            if frame != (BINARY, _PONG + nonce):
                raise Failed(f"{path} did not answer a PING")
    return None


@check("/l2 and /eth want what they are set to want")
def l2Without(context: Context) -> str | None:
    primary = _needL2(context)
    found = [_open(context, path, cookie=False, origin=True) for path in (primary, "/eth")]
    if found == [101, 101]:
        raise Skipped("this site asks nobody for credentials")
    if found != [401, 401]:
        raise Failed(f"without credentials the statuses are {found}, expected 401")
    return None


@check("/l2 and /eth are for pages of the site")
def l2Origin(context: Context) -> str | None:
    primary = _needL2(context)
    for path in (primary, "/eth"):
        status = _open(context, path, cookie=True, origin=False)
        if status == 101:
            raise Failed(f"{path} was opened without an Origin")
        if status != 403:
            raise Failed(f"{path} without an Origin is a {status}, expected 403")
    return None


@check("/l2 speaks no other protocol")
def l2Protocol(context: Context) -> str | None:
    primary = _needL2(context)
    with context.site.webSocket(primary, ["smoke-check"], context.browser()) as socket:
        expectStatus(socket.response, 400)
    return None
