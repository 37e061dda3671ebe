"""
aero behind other servers: the recipes of C{docs/operations.md}, with nginx, Caddy and HAProxy.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from .support.acme import Pebble, PublicAero
from .support.curl import curl
from .support.headerset import problems
from .support.http import Connection, request, sessionCookie
from .support.metrics import metric
from .support.proxies import Front
from .support.server import Aero, run
from .support.targets import Target, echo
from .support.tools import freePort
from .support.websocket import WebSocket, tcpTarget

#: What a client may send to be taken for somebody else.
SPOOFED = (
    ("X-Forwarded-For", "203.0.113.66"),
    ("Forwarded", "for=203.0.113.66;proto=http"),
    ("X-Real-IP", "203.0.113.66"),
    ("X-Forwarded-Proto", "http"),
)

USUAL = {
    "AERO_LOG_FULL_ADDRESSES": "1",
    "AERO_LOG_FORMAT": "json",
    "LOG_LEVEL": "debug",
    "TCP_ALLOW_PRIVATE_IPS": "1",
    "AERO_TRUSTED_PROXIES": "127.0.0.1",
    "ALLOWED_ORIGINS": "https://page.example.test",
    "AERO_L2_AUTH_MODE": "session",
}

CLIENT = "127.0.0.9"


class _Quiet(Aero):
    """
    A server that tests reach through its proxy only.
    """

    domain = Front.domain


def _start(*options: str, port: int, **variables: str) -> Aero:
    """
    A server that speaks plain HTTP to its proxy.
    """
    return Aero(
        *("--domain", Front.domain, "--tls", "off"),
        *("--bind", "127.0.0.1", "--port", str(port), *options),
        state=None,
        runDir=None,
        **{**USUAL, "PUBLIC_BASE_URL": f"https://{Front.domain}", **variables},
    )


@cache
def _rig(kind: str, number: int, passesTLS: bool) -> tuple[Front, Aero]:
    """
    A proxy and the server behind it, for all tests of a recipe.
    """
    port = freePort()
    if not passesTLS:
        server = _start(port=port)
        return Front(None, kind, number, port), server
    quiet = _Quiet(
        *("--domain", Front.domain, "--tls", "internal", "--bind", "127.0.0.1"),
        *("--https-port", str(port), "--http-port", "0"),
        state=None,
        runDir=None,
        **USUAL,
        AERO_PROXY_PROTOCOL="require",
    )
    return Front(quiet, kind, number, port), quiet


class _Behind:
    """
    What holds behind every proxy. Each recipe is a class of a few lines.

    @cvar kind: The kind of recipe.
    @cvar number: Which of that kind.
    @cvar passesTLS: Whether certificates are aero's own.
    """

    kind: ClassVar[str]
    number: ClassVar[int] = 0
    passesTLS: ClassVar[bool] = False

    @property
    def front(self) -> Front:
        """
        The proxy.
        """
        return _rig(self.kind, self.number, self.passesTLS)[0]

    @property
    def server(self) -> Aero:
        """
        The server behind it.
        """
        return _rig(self.kind, self.number, self.passesTLS)[1]

    def logged(self, key: str, *, since: int = 0) -> list[Any]:
        """
        The values of one field in the server's log, health checks of the proxy left out.
        """
        found = []
        for line in self.server.log[since:]:
            if line.startswith("{"):
                entry = json.loads(line)
                if key in entry and entry.get("route") != "/readyz":
                    found.append(entry[key])
        return found


class _BehindTests(_Behind):
    assertEqual: Any
    assertIn: Any
    assertTrue: Any

    def test_page(self) -> None:
        """
        The page has every header exactly once, over HTTP/2 and HTTP/1.1.
        """
        for options in ((), ("--http1.1",)):
            response = curl(self.front, "/", *options)
            self.assertEqual(response.status, 200)
            wrong = [each for each in problems(response) if " is there: " not in each]
            self.assertEqual(wrong, [])

    def test_client(self) -> None:
        """
        The client is who connects to the proxy, whatever it says about itself.
        """
        since = len(self.server.log)
        response = request(self.front, "POST", "/session", *SPOOFED)
        self.assertEqual(response.status, 201)
        self.assertIn("; Secure", response.one("Set-Cookie"))
        protocol = ("Sec-WebSocket-Protocol", "aero-l2-tunnel-v1")
        refused = WebSocket(self.front, "/l2", protocol, *SPOOFED, cookie=None)
        self.assertEqual(refused.response.status, 401)
        self.assertEqual(request(self.front, "GET", "/healthz").status, 200)
        self.assertEqual(set(self.logged("client", since=since)), {CLIENT})
        self.assertEqual(set(self.logged("client_ip", since=since)), {CLIENT})

    def test_tunnel(self) -> None:
        """
        A tunnel carries bulk both ways, and the target's end arrives as the close that it is.
        """
        data = os.urandom(1 << 20)
        with Target(echo) as target:
            page = ("Origin", "https://page.example.test")
            to = tcpTarget("127.0.0.1", target.port)
            with WebSocket(self.front, to, page) as tunnel:
                self.assertTrue(tunnel.accepted, tunnel.response)
                tunnel.send(data)
                self.assertEqual(tunnel.receiveBytes(len(data)), data)
        with (
            Target(lambda connection: connection.sendall(b"bye")) as target,
            WebSocket(self.front, tcpTarget("127.0.0.1", target.port)) as tunnel,
        ):
            self.assertEqual(tunnel.receiveBytes(3), b"bye")
            self.assertEqual(tunnel.closeCode()[0], 1000)

    def test_foreignOrigin(self) -> None:
        """
        A page of another origin gets no tunnel.
        """
        cookie = sessionCookie(self.front)
        evil = ("Origin", "https://evil.example")
        refused = WebSocket(self.front, tcpTarget("127.0.0.1", 9), evil, cookie=cookie)
        self.assertEqual(refused.response.status, 403)


class NginxTests(_BehindTests, SynchronousTestCase):
    """
    nginx that terminates TLS.
    """

    kind = "nginx"


class CaddyTests(_BehindTests, SynchronousTestCase):
    """
    Caddy that terminates TLS.
    """

    kind = "caddyfile"


class HAProxyTests(_BehindTests, SynchronousTestCase):
    """
    HAProxy that terminates TLS.
    """

    kind = "haproxy"


class NginxStreamTests(_BehindTests, SynchronousTestCase):
    """
    nginx that passes TLS on, with version 1 of the PROXY protocol.
    """

    kind, number, passesTLS = "nginx", 1, True


class HAProxyTCPTests(_BehindTests, SynchronousTestCase):
    """
    HAProxy that passes TLS on, with version 2 of the PROXY protocol.
    """

    kind, number, passesTLS = "haproxy", 1, True

    def test_stranger(self) -> None:
        """
        Nobody but the proxy can connect, with or without a header.
        """
        for data in (b"", b"PROXY TCP4 203.0.113.66 127.0.0.1 1 1\r\n"):
            with Connection(self.server.port, source=CLIENT) as connection:
                try:
                    connection.send(data)
                except OSError:
                    continue
                self.assertTrue(connection.atEnd())
        self.assertEqual(
            metric(self.front, "aero_http_proxy_headers_total", outcome="untrusted"), 2
        )


class ProxyHeaderTests(SynchronousTestCase):
    """
    PROXY headers on the listeners, where others may connect too.
    """

    def test_plain(self) -> None:
        """
        Behind something that terminates TLS: the header's client counts, a session is C{Secure} if
        the header says so, and a stranger is himself.
        """
        port = freePort()
        server = _start(port=port, AERO_PROXY_PROTOCOL="on")
        self.addCleanup(server.kill)
        overTLS = bytes.fromhex(
            "0d0a0d0a000d0a515549540a21110014c6336407c0a80001303901bb200005010000000000"[:72]
        )
        for header, secure in (
            (b"PROXY TCP4 198.51.100.7 192.168.0.1 12345 443\r\n", False),
            (overTLS, True),
        ):
            since = len(server.log)
            with Connection(port) as connection:
                connection.send(header)
                response = connection.request("POST", "/session", host=Front.domain)
                self.assertEqual(response.status, 201)
                self.assertEqual("; Secure" in response.one("Set-Cookie"), secure)
            lines = [json.loads(line) for line in server.log[since:] if '"client"' in line]
            self.assertEqual({line["client"] for line in lines}, {"198.51.100.7"})
        with Connection(port, source=CLIENT) as connection:
            self.assertEqual(connection.request("GET", "/healthz").status, 200)
        with Connection(port, source=CLIENT) as connection:
            connection.send(b"PROXY TCP4 198.51.100.7 192.168.0.1 12345 443\r\nGET /")
            self.assertTrue(connection.atEnd())
        with Connection(port) as connection:
            connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(connection.atEnd())

    def test_misconfigured(self) -> None:
        """
        Headers from nobody in particular are an error at the start.
        """
        result = run("--proxy-protocol", "on", "--tls", "off")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("AERO_TRUSTED_PROXIES", result.stderr)


class CertificateTests(SynchronousTestCase):
    """
    Certificates by ACME where a balancer has the port.
    """

    def test_alpn(self) -> None:
        """
        The authority reaches aero through what passes TLS on, and clients see the certificate.
        """
        port = freePort()
        front = Front(None, "haproxy", 1, port)
        self.addCleanup(front.stop)
        pebble = Pebble(tlsPort=front.port)
        self.addCleanup(pebble.stop)
        server = PublicAero(
            pebble,
            *("--https-port", str(port), "--http-port", "0"),
            AERO_TRUSTED_PROXIES="127.0.0.1",
            AERO_PROXY_PROTOCOL="require",
        )
        self.addCleanup(server.kill)
        server.waitUntilSaid("is good until")
        trust = ("--cacert", str(pebble.rootCertificate()))
        self.assertEqual(curl(front, "/healthz", *trust).status, 200)


class BasePathTests(SynchronousTestCase):
    """
    aero below a path of a site that has other things too.
    """

    def test_path(self) -> None:
        """
        Everything is served under the path of the public URL, the page, sessions and tunnels
        included.
        """
        port = freePort()
        server = _start(port=port, PUBLIC_BASE_URL=f"https://{Front.domain}/pc")
        self.addCleanup(server.kill)
        front = Front(None, "nginx", 0, port)
        self.addCleanup(front.stop)
        page = curl(front, "/pc/")
        self.assertEqual(page.status, 200)
        self.assertIn(b"<title>", page.body)
        response = request(front, "POST", "/pc/session")
        self.assertEqual(response.status, 201)
        endpoints = response.json()["endpoints"]
        self.assertEqual(endpoints["tcp"], "/pc/tcp")
        cookie = response.one("Set-Cookie").split(";")[0]
        with Target(echo) as target:
            to = "/pc" + tcpTarget("127.0.0.1", target.port)
            with WebSocket(front, to, cookie=cookie) as tunnel:
                self.assertTrue(tunnel.accepted, tunnel.response)
                tunnel.send(b"hello")
                self.assertEqual(tunnel.receiveBytes(5), b"hello")
