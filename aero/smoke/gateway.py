# -*- test-case-name: aero.smoke.test.test_checks -*-
"""
Checks of sessions, DNS and the TCP tunnel (edge.md section 15, assertions 17 to 31).
"""

from __future__ import annotations

import base64
import struct
from urllib.parse import urlencode

from .client import CLOSE
from .context import Context, check, expect, expectAccepted, expectStatus, parsed
from .report import Failed, Skipped
from .site import expectHeaders

_ID = 0x5A17


def question(name: str, kind: int) -> bytes:
    """
    A DNS query (RFC 1035 section 4.1) with recursion desired.
    """
    labels = b"".join(bytes([len(part)]) + part.encode("ascii") for part in name.split("."))
    return struct.pack("!6H", _ID, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)


@check("POST /session makes a session and sets its cookie")
def session(context: Context) -> str | None:
    headers = {"Content-Type": "application/json", **context.browser(cookie=False)}
    response = context.site.request("POST", "/session", headers, b"{}")
    if response.status == 404:
        raise Skipped("no gateway answers here")
    expectStatus(response, 200, 201)
    found = parsed(response)
    cookies = response.all("set-cookie")
    if not cookies or not cookies[0].startswith("aero_session="):
        raise Failed(f"the first Set-Cookie is {cookies[:1]!r}, expected aero_session=...")
    if context.site.secure and "secure" not in cookies[0].lower():
        raise Failed("the session cookie is not Secure")
    if "httponly" not in cookies[0].lower():
        raise Failed("the session cookie is not HttpOnly")
    expectHeaders(context, response)
    context.cookie = cookies[0].partition(";")[0]
    context.session = found
    return f"services {', '.join(map(str, found.get('services', []))) or 'not told'}"


@check("the session says when it ends, and where things are")
def described(context: Context) -> str | None:
    found = context.needSession()
    times = found.get("session")
    if not isinstance(times, dict) or not isinstance(times.get("expiresAt"), str):
        raise Failed(f"session.expiresAt is not there: {times!r}")
    for name in ("tcp", "l2", "dnsQuery"):
        if not context.endpoint(name, ""):
            raise Failed(f"endpoints.{name} is not there")
    limits = found.get("limits", {}).get("l2", {})
    for name in ("maxFramePayloadBytes", "maxControlPayloadBytes"):
        if not isinstance(limits.get(name), int) or limits[name] <= 0:
            raise Failed(f"limits.l2.{name} is {limits.get(name)!r}")
    return f"frames of {limits['maxFramePayloadBytes']} bytes"


@check("a page of another site gets no session")
def foreign(context: Context) -> str | None:
    context.needSession()
    headers = {"Content-Type": "application/json", "Origin": "https://smoke-check.invalid"}
    response = context.site.request("POST", "/session", headers, b"{}")
    expectStatus(response, 403)
    expectHeaders(context, response)
    return None


@check("DNS over HTTPS answers, and refuses ANY in DNS's own words")
def dns(context: Context) -> str | None:
    context.needSession()
    text = base64.urlsafe_b64encode(question("example.com", 255)).rstrip(b"=").decode()
    path = f"{context.endpoint('dnsQuery', '/dns-query')}?dns={text}"
    response = context.site.request("GET", path, context.browser())
    expectStatus(response, 200)
    kind = (response.one("content-type") or "").partition(";")[0]
    expect(kind, "application/dns-message", "Content-Type")
    expect(response.one("cache-control"), "no-store", "Cache-Control")
    if len(response.body) < 12:
        raise Failed(f"the answer has {len(response.body)} bytes")
    identifier, flags = struct.unpack_from("!HH", response.body)
    expect(identifier, _ID, "the id of the answer")
    expect(flags & 15, 5, "the response code")
    expectHeaders(context, response)
    return None


@check("DNS over HTTPS wants a session")
def dnsWithout(context: Context) -> str | None:
    context.needSession()
    text = base64.urlsafe_b64encode(question("example.com", 255)).rstrip(b"=").decode()
    path = f"{context.endpoint('dnsQuery', '/dns-query')}?dns={text}"
    response = context.site.request("GET", path, context.browser(cookie=False))
    if response.status == 200:
        raise Skipped("this site answers everybody")
    expectStatus(response, 401)
    expectHeaders(context, response)
    return None


def _tunnel(context: Context) -> str:
    host, port = context.target
    query = urlencode({"v": 1, "host": host, "port": port})
    return f"{context.endpoint('tcp', '/tcp')}?{query}"


@check("/tcp opens a tunnel to a TCP server")
def tcp(context: Context) -> str | None:
    context.needSession()
    with context.site.webSocket(_tunnel(context), (), context.browser()) as socket:
        expectAccepted(socket)
        expectHeaders(context, socket.response)
        frame = socket.receive(1.0)
        if frame is not None and frame[0] == CLOSE:
            raise Failed(
                f"the tunnel was closed at once: {frame[1][2:].decode('utf-8', 'replace')}"
            )
    return f"{context.target[0]} port {context.target[1]}"


@check("/tcp wants a session")
def tcpWithout(context: Context) -> str | None:
    context.needSession()
    headers = context.browser(cookie=False)
    with context.site.webSocket(_tunnel(context), (), headers) as socket:
        expectStatus(socket.response, 401)
        expectHeaders(context, socket.response)
    return None


@check("/tcp reaches no private network")
def tcpPrivate(context: Context) -> str | None:
    context.needSession()
    if context.private:
        raise Skipped("it is meant to, says --private")
    path = f"{context.endpoint('tcp', '/tcp')}?v=1&host=127.0.0.1&port=80"
    with context.site.webSocket(path, (), context.browser()) as socket:
        if socket.response.status == 101:
            raise Failed("it opened a tunnel to the loopback address of its own machine")
        expectStatus(socket.response, 403)
    return None
