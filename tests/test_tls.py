"""
TLS and the redirect to it, seen by clients that check (edge.md E01 to E14).
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Callable

from twisted.trial.unittest import SynchronousTestCase

from .support.curl import curl
from .support.duplex import DuplexTLS
from .support.headerset import problems
from .support.http import Connection, Response, request
from .support.server import PATIENCE, Aero, edgeOptions, shared
from .support.tools import freePort, require


def openssl(*arguments: str, feed: bytes = b"") -> str:
    """
    Run C{openssl} and give all it said.
    """
    result = subprocess.run(
        [require("openssl"), *arguments],
        input=feed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        check=False,
    )
    return result.stdout.decode("utf-8", "replace")


def client(server: Aero, *arguments: str, feed: bytes = b"") -> str:
    """
    Run C{openssl s_client} against a server.
    """
    return openssl(
        "s_client",
        "-connect",
        f"127.0.0.1:{server.port}",
        "-CAfile",
        str(server.rootCertificate),
        *arguments,
        feed=feed,
    )


def presented(server: Aero, name: str | None = "localhost") -> bytes:
    """
    The certificate that a client sees, in DER.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as raw,
        context.wrap_socket(raw, server_hostname=name) as secure,
    ):
        certificate = secure.getpeercert(binary_form=True)
    if certificate is None:
        raise AssertionError("no certificate was sent")
    return certificate


def waitFor(condition: Callable[[], bool], what: str) -> None:
    """
    Look again and again until something is so.
    """
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it never happened: {what}")
        time.sleep(0.02)


class InternalTests(SynchronousTestCase):
    """
    The internal CA.
    """

    def test_firstStart(self) -> None:
        """
        curl that trusts the root and nothing else is served over TLS (E01).
        """
        response = curl(shared("edge"), "/healthz")
        self.assertEqual((response.status, json.loads(response.body)), (200, {"ok": True}))

    def test_untrusted(self) -> None:
        """
        A client that does not know the root refuses the server.
        """
        server = shared("edge")
        with self.assertRaises(ssl.SSLCertVerificationError):
            Connection(server.port, tls=ssl.create_default_context())

    def test_chain(self) -> None:
        """
        OpenSSL's strictest checks pass for every name of this machine.
        """
        server = shared("edge")
        for check in (
            ("-servername", "localhost", "-verify_hostname", "localhost"),
            ("-noservername", "-verify_ip", "127.0.0.1"),
            ("-noservername", "-verify_ip", "::1"),
        ):
            said = client(server, *check, "-x509_strict", "-verify_return_error")
            self.assertIn("Verify return code: 0 (ok)", said)

    def test_rootDot(self) -> None:
        """
        C{https://localhost.} is the same site: in SNI, C{Host} and C{Origin}, in a fetch, a session
        and the redirect from plain HTTP; a percent-encoded name is no name of the site.
        """
        server = shared("edge")
        host = f"LOCALHOST.:{server.port}"
        origin = f"https://localhost.:{server.port}"
        context = server.tlsContext("http/1.1")
        context.check_hostname = False  # Python does not take the dot for the root's
        with Connection(server.port, tls=context, serverName="localhost.") as connection:
            response = connection.request("GET", "/healthz", ("Origin", origin), host=host)
            self.assertEqual(response.status, 200)
            self.assertEqual(response.one("Access-Control-Allow-Origin"), origin)
            response = connection.request("POST", "/session", ("Origin", origin), host=host)
            self.assertEqual(response.status, 201)
            response = connection.request(
                "GET", "/healthz", ("Origin", origin.replace("t.", "t..")), host=host
            )
            self.assertEqual(response.status, 403)
            response = connection.request("GET", "/healthz", host="local%68ost")
            self.assertEqual(response.status, 421)

    def test_restart(self) -> None:
        """
        A restart changes neither root nor certificate, and a lost certificate is made anew
        from the same root, so old clients go on (E02, E03).
        """
        state = Path(self.mktemp()).absolute()
        first = Aero(*edgeOptions(), state=state)
        self.addCleanup(first.kill)
        context = first.tlsContext("http/1.1")
        root, leaf = first.rootCertificate.read_bytes(), presented(first)
        self.assertEqual(first.stop(), 0)
        second = Aero(*edgeOptions(), state=state)
        self.addCleanup(second.kill)
        self.assertEqual(presented(second), leaf)
        self.assertEqual(second.stop(), 0)
        (state / "ca" / "site.pem").unlink()
        third = Aero(*edgeOptions(), state=state)
        self.addCleanup(third.kill)
        self.assertEqual(third.rootCertificate.read_bytes(), root)
        self.assertNotEqual(presented(third), leaf)
        with Connection(third.port, tls=context) as connection:
            self.assertEqual(connection.request("GET", "/healthz").status, 200)

    def test_damagedRoot(self) -> None:
        """
        A damaged root is not quietly replaced: the start is refused and the file stays.
        """
        state = Path(self.mktemp()).absolute()
        first = Aero(*edgeOptions(), state=state)
        self.assertEqual(first.stop(), 0)
        (state / "ca" / "root.key").unlink()
        with self.assertRaises(AssertionError) as caught:
            Aero(*edgeOptions(), state=state)
        self.assertIn("root.crt cannot be used", str(caught.exception))
        self.assertNotIn("Traceback", str(caught.exception))
        self.assertTrue(first.rootCertificate.exists())


