"""
Starting and stopping, as an operator sees it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import aero

from .support.http import Connection, request, sessionCookie
from .support.server import Aero, edgeOptions, gatewayOptions, run
from .support.targets import Target, echo
from .support.websocket import WebSocket, tcpTarget


class StartTests(SynchronousTestCase):
    """
    C{twistd -n aero} starts, or says in one sentence why not.
    """

    def start(self, *options: str, **variables: str) -> Aero:
        server = Aero(*options, state=None, runDir=None, **variables)
        self.addCleanup(server.kill)
        return server

    def refusal(self, *options: str, **variables: str) -> str:
        """
        Start a server that must not start, and give the sentence.
        """
        result = run(*options, **variables)
        self.assertNotEqual(result.returncode, 0)
        self.assertNotIn("Traceback", result.stderr + result.stdout)
        lines = [line for line in result.stderr.splitlines() if line.startswith("aero: ")]
        self.assertEqual(len(lines), 1, result.stderr + result.stdout)
        return lines[0]

    def test_readyLine(self) -> None:
        """
        One line on standard output says where the server is, and the log says the same.
        """
        server = self.start(*edgeOptions())
        self.assertEqual(server.lines, [f"aero ready https://localhost:{server.port}/"])
        self.assertEqual(request(server, "GET", "/healthz").json(), {"ok": True})
        self.assertEqual(server.stop(), 0)
        log = "\n".join(server.log)
        self.assertIn(server.lines[0], log)
        self.assertIn(str(server.rootCertificate), log)

    def test_help(self) -> None:
        """
        C{--help} prints the manual page and C{--version} the version.
        """
        page = run("--help")
        self.assertEqual(page.returncode, 0)
        self.assertIn("--domain=  (AERO_DOMAIN)", page.stdout)
        self.assertEqual(run("--version").stdout, f"aero {aero.__version__}\n")

    def test_unknownService(self) -> None:
        """
        A service nobody knows is named, with those that are known.
        """
        self.assertEqual(
            self.refusal("--services", "gateway,radio"),
            "aero: Invalid configuration: --services=gateway,radio: 'radio' is not a service:"
            " expected one of edge, gateway, l2, relay",
        )

    def test_unknownOption(self) -> None:
        """
        An option nobody knows is one sentence, not a page of usage.
        """
        self.assertIn("--colour", self.refusal("--colour", "red"))

    def test_portInUse(self) -> None:
        """
        A taken port is named with its address and the option that chooses another.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            sentence = self.refusal("--https-port", str(port), "--http-port", "0")
        self.assertEqual(
            sentence,
            f"aero: cannot listen on port {port} on 127.0.0.1: another program uses it; choose another with"
            " --https-port",
        )

    def test_missingKeyFile(self) -> None:
        """
        A key file that is not there is named with its variable.
        """
        certificate = Path(self.mktemp())
        certificate.write_text("")
        sentence = self.refusal(
            "--tls",
            "files",
            "--tls-cert",
            str(certificate.absolute()),
            "--tls-key",
            "/nonexistent/key.pem",
        )
        self.assertIn("TLS_KEY_PATH", sentence)
        self.assertIn("/nonexistent/key.pem", sentence)

    def test_filesWithoutPaths(self) -> None:
        """
        Certificates from files need both paths (gateway.md A13).
        """
        self.assertIn(
            "TLS_CERT_PATH is required", self.refusal("--services", "gateway", TLS_ENABLED="1")
        )

    def test_unwritableState(self) -> None:
        """
        A state directory that cannot be written is named with its option.
        """
        blocked = Path(self.mktemp())
        blocked.write_text("a file, not a directory")
        sentence = self.refusal("--state-dir", str(blocked.absolute() / "state"))
        self.assertIn("--state-dir", sentence)
        self.assertIn(str(blocked), sentence)

    def test_missingFrontEnd(self) -> None:
        """
        A front-end directory that is not there stops the start (edge.md E98).
        """
        self.assertIn(
            "AERO_FRONTEND_ROOT", self.refusal(*edgeOptions(), AERO_FRONTEND_ROOT="/nonexistent")
        )

    def test_otherReactor(self) -> None:
        """
        A reactor that aero cannot run on is refused with what to do.
        """
        result = run(reactor="select")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("--reactor=asyncio", result.stderr)

    def test_appThatIsNone(self) -> None:
        """
        A composition root that cannot be imported is named.
        """
        self.assertIn("--app=no.such.App", self.refusal("--app", "no.such.App"))

    def test_internalNameWithPublicCA(self) -> None:
        """
        No public CA certifies an internal name, and the sentence says what to do.
        """
        self.assertIn("--tls internal", self.refusal("--tls", "acme"))


