# -*- test-case-name: aero.smoke.test.test_checks -*-
"""
Checks of the datagram relay (edge.md section 15, assertions 11 to 15, 21 to 24 and 37 to 40).
"""

from __future__ import annotations

import json
import socket as sockets
import struct
from urllib.parse import urlencode

from .client import BINARY, TEXT, Response
from .context import Context, check, expect, expectAccepted, expectStatus, parsed
from .report import Failed, Skipped
from .site import expectHeaders

_ENDPOINTS = {
    "webrtcSignal": "/webrtc/signal",
    "webrtcOffer": "/webrtc/offer",
    "webrtcIce": "/webrtc/ice",
    "udp": "/udp",
}
_GUEST_PORT = 54_321
_PAYLOAD = b"aero-udp-smoke"


def _expectNotKept(response: Response) -> None:
    expect(response.one("cache-control"), "no-store", "Cache-Control")
    expect(response.one("pragma"), "no-cache", "Pragma")
    expect(response.one("expires"), "0", "Expires")


def _withToken(context: Context, path: str) -> str:
    token = context.credential()
    return f"{path}?{urlencode({'token': token})}" if token else path


@check("the session gives what the relay asks for")
def described(context: Context) -> str | None:
    relay = context.needRelay()
    expect(relay.get("endpoints"), _ENDPOINTS, "udpRelay.endpoints")
    mode = relay.get("authMode")
    if mode not in ("none", "api_key", "jwt"):
        raise Failed(f"udpRelay.authMode is {mode!r}")
    if mode != "none" and not relay.get("token"):
        raise Failed(f"udpRelay.token is missing with {mode}")
    return f"authMode {mode}"


@check("POST /udp-relay/token gives a fresh credential")
def token(context: Context) -> str | None:
    relay = context.needRelay()
    response = context.site.request("POST", "/udp-relay/token", context.browser(), b"")
    expectStatus(response, 200, 201)
    found = parsed(response)
    expect(found.get("authMode"), relay.get("authMode"), "authMode")
    if relay.get("authMode") == "api_key":
        expect(found.get("token") == relay.get("token"), True, "the key is the session's:")
    elif relay.get("authMode") == "jwt" and not found.get("token"):
        raise Failed("the token is missing")
    return None


@check("/webrtc/ice lists servers and is never kept")
def ice(context: Context) -> str | None:
    context.needRelay()
    headers = {**context.browser(), "X-API-Key": context.credential()}
    if not headers["X-API-Key"]:
        del headers["X-API-Key"]
    response = context.site.request("GET", "/webrtc/ice", headers)
    expectStatus(response, 200)
    expect(response.one("content-type"), "application/json", "Content-Type")
    servers = parsed(response).get("iceServers")
    if not isinstance(servers, list):
        raise Failed("the answer has no iceServers")
    _expectNotKept(response)
    expectHeaders(context, response)
    return f"{len(servers)} servers"


@check("/webrtc/ice wants a credential, and its refusal is never kept")
def iceWithout(context: Context) -> str | None:
    relay = context.needRelay()
    if relay.get("authMode") == "none":
        raise Skipped("this relay asks nobody for credentials")
    response = context.site.request("GET", "/webrtc/ice", context.browser(cookie=False))
    expectStatus(response, 401)
    _expectNotKept(response)
    expectHeaders(context, response)
    return None


@check("/webrtc/signal accepts a credential and stays open")
def signal(context: Context) -> str | None:
    context.needRelay()
    path = _withToken(context, "/webrtc/signal")
    with context.site.webSocket(path, (), context.browser()) as socket:
        expectAccepted(socket)
        frame = socket.receive(0.3)
        if frame is not None:
            raise Failed(f"it said {frame[1][:120]!r}")
        socket.send(b"", 9)
        answer = socket.receive(5.0)
        if answer is None or answer[0] != 10:
            raise Failed("it was closed")
    return None


@check("/udp is ready, and carries a datagram there and back")
def udp(context: Context) -> str | None:
    context.needRelay()
    path = _withToken(context, "/udp")
    with context.site.webSocket(path, (), context.browser()) as socket:
        expectAccepted(socket)
        frame = socket.receive(5.0)
        if frame is None or frame[0] != TEXT:
            raise Failed(f"the first message is {frame!r}, expected text")
        first = json.loads(frame[1])
        expect(first.get("type"), "ready", "the type of the first message")
        if context.echo is None:
            return "ready; no --udp-echo was named"
        host, port = context.echo
        remote = sockets.inet_aton(sockets.gethostbyname(host))
        socket.send(struct.pack("!H4sH", _GUEST_PORT, remote, port) + _PAYLOAD)
        answer = socket.receive(5.0)
        wanted = (
            struct.pack("!H4sH", _GUEST_PORT, remote, port) + _PAYLOAD,
            b"\xa2\x02\x04\x00" + struct.pack("!H4sH", _GUEST_PORT, remote, port) + _PAYLOAD,
        )
        if answer is None:
            raise Failed(f"no datagram came back from {host}:{port}")
        if answer[0] != BINARY or answer[1] not in wanted:
            raise Failed(f"what came back is {answer[1][:120]!r}")
    return f"echoed by {host}:{port}"