class ProtocolTests(SynchronousTestCase):
    """
    Versions, ciphers, ALPN, names, resumption.
    """

    def test_oldVersions(self) -> None:
        """
        TLS 1.0 and 1.1 are refused with the alert that says why (E04).
        """
        server = shared("edge")
        for version in ("-tls1", "-tls1_1"):
            said = client(server, version, "-cipher", "ALL:@SECLEVEL=0", "-servername", "localhost")
            self.assertRegex(said, r"alert protocol version|SSL alert number 70", version)
            self.assertNotIn("BEGIN CERTIFICATE", said)

    def test_currentVersions(self) -> None:
        """
        TLS 1.2 and 1.3 are spoken, with forward secrecy.
        """
        server = shared("edge")
        for option, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            said = client(server, option, "-servername", "localhost")
            self.assertRegex(said, rf"New, {version}, Cipher is (ECDHE|TLS_AES|TLS_CHACHA)")

    def test_weakCiphers(self) -> None:
        """
        A client that can only do key exchange without forward secrecy, or CBC, is refused.
        """
        server = shared("edge")
        for cipher in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA"):
            said = client(server, "-tls1_2", "-cipher", cipher, "-servername", "localhost")
            self.assertIn("Cipher is (NONE)", said)
            self.assertIn("handshake failure", said)

    def test_alpn(self) -> None:
        """
        HTTP/2 is chosen where the client offers it, HTTP/1.1 where it does not or says
        nothing, and a client that wants something else is refused (E05).
        """
        server = shared("edge")
        for offered, chosen in (
            (("h2", "http/1.1"), "h2"),
            (("http/1.1", "h2"), "h2"),
            (("http/1.1",), "http/1.1"),
            ((), None),
        ):
            with Connection(server.port, tls=server.tlsContext(*offered)) as connection:
                assert isinstance(connection.socket, DuplexTLS)
                self.assertEqual(connection.socket.selected_alpn_protocol(), chosen)
                if chosen != "h2":
                    self.assertEqual(connection.request("GET", "/healthz").status, 200)
        self.assertEqual(curl(server, "/healthz").reason, "2")
        self.assertEqual(curl(server, "/healthz", "--http1.1").reason, "1.1")
        with self.assertRaises(ssl.SSLError):
            Connection(server.port, tls=server.tlsContext("imap"))

    def test_foreignName(self) -> None:
        """
        A client that asks for another name, one below or one alike, sees no certificate (E06).
        """
        server = shared("edge")
        for name in ("other.example", "sub.localhost", "localhost.example", "xlocalhost"):
            said = client(server, "-servername", name)
            self.assertIn("no peer certificate available", said, name)
            self.assertNotIn("BEGIN CERTIFICATE", said, name)

    def test_noNameOnPublicDomain(self) -> None:
        """
        On a public domain a client without a name sees no certificate either (E06).
        """
        server = shared(
            "edge", "--domain", "example.test", "--tls", "internal", "--bind", "127.0.0.1"
        )
        self.assertIn("no peer certificate available", client(server, "-noservername"))
        said = client(server, "-servername", "localhost")
        self.assertIn("no peer certificate available", said)
        said = client(server, "-servername", "example.test", "-verify_hostname", "example.test")
        self.assertIn("Verify return code: 0 (ok)", said)

    def test_resumption(self) -> None:
        """
        A session is resumed on the next connection, in both versions.
        """
        server = shared("edge")
        ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        for version in ("-tls1_2", "-tls1_3"):
            kept = str(Path(self.mktemp()).absolute())
            common = (version, "-servername", "localhost", "-ign_eof")
            said = client(server, *common, "-sess_out", kept, feed=ask)
            self.assertIn("\nNew, ", said)
            self.assertIn('{"ok":true}', said)
            said = client(server, *common, "-sess_in", kept, feed=ask)
            self.assertIn("\nReused, ", said)
            self.assertIn('{"ok":true}', said)

    def test_renegotiation(self) -> None:
        """
        A client cannot make the server do the handshake again and again.
        """
        said = client(shared("edge"), "-tls1_2", "-servername", "localhost", feed=b"R\n")
        self.assertIn("no renegotiation", said)

    def test_plainHTTP(self) -> None:
        """
        Plain HTTP on the TLS port gets an answer or an end, and the process goes on (E11).
        """
        server = shared("edge")
        with Connection(server.port) as connection:
            connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertRegex(connection.receive(), rb"\A(HTTP/1\.[01] 400 |\Z)")
        self.assertEqual(request(server, "GET", "/healthz").status, 200)

    def test_garbage(self) -> None:
        """
        Bytes that are no TLS, and a client that leaves in the middle of its hello, do no harm.
        """
        server = shared("edge")
        for data in (b"\x00" * 600, b"SSH-2.0-x\r\n", b"\x16\x03\x01\xff\xff" + b"\x01" * 50):
            with Connection(server.port) as connection:
                connection.send(data)
                connection.socket.shutdown(socket.SHUT_WR)
                while connection.receive():
                    continue
        self.assertEqual(request(server, "GET", "/healthz").status, 200)

    def test_noAltSvc(self) -> None:
        """
        Nothing that is not served is advertised, HTTP/3 for one (E14).
        """
        for target in ("/", "/healthz", "/nope.js"):
            self.assertEqual(problems(curl(shared("edge"), target)), [])


