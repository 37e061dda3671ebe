"""
The smoke program against real deployments, whole and broken.
"""

from __future__ import annotations

import functools
import io
from typing import Any, Sequence

from twisted.trial.unittest import SynchronousTestCase

from aero.smoke.__main__ import main

from .support.faults import Fault, FaultyProxy
from .support.frontend import sharedRoot
from .support.proxies import Front
from .support.server import Aero
from .support.targets import Target, echo
from .support.tools import freePort


def without(name: str) -> Fault:
    """
    Drop a header.
    """
    return lambda target, lines: [
        line for line in lines if not line.lower().startswith(name.lower() + ":")
    ]


def added(line: str, path: str = "") -> Fault:
    """
    Add a line to the answers to one path, or to all.
    """
    return lambda target, lines: [*lines, line] if target.startswith(path) else lines


def replaced(name: str, value: str, path: str = "") -> Fault:
    """
    Give a header another value.
    """

    def change(target: str, lines: list[str]) -> list[str]:
        if not target.startswith(path):
            return lines
        return [
            f"{name}: {value}" if line.lower().startswith(name.lower() + ":") else line
            for line in lines
        ]

    return change


def status(path: str, line: str) -> Fault:
    """
    Answer one path with another status.
    """
    return lambda target, lines: (
        [f"HTTP/1.1 {line}", *lines[1:]] if target.partition("?")[0] == path else lines
    )


@functools.cache
def _plainServer() -> tuple[int, FaultyProxy]:
    """
    The port of a server without TLS, and a proxy in front of it, for all tests.
    """
    port = freePort()
    proxy = FaultyProxy(port)
    server = Aero(
        "--tls",
        "off",
        "--port",
        str(port),
        "--frontend-root",
        sharedRoot(),
        ALLOWED_ORIGINS=f"http://127.0.0.1:{port},http://127.0.0.1:{proxy.port}",
        PUBLIC_BASE_URL=f"http://127.0.0.1:{port}",
        SESSION_SECRET="0123456789abcdef",
        TCP_ALLOW_PRIVATE_IPS="1",
        AERO_SESSIONS_PER_MINUTE_PER_IP="0",
        AERO_UPGRADES_PER_MINUTE_PER_IP="0",
    )
    assert server.process.poll() is None
    return port, proxy


