"""
Starting and stopping, as an operator sees it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import aero

from .support.http import Connection, request, sessionCookie
from .support.server import Aero, edgeOptions, gatewayOptions, run, runTwistd
from .support.targets import Target, echo
from .support.tools import freePort
from .support.websocket import WebSocket, tcpTarget
from .support.workers import isAlive, waitUntil


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
        One line on standard output says where the server is. The log does not repeat it, and has
        one line for each listener, with its address and its purpose.
        """
        server = self.start(*edgeOptions())
        self.assertEqual(server.lines, [f"aero ready https://localhost:{server.port}/"])
        self.assertEqual(request(server, "GET", "/healthz").json(), {"ok": True})
        self.assertEqual(server.stop(), 0)
        log = "\n".join(server.log)
        self.assertNotIn("aero ready", log)
        self.assertIn(str(server.rootCertificate), log)
        listening = [line.partition("] ")[2] for line in server.log if "listening on" in line]
        addresses = ["127.0.0.1", "[::1]"][: len(listening)]
        self.assertEqual(
            listening,
            [f"listening on {a}:{server.port} (the site over HTTPS)" for a in addresses],
        )
        self.assertNotRegex(log, r"(?i)factory| at 0x")

    def test_help(self) -> None:
        """
        C{--help} prints the manual page and C{--version} the version.
        """
        page = run("--help")
        self.assertEqual(page.returncode, 0)
        self.assertIn("--domain=  (AERO_DOMAIN)", page.stdout)
        self.assertEqual(run("-h").stdout, page.stdout)
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
        An option nobody knows is one sentence, not a page of usage, with the option that was
        probably meant.
        """
        sentence = self.refusal("--colour", "red")
        self.assertIn("--colour", sentence)
        self.assertNotIn("did you mean", sentence)
        self.assertIn("did you mean --domain?", self.refusal("--domian", "example.com"))
        self.assertIn("did you mean --https-port?", self.refusal("--https-prot=1"))
        self.assertIn("twistd -n aero", self.refusal("-n"))
        self.assertIn("twistd --logfile aero", self.refusal("--logfile=x"))
        self.assertIn("'example.com' is no option", self.refusal("example.com"))

    def test_unknownVariables(self) -> None:
        """
        Variables that look like settings and are none are named in the log with the nearest
        setting; the server starts all the same. With workers they are named once.
        """
        server = self.start(
            *edgeOptions(),
            "--workers",
            "2",
            AERO_DOMIAN="example.com",
            AERO_WHATEVER="1",
            AERO_SERVICE_HOST="10.0.0.1",
        )
        self.assertEqual(server.stop(), 0)
        found = [line.partition("#")[2] for line in server.log if "is no setting" in line]
        self.assertEqual(
            found,
            [
                "warn] AERO_DOMIAN is no setting of aero and is ignored; did you mean AERO_DOMAIN?",
                "warn] AERO_WHATEVER is no setting of aero and is ignored",
            ],
        )

    def test_missingExtra(self) -> None:
        """
        A setting that needs a package that is not installed stops the start, and the sentence
        has the command that installs it.
        """
        modules = Path(self.mktemp()).absolute()
        modules.mkdir()
        (modules / "redis.py").write_text("raise ModuleNotFoundError('No module named redis')\n")
        for options in ((), ("--workers", "2")):
            sentence = self.refusal(
                *edgeOptions(),
                *options,
                REDIS_URL="redis://:hunter2@127.0.0.1/0",
                PYTHONPATH=str(modules),
            )
            self.assertIn("REDIS_URL", sentence)
            self.assertIn("pip install 'aero-edge[redis]'", sentence)
            self.assertNotIn("hunter2", sentence)

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


def _isGone(pid: int) -> bool:
    """
    Whether a process ended.
    """
    return not isAlive(pid)


class BackgroundTests(SynchronousTestCase):
    """
    C{twistd aero}, without C{-n}: the command ends when the server is ready or has failed.
    """

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="aero-background-"))
        self.addCleanup(shutil.rmtree, self.directory, True)

    def start(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        state = {"AERO_STATE_DIR": str(self.directory / "state")}
        arguments = ("--http-port", "0", *options)
        return runTwistd((), arguments, state | variables, directory=self.directory)

    def log(self) -> str:
        path = self.directory / "twistd.log"
        return path.read_text() if path.exists() else ""

    def test_ready(self) -> None:
        """
        The command prints the ready line and ends with 0; the server goes on. Its log has the
        lines of all its processes.
        """
        for workers in ("1", "2"):
            port = str(freePort())
            result = self.start("--https-port", port, "--workers", workers)
            ready = f"aero ready https://localhost:{port}/\n"
            self.assertEqual((result.returncode, result.stdout, result.stderr), (0, ready, ""))
            pid = int((self.directory / "twistd.pid").read_text())
            try:
                self.assertEqual(os.stat(self.directory / "twistd.pid").st_mode & 0o077, 0)
                socket.create_connection(("127.0.0.1", int(port)), 10).close()
            finally:
                os.kill(pid, signal.SIGTERM)
            waitUntil(partial(_isGone, pid), "it ended")
            self.assertFalse((self.directory / "twistd.pid").exists())
            self.assertIn(ready.strip(), self.log())
            self.assertIn(f"listening on 127.0.0.1:{port} (the site over HTTPS)", self.log())
        self.assertIn("worker 1: ", self.log())

    def test_failures(self) -> None:
        """
        An error at the start ends the command at once, with the sentence on standard error and a
        status other than 0, whether it is found before or after the process left the terminal.
        Nothing is left that a later start could trip over.
        """
        bad = self.directory / "bad.pem"
        bad.write_text("nonsense")
        files = ("--tls", "files", "--tls-cert", str(bad), "--tls-key", str(bad))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            free = str(freePort())
            cases: list[tuple[tuple[str, ...], dict[str, str], str]] = [
                (("--https-port", str(port)), {}, f"port {port} on 127.0.0.1: another program"),
                (("--https-port", str(port), "--workers", "2"), {}, f"port {port} on 127.0.0.1"),
                (("--https-port", free, *files), {}, str(bad)),
                (("--https-port", free, *files, "--workers", "2"), {}, str(bad)),
                (("--https-port", free, "--state-dir", str(bad / "x")), {}, "--state-dir"),
                (
                    ("--https-port", free, "--workers", "2"),
                    {"WEBRTC_UDP_PORT_MIN": "40000", "WEBRTC_UDP_PORT_MAX": "40000"},
                    "WEBRTC_UDP_PORT_MAX",
                ),
                (("--colour", "red"), {}, "--colour"),
            ]
            for options, variables, words in cases:
                result = self.start(*options, **variables)
                self.assertEqual(result.returncode, 1, result)
                told = result.stderr.splitlines()
                self.assertEqual(len(told), 1, result)
                self.assertTrue(told[0].startswith("aero: "), result)
                self.assertIn(words, told[0])
                self.assertEqual(result.stdout, "")
                self.assertFalse((self.directory / "twistd.pid").exists(), options)
                self.assertNotIn("Traceback", self.log())

    def test_foregroundLeavesNoPIDFile(self) -> None:
        """
        A start that fails in the foreground removes the file with the process id too.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            result = runTwistd(("-n",), ("--https-port", port), directory=self.directory)
        self.assertEqual(result.returncode, 1)
        self.assertEqual([path.name for path in self.directory.iterdir()], [])

    def test_privilegedPort(self) -> None:
        """
        A port that this user may not bind is named, in both modes.
        """
        if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 1:
            raise SkipTest("every user may bind every port here")
        for options in (("-n",), ()):
            result = runTwistd(
                options,
                ("--https-port", "1", "--http-port", "0"),
                directory=self.directory,
                privileged=False,
            )
            self.assertEqual(result.returncode, 1, result)
            told = [line for line in result.stderr.splitlines() if line.startswith("aero: ")]
            self.assertEqual(len(told), 1, result)
            self.assertIn("port 1 on 127.0.0.1: ports below 1024 need the right", told[0])

    def test_unwritableDirectory(self) -> None:
        """
        A working directory that cannot be written is named with what to do, in both modes; a
        server that needs no file there starts.
        """
        readable = Path(tempfile.mkdtemp(prefix="aero-closed-"))
        self.addCleanup(shutil.rmtree, readable, True)
        readable.chmod(0o555)
        for options, words in (
            (("-n",), "--pidfile=PATH"),
            ((), "--pidfile=PATH"),
            (("--pidfile=",), "--logfile=PATH"),
            (("-n", "--pidfile=", "--rundir=/nonexistent"), "--rundir=PATH"),
            (("--pidfile=", "--logfile=-"), "twistd -n"),
        ):
            result = runTwistd(options, directory=readable, privileged=False)
            self.assertEqual(result.returncode, 1, result)
            self.assertNotIn("Traceback", result.stderr + result.stdout)
            told = [line for line in result.stderr.splitlines() if line.startswith("aero: ")]
            self.assertEqual(len(told), 1, result)
            self.assertIn(words, told[0])
        page = runTwistd(("-n",), ("--help",), directory=readable, privileged=False)
        self.assertEqual(page.returncode, 0, page)


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

    def test_damage(self) -> None:
        """
        A state directory that was restored badly stops the start with a sentence about the file,
        or is mended; lax modes are closed and named in the log.
        """
        state = Path(self.mktemp()).absolute()
        first = Aero(*edgeOptions(), state=state)
        self.assertEqual(first.stop(), 0)
        secret, key = state / "session-secret", state / "ca" / "root.key"
        for path, damage, words in (
            (secret, lambda whole: whole[:43], "cut short"),
            (secret, lambda whole: whole[:16], "cut short"),
            (secret, lambda whole: b"", "empty"),
            (key, lambda whole: whole[:100], "Restore it and root.key"),
            (key, lambda whole: b"", "Restore it and root.key"),
            (state / "ca" / "root.crt", lambda whole: whole[:100], "Restore it and root.key"),
        ):
            whole = path.read_bytes()
            path.write_bytes(damage(whole))
            result = run(*edgeOptions(), AERO_STATE_DIR=str(state))
            path.write_bytes(whole)
            self.assertEqual(result.returncode, 1, path)
            told = [line for line in result.stderr.splitlines() if line.startswith("aero: ")]
            self.assertEqual(len(told), 1, result.stderr)
            self.assertIn(words, told[0])
            self.assertIn(str(path.parent), told[0])
            self.assertNotIn("Traceback", result.stderr)
        (state / "ca").chmod(0o755)
        (state / "ca" / "site.pem").write_bytes(b"nonsense")
        for path in (secret, key, state / "ca" / "site.pem"):
            path.chmod(0o644)
        second = Aero(*edgeOptions(), state=state)
        self.addCleanup(second.kill)
        self.assertEqual(request(second, "GET", "/healthz").status, 200)
        self.assertEqual(second.stop(), 0)
        for path in (secret, key, state / "ca", state / "ca" / "site.pem"):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path)
            closed = [line for line in second.log if f"Closed the state file {path} " in line]
            self.assertEqual(len(closed), 1, path)

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