class FilesTests(SynchronousTestCase):
    """
    Certificates from files, which something else renews (E12).
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.certificate = self.directory / "site.crt"
        self.key = self.directory / "site.key"

    def make(self) -> bytes:
        """
        Replace both files as a renewal does, and give the new certificate in DER.
        """
        said = openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=site", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", f"{self.key}.new", "-out", f"{self.certificate}.new"),
        )
        if not Path(f"{self.certificate}.new").exists():
            raise AssertionError(said)
        os.replace(f"{self.key}.new", self.key)
        os.replace(f"{self.certificate}.new", self.certificate)
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())

    def start(self, checkSeconds: int = 86_400) -> Aero:
        """
        Start with these files.
        """
        server = Aero(
            *edgeOptions(),
            TLS_CERT_PATH=str(self.certificate),
            TLS_KEY_PATH=str(self.key),
            AERO_TLS_FILE_CHECK_SECONDS=str(checkSeconds),
        )
        self.addCleanup(server.kill)
        return server

    def test_hangUp(self) -> None:
        """
        SIGHUP brings a new certificate to new connections, open ones go on, and files that
        cannot be used change nothing.
        """
        first = self.make()
        server = self.start()
        self.assertEqual(presented(server), first)
        self.assertFalse((server.state / "ca").exists())
        context = ssl.create_default_context(cafile=str(self.certificate))
        with Connection(server.port, tls=context) as open:
            self.assertEqual(open.request("GET", "/healthz").status, 200)
            second = self.make()
            self.assertEqual(presented(server), first)
            server.sendSignal(signal.SIGHUP)
            waitFor(lambda: presented(server) == second, "the new certificate is served")
            self.certificate.write_text("-----BEGIN CERTIFICATE-----\nhalf")
            server.sendSignal(signal.SIGHUP)
            waitFor(
                lambda: any("cannot be used" in line for line in server.log),
                "the broken file is reported",
            )
            self.assertEqual(presented(server), second)
            self.assertEqual(open.request("GET", "/healthz").status, 200)
        self.assertEqual(server.stop(), 0)

    def test_change(self) -> None:
        """
        Changed files are noticed without a signal.
        """
        first = self.make()
        server = self.start(checkSeconds=1)
        self.assertEqual(presented(server), first)
        second = self.make()
        waitFor(lambda: presented(server) == second, "the new certificate is served")

    def test_resumedAcrossRenewal(self) -> None:
        """
        A new certificate does not cost clients their sessions.
        """
        self.make()
        server = self.start()
        ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        kept = str(self.directory / "session")
        to = ("s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "localhost")
        openssl(*to, "-ign_eof", "-sess_out", kept, feed=ask)
        second = self.make()
        server.sendSignal(signal.SIGHUP)
        waitFor(lambda: presented(server) == second, "the new certificate is served")
        self.assertIn("\nReused, ", openssl(*to, "-ign_eof", "-sess_in", kept, feed=ask))


class RedirectTests(SynchronousTestCase):
    """
    The plain listener beside the TLS one.
    """

    server: Aero
    _plainPort = 0

    def setUp(self) -> None:
        cls = type(self)
        cls._plainPort = cls._plainPort or freePort()
        self.server = shared("edge", "--http-port", str(cls._plainPort))

    def ask(self, data: bytes) -> Response:
        """
        Send bytes and read the one response; the server has to close behind it.
        """
        with Connection(self._plainPort) as connection:
            connection.send(data)
            response = connection.response(data.split(b" ")[0].decode("latin-1"))
            self.assertTrue(connection.atEnd())
        self.assertEqual(response.one("Connection"), "close")
        return response

    def test_redirect(self) -> None:
        """
        Path and query are kept, the port becomes that of the TLS listener, no HSTS is sent
        (E08).
        """
        for method, target in ((b"GET", b"/a?b=1"), (b"HEAD", b"/"), (b"GET", b"//evil.example/")):
            response = self.ask(b"%b %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % (method, target))
            self.assertEqual((response.status, response.body), (308, b""))
            self.assertEqual(
                response.one("Location"), f"https://localhost:{self.server.port}{target.decode()}"
            )
            self.assertEqual(response.all("Strict-Transport-Security"), [])

    def test_post(self) -> None:
        """
        A POST is redirected with its method kept, its body unread, without a cookie (E09).
        """
        response = self.ask(
            b"POST /session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{"
        )
        self.assertEqual(response.status, 308)
        self.assertEqual(response.all("Set-Cookie"), [])

    def test_foreignHost(self) -> None:
        """
        A host that is not ours is not redirected to (E10).
        """
        for host in (b"evil.example", b"localhost.evil.example", b"localhost@evil.example", b""):
            response = self.ask(b"GET /a HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
            self.assertIn(response.status, (400, 421), host)
            self.assertEqual(response.all("Location"), [], host)

    def test_malformed(self) -> None:
        """
        No host, two hosts, no HTTP, a header injected into the target: refused.
        """
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            b"\x16\x03\x01\x00\x05hello\r\n\r\n",
            b"GET /a\rX: y HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ):
            response = self.ask(data)
            self.assertEqual(response.status, 400, data)
            self.assertEqual(response.all("Location"), [], data)

    def test_followed(self) -> None:
        """
        curl that follows the redirect ends at the page.
        """
        result = subprocess.run(
            [
                *(require("curl"), "--silent", "--show-error", "--location", "--noproxy", "*"),
                *("--ipv4", "--cacert", str(self.server.rootCertificate)),
                f"http://localhost:{self._plainPort}/healthz",
            ],
            capture_output=True,
            check=True,
        )
        self.assertEqual(result.stdout, b'{"ok":true}')


class FingerprintTests(SynchronousTestCase):
    """
    The root that people are told to import.
    """

    def test_privateKeyIsNotServed(self) -> None:
        """
        What the server presents is not the root, and its root file holds no key.
        """
        server = shared("edge")
        root = server.rootCertificate.read_text()
        self.assertNotIn("PRIVATE KEY", root)
        self.assertNotEqual(
            hashlib.sha256(ssl.PEM_cert_to_DER_cert(root)).digest(),
            hashlib.sha256(presented(server)).digest(),
        )