class _Split(Front):
    """
    The recipe for services that are processes of their own.

    @ivar ports: Theirs: edge, gateway, l2, relay.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = ports
        super().__init__(None, "nginx", 2, ports[0])

    def _adapted(self, text: str, backend: int) -> str:
        for number, port in zip((8080, 8081, 8082, 8083), self.ports, strict=True):
            text = text.replace(f"127.0.0.1:{number};", f"127.0.0.1:{port};")
        return super()._adapted(text, backend)


def _behind(front: Front | None, port: int = 0) -> dict[str, Any]:
    """
    The variables of a server with everything, behind a proxy or not.
    """
    url = f"http://127.0.0.1:{port}" if front is None else front.url
    return {
        "AERO_FRONTEND_ROOT": sharedRoot(),
        "AERO_DOMAIN": "localhost" if front is None else front.domain,
        "AERO_L2_AUTH_MODE": "session",
        "AERO_TRUSTED_PROXIES": "127.0.0.0/8",
        "ALLOWED_ORIGINS": url,
        "AUTH_MODE": "jwt",
        "HOST": "127.0.0.1",
        "JWT_SECRET": "a secret of gateway and relay",
        "PUBLIC_BASE_URL": url,
        "SESSION_SECRET": "0123456789abcdef",
        "TCP_ALLOW_PRIVATE_IPS": "1",
        "UDP_RELAY_BASE_URL": url,
    }


class SmokeTests(SynchronousTestCase):
    """
    C{python -m aero.smoke}.
    """

    def setUp(self) -> None:
        self.target = Target(echo)
        self.addCleanup(self.target.__exit__)
        self.port, self.proxy = _plainServer()

    def smoke(self, url: str, *more: str) -> tuple[int, str]:
        """
        Run it.

        @return: Exit status and report.
        """
        stream = io.StringIO()
        arguments = ["--asset", "/assets/x.wasm", "--private"]
        arguments += ["--tcp-target", f"127.0.0.1:{self.target.port}"]
        code = main([url, *arguments, *more], stream)
        return code, stream.getvalue()

    def broken(self, fault: Fault) -> str:
        """
        Run it against a broken deployment.

        @return: The lines that say so.
        """
        self.proxy.fault = fault
        code, report = self.smoke(f"http://127.0.0.1:{self.proxy.port}/")
        self.assertEqual(code, 1, report)
        return "\n".join(line for line in report.splitlines() if line.startswith("FAIL"))

    def test_bare(self) -> None:
        """
        The process by itself passes.
        """
        code, report = self.smoke(f"http://127.0.0.1:{self.port}/")
        self.assertEqual(code, 0, report)
        self.assertIn("ok   /tcp opens a tunnel", report)

    def test_overTLS(self) -> None:
        """
        So does the edge with its own certificate, its redirect and HSTS, and not for those who
        do not trust that certificate.
        """
        https, http = freePort(), freePort()
        variables: dict[str, Any] = {"TCP_ALLOW_PRIVATE_IPS": "1"}
        server = Aero("--https-port", str(https), "--http-port", str(http), **variables)
        self.addCleanup(server.stop)
        url = f"https://localhost:{https}/"
        more = ["--http-port", str(http), "--asset", ""]
        code, report = self.smoke(url, "--cacert", str(server.rootCertificate), *more)
        self.assertEqual(code, 0, report)
        self.assertIn("ok   plain HTTP is redirected to the site", report)
        code, report = self.smoke(url, *more)
        self.assertEqual(code, 1)
        self.assertIn("CERTIFICATE_VERIFY_FAILED", report)

    def behind(self, front: Front, *more: str) -> str:
        """
        Run it through a proxy with a certificate of its own; nothing may fail.
        """
        arguments = ["--cacert", str(front.rootCertificate), "--connect-to", "127.0.0.1"]
        code, report = self.smoke(front.url, *arguments, *more)
        self.assertEqual(code, 0, report)
        return report

    def test_behindProxies(self) -> None:
        """
        A server behind nginx passes, and one behind Caddy, as their recipes say.
        """
        for kind in ("nginx", "caddyfile"):
            port = freePort()
            front = Front(None, kind, 0, port)
            self.addCleanup(front.stop)
            server = Aero("--tls", "off", "--port", str(port), **_behind(front))
            self.addCleanup(server.stop)
            report = self.behind(front)
            self.assertIn("ok   /l2 and /eth carry a tunnel", report)
            self.assertIn("ok   /udp is ready", report)

    def test_workers(self) -> None:
        """
        Two workers pass as one server.
        """
        port = freePort()
        variables = _behind(None, port) | {"AERO_WORKERS": "2"}
        server = Aero("--tls", "off", "--port", str(port), **variables)
        self.addCleanup(server.stop)
        code, report = self.smoke(f"http://127.0.0.1:{port}/")
        self.assertEqual(code, 0, report)

    def test_splitRoles(self) -> None:
        """
        So do four processes, one for each service, behind one nginx.
        """
        ports = [freePort() for _ in range(4)]
        front = _Split(ports)
        self.addCleanup(front.stop)
        shared = _behind(front) | {
            "AERO_EDGE_HEADERS": "1",
            "AERO_SITE_SERVICES": "edge,gateway,l2,relay",
        }
        for service, port in zip(("edge", "gateway", "l2", "relay"), ports, strict=True):
            listening = {
                "l2": ("--l2-listen", f"127.0.0.1:{port}"),
                "relay": ("--relay-listen-addr", f"127.0.0.1:{port}"),
            }.get(service, ("--bind", "127.0.0.1", "--port", str(port)))
            root = ("--frontend-root", sharedRoot()) if service == "edge" else ()
            server = Aero("--services", service, "--tls", "off", *listening, *root, **shared)
            self.addCleanup(server.stop)
        report = self.behind(front)
        self.assertIn("ok   /l2 and /eth carry a tunnel", report)
        self.assertIn("ok   /webrtc/signal accepts a credential", report)

    def test_soundProxy(self) -> None:
        """
        A proxy that changes nothing breaks nothing.
        """
        self.proxy.fault = None
        code, report = self.smoke(f"http://127.0.0.1:{self.proxy.port}/")
        self.assertEqual(code, 0, report)

    def test_nobodyThere(self) -> None:
        """
        Where nobody listens every check that needs somebody fails.
        """
        code, report = self.smoke(f"http://127.0.0.1:{freePort()}/")
        self.assertEqual(code, 1)
        self.assertIn("Connection refused", report)

    def test_missingHeader(self) -> None:
        """
        Fault 1: a proxy that drops COEP.
        """
        found = self.broken(without("Cross-Origin-Embedder-Policy"))
        self.assertIn("the page is there", found)
        self.assertIn("Cross-Origin-Embedder-Policy is missing", found)

    def test_doubledHeader(self) -> None:
        """
        Fault 2: a proxy that adds what was there already.
        """
        found = self.broken(added("Cross-Origin-Opener-Policy: same-origin"))
        self.assertIn("Cross-Origin-Opener-Policy is there 2 times", found)

    def test_headersOfRefusals(self) -> None:
        """
        Fault 3: headers on pages only, not on what is not there.
        """
        drop = without("Cross-Origin-Resource-Policy")
        found = self.broken(
            lambda target, lines: drop(target, lines) if " 404 " in lines[0] else lines
        )
        self.assertIn("a script that is not there", found)
        self.assertNotIn("the page is there", found)

    def test_policy(self) -> None:
        """
        Fault 4: a policy that forbids WebAssembly.
        """
        found = self.broken(
            replaced("Content-Security-Policy", "connect-src 'self'; script-src 'self'")
        )
        self.assertIn("Content-Security-Policy has no script-src 'self' 'wasm-unsafe-eval'", found)

    def test_cachedPage(self) -> None:
        """
        Fault 5: a CDN that keeps the page.
        """
        drop = replaced("Cache-Control", "public, max-age=600")
        found = self.broken(lambda target, lines: drop(target, lines) if target == "/" else lines)
        self.assertIn("Cache-Control is 'public, max-age=600', expected 'no-cache'", found)

    def test_wrongType(self) -> None:
        """
        Fault 6: WebAssembly under the type of a download.
        """
        found = self.broken(replaced("Content-Type", "application/octet-stream", "/assets/"))
        self.assertIn("expected 'application/wasm'", found)

    def test_noUpgrades(self) -> None:
        """
        Fault 7: a proxy that passes no upgrade on.
        """
        found = self.broken(status("/tcp", "400 Bad Request"))
        self.assertIn("/tcp opens a tunnel to a TCP server: status is 400, expected 101", found)

    def test_wrongAccept(self) -> None:
        """
        Fault 8: somebody else answers the handshake.
        """
        found = self.broken(replaced("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        self.assertIn("Sec-WebSocket-Accept is not the answer to the key", found)

    def test_down(self) -> None:
        """
        Fault 9: a gateway that is away behind a proxy that is not.
        """
        found = self.broken(status("/session", "502 Bad Gateway"))
        self.assertIn("POST /session makes a session and sets its cookie: status is 502", found)

    def test_openToAll(self) -> None:
        """
        Fault 10: a cache that gives one client's answer to others.
        """
        found = self.broken(replaced("Cache-Control", "public, max-age=60", "/dns-query"))
        self.assertIn("Cache-Control is 'public, max-age=60', expected 'no-store'", found)

    def test_lostCookie(self) -> None:
        """
        Fault 11: a proxy that drops cookies.
        """
        found = self.broken(without("Set-Cookie"))
        self.assertIn("the first Set-Cookie is [], expected aero_session=", found)