class StateTests(SynchronousTestCase):
    """
    What survives a restart.
    """

    def test_secretSurvives(self) -> None:
        """
        A cookie from before a restart is still good after it; secrets are nobody else's
        (edge.md E80, E81).
        """
        state = Path(self.mktemp()).absolute()
        first = Aero(*edgeOptions(), state=state)
        cookie = sessionCookie(first)
        root = first.rootCertificate.read_bytes()
        self.assertEqual(first.stop(), 0)
        second = Aero(*edgeOptions(), state=state, TCP_ALLOW_PRIVATE_IPS="1")
        self.addCleanup(second.kill)
        self.assertEqual(second.rootCertificate.read_bytes(), root)
        with (
            Target(echo) as target,
            WebSocket(second, tcpTarget("127.0.0.1", target.port), cookie=cookie) as tunnel,
        ):
            self.assertTrue(tunnel.accepted)
        self.assertEqual(stat.S_IMODE(os.stat(state).st_mode), 0o700)
        for path in state.rglob("*"):
            if path.is_file() and path.suffix not in (".crt",):
                self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path)

    def test_givenSecret(self) -> None:
        """
        Two processes with the same SESSION_SECRET accept each other's cookies, and no secret
        file is written (edge.md E83).
        """
        one = Aero(*gatewayOptions(), SESSION_SECRET="the same for both", TCP_ALLOW_PRIVATE_IPS="1")
        self.addCleanup(one.kill)
        two = Aero(*gatewayOptions(), SESSION_SECRET="the same for both", TCP_ALLOW_PRIVATE_IPS="1")
        self.addCleanup(two.kill)
        with Target(echo) as target:
            cookie = sessionCookie(one)
            with WebSocket(two, tcpTarget("127.0.0.1", target.port), cookie=cookie) as socket:
                self.assertTrue(socket.accepted)
        self.assertFalse(any("secret" in path.name for path in one.state.rglob("*")))


class StopTests(SynchronousTestCase):
    """
    SIGTERM and SIGINT drain.
    """

    def test_drain(self) -> None:
        """
        Readiness turns first, a tunnel gets its close frame with 1001, and the status is 0
        (edge.md E93).
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            server = Aero(*gatewayOptions(), TCP_ALLOW_PRIVATE_IPS="1", AERO_DRAIN_DELAY_MS="1500")
            self.addCleanup(server.kill)
            with (
                Target(echo) as target,
                WebSocket(server, tcpTarget("127.0.0.1", target.port)) as tunnel,
            ):
                tunnel.send(b"before")
                self.assertEqual(tunnel.receiveBytes(6), b"before")
                with Connection.to(server) as connection:
                    self.assertEqual(connection.request("GET", "/readyz").status, 200)
                    server.sendSignal(number)
                    deadline = time.monotonic() + 10
                    while (answer := request(server, "GET", "/readyz")).status == 200:
                        self.assertLess(time.monotonic(), deadline, "readiness never turned")
                    self.assertEqual((answer.status, answer.json()), (503, {"ok": False}))
                self.assertEqual(tunnel.closeCode()[0], 1001)
            self.assertEqual(server.wait(), 0)

    def test_secondSignal(self) -> None:
        """
        A second SIGTERM does not wait for a client that never leaves.
        """
        server = Aero(*gatewayOptions(), SHUTDOWN_GRACE_MS="600000", AERO_DRAIN_DELAY_MS="600000")
        self.addCleanup(server.kill)
        server.sendSignal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while request(server, "GET", "/readyz").status == 200:
            self.assertLess(time.monotonic(), deadline, "readiness never turned")
        server.sendSignal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0)

    def test_graceEnds(self) -> None:
        """
        A client that never finishes its request does not keep the process past the grace.
        """
        server = Aero(*gatewayOptions(), SHUTDOWN_GRACE_MS="500")
        self.addCleanup(server.kill)
        with Connection.to(server) as connection:
            connection.send(
                b"POST /session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
            )
            self.assertEqual(request(server, "GET", "/healthz").status, 200)
            self.assertEqual(server.stop(), 0)


class LogTests(SynchronousTestCase):
    """
    Logs for people and for programs.
    """

    def test_jsonWithoutCredentials(self) -> None:
        """
        Each JSON log line is an object, and none holds a token or a tunnel's query string.
        """
        server = Aero(
            *gatewayOptions(),
            "--log-format",
            "json",
            "--log-level",
            "debug",
            TCP_ALLOW_PRIVATE_IPS="1",
        )
        self.addCleanup(server.kill)
        cookie = sessionCookie(server)
        with (
            Target(echo) as target,
            WebSocket(server, tcpTarget("127.0.0.1", target.port), cookie=cookie) as tunnel,
        ):
            tunnel.send(b"x")
            tunnel.receiveBytes(1)
        request(server, "GET", f"/l2?token={cookie.partition('=')[2]}")
        self.assertEqual(server.stop(), 0)
        self.assertTrue(server.log)
        for line in server.log:
            self.assertIsInstance(json.loads(line), dict)
        text = "\n".join(server.log)
        self.assertNotIn(cookie.partition("=")[2], text)
        self.assertNotIn(f"port={target.port}", text)
