"""
Static files as browsers, caches and probes meet them (edge.md E31 to E35, E40 to E53, E60 to
E63, E94, E98).
"""

from __future__ import annotations

import atexit
import email.parser
import functools
import gzip
import os
import shutil
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .support import frontend
from .support.curl import curl
from .support.frontend import makeRoot, sharedRoot
from .support.headerset import problems
from .support.http import Connection, Response, request
from .support.http2 import HTTP2, SETTINGS, WINDOW, frame
from .support.http2 import get as h2Get
from .support.server import Aero, edgeOptions, shared
from .support.tools import require

IMMUTABLE = "public, max-age=31536000, immutable"
HTML = "text/html; charset=utf-8"


def edge() -> Aero:
    """
    The server of most tests here.
    """
    return shared("edge", "--frontend-root", sharedRoot())


def get(target: str, *headers: tuple[str, str], method: str = "GET") -> Response:
    """
    Ask it for something.
    """
    return request(edge(), method, target, *headers)


class RoutingTests(SynchronousTestCase):
    """
    What belongs to services and what to the front end.
    """

    def test_filesNamedLikeServices(self) -> None:
        """
        A file whose name begins like a service's path is a file (E32).
        """
        for target, body in (
            ("/ethernet.js", b"// ethernet\n"),
            ("/tcpdump.html", b"<p>tcpdump</p>"),
            ("/versions.json", b"{}"),
        ):
            response = get(target)
            self.assertEqual((response.status, response.body), (200, body))

    def test_nearServices(self) -> None:
        """
        Below and beside the exact paths of the relay lies the front end (E31).
        """
        self.assertEqual(get("/udp/help.html").body, b"<p>help</p>")
        self.assertEqual(get("/offerx").body, b"not an offer")
        self.assertEqual(get("/udpfoo").body, frontend.INDEX)

    def test_reserved(self) -> None:
        """
        What is a service's is never the page, whether the service knows it or not (E33).
        """
        for target in ("/api/x", "/udp-relay", "/webrtc/zzz", "/tcp", "/tcp/x", "/l2", "/eth/x"):
            response = get(target, ("Accept", "text/html"))
            self.assertEqual(response.status, 404, target)
            self.assertEqual(response.json()["error"], "not_found", target)

    def test_disguised(self) -> None:
        """
        A path that can be read in two ways is the service or a refusal, never something else
        (E34).
        """
        for target in (
            "/foo/../healthz",
            "//healthz",
            "/%68ealthz",
            "/./healthz",
            "/healthz/",
            "/healthz/..",
            "/%2fhealthz",
            "/healthz%2f..",
        ):
            response = get(target)
            self.assertIn(response.status, (200, 400, 404), target)
            if response.status == 200:
                self.assertEqual(response.body, b'{"ok":true}', target)
            self.assertNotIn(frontend.INDEX, response.body, target)

    def test_endToEndPage(self) -> None:
        """
        The gateway's test page is not there; its path is one of the application's (E35).
        """
        response = get("/e2e")
        self.assertEqual((response.status, response.body), (200, frontend.INDEX))


class FileTests(SynchronousTestCase):
    """
    Which file, with which type and how long it may be kept.
    """

    def test_page(self) -> None:
        """
        The page answers for itself and for the paths inside it, to be asked for anew each time
        (E40).
        """
        for target in ("/", "/index.html", "/vm/42", "/nope", "/vm/42?tab=1"):
            response = get(target)
            self.assertEqual((response.status, response.body), (200, frontend.INDEX), target)
            self.assertEqual(response.one("Content-Type"), HTML)
            self.assertEqual(response.one("Cache-Control"), "no-cache")

    def test_missingScript(self) -> None:
        """
        A missing script is missing, but somebody who navigates there gets the page (E41).
        """
        response = get("/nope.js")
        self.assertEqual(response.status, 404)
        self.assertNotIn("html", response.one("Content-Type"))
        response = get("/nope.js", ("Accept", "text/html,*/*;q=0.8"))
        self.assertEqual((response.status, response.body), (200, frontend.INDEX))

    def test_assets(self) -> None:
        """
        What has a hash in its name is kept for a year; what is missing there is not kept, and
        is not called WebAssembly (E42).
        """
        response = get("/assets/app-5f3a9c.js")
        self.assertEqual(response.one("Cache-Control"), IMMUTABLE)
        self.assertEqual(response.body, frontend.APP)
        for target in ("/assets/missing.js", "/assets/missing.wasm", "/assets/", "/assets/a/b"):
            response = get(target, ("Accept", "text/html"))
            self.assertEqual(response.status, 404, target)
            self.assertIn(response.one("Cache-Control"), ("no-store", "no-cache"))
            self.assertNotIn("wasm", response.one("Content-Type"))

    def test_types(self) -> None:
        """
        Types are told by name, WebAssembly's everywhere (E43).
        """
        for target, kind in (
            ("/main.js", "text/javascript; charset=utf-8"),
            ("/data.json", "application/json"),
            ("/picture.png", "image/png"),
            ("/module.wasm", "application/wasm"),
            ("/assets/x.wasm", "application/wasm"),
            ("/sub/", HTML),
        ):
            self.assertEqual(get(target).one("Content-Type"), kind, target)

    def test_conditional(self) -> None:
        """
        A client that has the file is told so; one that has another version gets it (E44).
        """
        whole = get("/main.js")
        etag, modified = whole.one("ETag"), whole.one("Last-Modified")
        self.assertRegex(etag, r'\A"[^"]+"\Z')
        for header in (
            ("If-None-Match", etag),
            ("If-None-Match", f'"other", W/{etag}'),
            ("If-None-Match", "*"),
            ("If-Modified-Since", modified),
        ):
            response = get("/main.js", header)
            self.assertEqual((response.status, problems(response)), (304, []), header)
            self.assertEqual(response.one("ETag"), etag)
            self.assertEqual(response.one("Cache-Control"), "no-cache")
        for header in (
            ("If-None-Match", '"other"'),
            ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("If-Modified-Since", "yesterday"),
        ):
            self.assertEqual(get("/main.js", header).body, frontend.MAIN, header)
        self.assertNotEqual(get("/data.json").one("ETag"), etag)
        self.assertEqual(get("/data.json", ("If-None-Match", etag)).status, 200)

    def test_ranges(self) -> None:
        """
        Parts of files are exact; parts that do not exist are refused; a part of an older
        version is the whole of the new (E45).
        """
        size = len(frontend.MAIN)
        etag = get("/main.js").one("ETag")
        for header, first, last in (
            ("bytes=0-9", 0, 9),
            ("bytes=10-", 10, size - 1),
            ("bytes=-5", size - 5, size - 1),
            (f"bytes=0-{size * 9}", 0, size - 1),
        ):
            response = get("/main.js", ("Range", header), ("If-Range", etag))
            self.assertEqual(response.status, 206, header)
            self.assertEqual(response.one("Content-Range"), f"bytes {first}-{last}/{size}")
            self.assertEqual(response.body, frontend.MAIN[first : last + 1])
        response = get("/main.js", ("Range", f"bytes={size}-"))
        self.assertEqual((response.status, response.one("Content-Range")), (416, f"bytes */{size}"))
        for headers in (
            (("Range", "bytes=0-9"), ("If-Range", '"other"')),
            (("Range", "lines=0-9"),),
            (("Range", "bytes=9-0"),),
        ):
            response = get("/main.js", *headers)
            self.assertEqual((response.status, response.body), (200, frontend.MAIN), headers)

    def test_severalRanges(self) -> None:
        """
        Several parts come in one message that mail software can take apart.
        """
        response = get("/main.js", ("Range", "bytes=0-3,100-109,-2"))
        self.assertEqual(response.status, 206)
        self.assertEqual(response.all("Content-Range"), [])
        head = f"Content-Type: {response.one('Content-Type')}\r\n\r\n".encode()
        message = email.parser.BytesParser().parsebytes(head + response.body)
        parts = message.get_payload()
        assert isinstance(parts, list)
        self.assertEqual(
            [part.get_payload(decode=True) for part in parts],  # type: ignore[union-attr]
            [frontend.MAIN[:4], frontend.MAIN[100:110], frontend.MAIN[-2:]],
        )

    def test_manyRanges(self) -> None:
        """
        Asking for the same bytes a thousand times does not make the answer a thousand times
        as long.
        """
        response = get("/main.js", ("Range", "bytes=" + ",".join(["0-"] * 1000)))
        self.assertLess(len(response.body), 3 * len(frontend.MAIN))

    def test_rangeIsPlain(self) -> None:
        """
        A part is a part of the file as it is, whatever codings the client knows (E46).
        """
        response = get("/main.js", ("Range", "bytes=0-999"), ("Accept-Encoding", "gzip, zstd"))
        self.assertEqual(response.status, 206)
        self.assertEqual(response.all("Content-Encoding"), [])
        self.assertEqual(response.body, frontend.MAIN[:1000])

    def test_head(self) -> None:
        """
        HEAD tells what GET would send (E47).
        """
        for headers in ((), (("Accept-Encoding", "gzip"),)):
            for target in ("/", "/main.js", "/assets/x.wasm", "/nope.js", "/vm/42"):
                whole, head = get(target, *headers), get(target, *headers, method="HEAD")
                self.assertEqual(head.status, whole.status)
                for name in ("Content-Length", "Content-Type", "Content-Encoding", "ETag"):
                    self.assertEqual(head.all(name), whole.all(name), (target, name))

    def test_methods(self) -> None:
        """
        Files are for reading, and the refusal says so (E48).
        """
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            response = get("/main.js", method=method)
            self.assertEqual((response.status, response.one("Allow")), (405, "GET, HEAD"), method)

    def test_directories(self) -> None:
        """
        A directory is its index, at the one URL with the slash, and is never listed (E49).
        """
        response = get("/sub?x=1")
        self.assertEqual((response.status, response.one("Location")), (308, "/sub/?x=1"))
        self.assertEqual(get("/sub/").body, b"<!doctype html><p>below</p>")
        response = get("/main.js/")
        self.assertEqual((response.status, response.one("Location")), (308, "/main.js"))
        for target in ("/empty", "/empty/"):
            response = get(target, ("Accept", "text/html"))
            self.assertEqual(response.status, 404)
            self.assertNotIn(b"note.txt", response.body)

    def test_redirectsStayHere(self) -> None:
        """
        No path makes a redirect to another host (E49).
        """
        for target in ("//evil.com/..", "//evil.com/sub", "/\\evil.com/sub", "/%2f/evil.com/sub"):
            with Connection.to(edge()) as connection:
                response = connection.request("GET", target)
            for location in response.all("Location"):
                self.assertRegex(location, r"\A/[^/\\]", target)

    def test_outside(self) -> None:
        """
        No spelling of a path and no symbolic link gets at anything outside the root, nor at
        hidden files (E50, E51).
        """
        with Connection.to(edge()) as connection:
            for target in (
                "/../outside/secret.txt",
                "/..%2f..%2fetc/passwd",
                "/..%2foutside%2fsecret.txt",
                "/%2e%2e/outside/secret.txt",
                "/assets/../../outside/secret.txt",
                "/assets/..%5c..%5coutside%5csecret.txt",
                "/%00",
                "/main.js%00.html",
                "/leak.txt",
                "/way-out/secret.txt",
                "/.env",
                "/.git/config",
                "/%2eenv",
                "/.well-known/../.env",
                "/etc/passwd",
                "/..%c0%af..%c0%afetc/passwd",
            ):
                response = connection.request("GET", target)
                self.assertNotIn(frontend.SECRET, response.body, target)
                self.assertNotIn(b"root:", response.body, target)
                if target.startswith(("/leak", "/way-out", "/.env", "/.git", "/%2eenv")):
                    self.assertEqual(response.status, 404, target)

    def test_inside(self) -> None:
        """
        Links that stay inside and C{/.well-known/} are served.
        """
        self.assertEqual(get("/alias.js").body, frontend.MAIN)
        self.assertIn(b"security@example.com", get("/.well-known/security.txt").body)


class CompressionTests(SynchronousTestCase):
    """
    Coded bodies.
    """

    def test_gzip(self) -> None:
        """
        Text, JSON and WebAssembly are compressed, unfold to the file, and have a tag of their
        own that is good for a 304 (E60, E62).
        """
        for target in ("/main.js", "/data.json", "/", "/assets/x.wasm"):
            plain = get(target)
            coded = get(target, ("Accept-Encoding", "gzip"))
            self.assertEqual(coded.one("Content-Encoding"), "gzip", target)
            self.assertEqual(gzip.decompress(coded.body), plain.body)
            self.assertLess(len(coded.body), len(plain.body))
            self.assertNotEqual(coded.one("ETag"), plain.one("ETag"))
            for response in (plain, coded):
                self.assertIn("accept-encoding", ",".join(response.all("Vary")).lower())
            again = get(target, ("Accept-Encoding", "gzip"), ("If-None-Match", coded.one("ETag")))
            self.assertEqual((again.status, again.one("ETag")), (304, coded.one("ETag")))

    def test_notWorthIt(self) -> None:
        """
        Pictures and tiny files are sent as they are (E60).
        """
        for target in ("/picture.png", "/tiny.js"):
            response = get(target, ("Accept-Encoding", "gzip, zstd"))
            self.assertEqual(response.all("Content-Encoding"), [], target)

    def test_preference(self) -> None:
        """
        The client's weights decide, and C{no-transform} is heeded (E61).
        """
        for accepted, coding in (
            ("zstd;q=0.5, gzip;q=0.9", ["gzip"]),
            ("zstd, gzip", ["zstd"]),
            ("identity", []),
            ("gzip;q=0", []),
            ("br", []),
            ("", []),
        ):
            response = get("/main.js", ("Accept-Encoding", accepted))
            self.assertEqual(response.all("Content-Encoding"), coding, accepted)
        response = get("/main.js", ("Accept-Encoding", "gzip"), ("Cache-Control", "no-transform"))
        self.assertEqual(response.all("Content-Encoding"), [])

    def test_unfolded(self) -> None:
        """
        curl unfolds what it is given, over HTTP/2, gzip and zstd alike.
        """
        require("curl")
        for coding in ("gzip", "zstd"):
            response = curl(
                edge(), "/main.js", "--compressed", "--header", f"Accept-Encoding: {coding}"
            )
            self.assertEqual(response.one("content-encoding"), coding)
            self.assertEqual(response.body, frontend.MAIN)


class ChangingTests(SynchronousTestCase):
    """
    Files that change while they are served.
    """

    def setUp(self) -> None:
        """
        A root of their own, which these tests leave as it was but for files of their own.
        """
        self.root = _changingRoot()

    def start(self) -> Aero:
        """
        The server of that root.
        """
        return shared("edge", "--frontend-root", str(self.root))

    def test_replaced(self) -> None:
        """
        A replaced file is there on the next request, plain and coded, with a new tag; somebody
        in the middle of the old version gets all of the old one, and nobody gets a mixture
        (E52).
        """
        server = self.start()
        size = 16 * 1024 * 1024
        (self.root / "big.bin").write_bytes(b"a" * size)
        (self.root / "old.js").write_bytes(frontend.MAIN)
        before = request(server, "GET", "/old.js")
        request(server, "GET", "/old.js", ("Accept-Encoding", "gzip"))
        with Connection.to(server) as slow, Connection.to(server) as torn:
            for connection in (slow, torn):
                connection.send(b"GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.readUntil(b"\r\n\r\n")
            (self.root / "new.bin").write_bytes(b"b" * size)
            os.replace(self.root / "new.bin", self.root / "big.bin")
            (self.root / "new.js").write_bytes(b"// new\n" * 100)
            os.replace(self.root / "new.js", self.root / "old.js")
            after = request(server, "GET", "/old.js")
            self.assertEqual(after.body, b"// new\n" * 100)
            self.assertNotEqual(after.one("ETag"), before.one("ETag"))
            coded = request(server, "GET", "/old.js", ("Accept-Encoding", "gzip"))
            self.assertEqual(gzip.decompress(coded.body), after.body)
            self.assertEqual(slow.read(size).count(b"a"), size)
            self.assertEqual(torn.read(size).count(b"a"), size)

    def test_overwritten(self) -> None:
        """
        A file that is overwritten in place while it is sent is cut off, not completed with
        what came later (E52).
        """
        server = self.start()
        size = 16 * 1024 * 1024
        (self.root / "overwritten.bin").write_bytes(b"a" * size)
        with Connection.to(server) as connection:
            connection.send(b"GET /overwritten.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connection.readUntil(b"\r\n\r\n")
            (self.root / "overwritten.bin").write_bytes(b"b" * size)
            data = connection.pending
            while more := connection.receive():
                data += more
        self.assertLess(len(data), size)
        self.assertEqual(data.strip(b"a"), b"")
        self.assertEqual(request(server, "GET", "/healthz").status, 200)

    def test_slowReaders(self) -> None:
        """
        Clients that read a gigabyte slowly cost no memory that grows with the file, on either
        protocol (E94).
        """
        server = self.start()
        with open(self.root / "huge.bin", "wb") as file:
            file.truncate(1 << 30)
        # One of each, so that what a first request needs is there before it counts.
        request(server, "HEAD", "/huge.bin")
        before = server.residentBytes()
        connections = []
        for _ in range(20):
            connection = Connection.to(server)
            self.addCleanup(connection.close)
            connection.send(b"GET /huge.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connections.append(connection)
        for connection in connections:
            head = connection.readUntil(b"\r\n\r\n")
            self.assertIn(b"Content-Length: 1073741824", head)
        # Windows as large as they can be: only what the client reads holds the server back.
        window = (1 << 31) - 1
        for _ in range(4):
            client = HTTP2(server)
            self.addCleanup(client.connection.close)
            client.send(frame(SETTINGS, 0, 0, b"\0\x04" + window.to_bytes(4, "big")))
            client.send(frame(WINDOW, 0, 0, (window - 65_535).to_bytes(4, "big")))
            for stream in (1, 3, 5, 7, 9):
                client.request(stream, h2Get("/huge.bin"))
            connections.append(client.connection)
        for _ in range(16):
            for connection in connections:
                connection.read(65_536)
        self.assertEqual(request(server, "GET", "/healthz").status, 200)
        self.assertLess(server.residentBytes() - before, 48 * 1024 * 1024)

    def test_indexGone(self) -> None:
        """
        Without a page there is a 404, and with it again the page.
        """
        server = self.start()
        aside, page = self.root / "aside.html", self.root / "index.html"
        page.rename(aside)
        self.addCleanup(lambda: aside.exists() and aside.rename(page))
        self.assertEqual(request(server, "GET", "/").status, 404)
        self.assertEqual(request(server, "GET", "/vm/42").status, 404)
        aside.rename(page)
        self.assertEqual(request(server, "GET", "/vm/42").body, frontend.INDEX)

    def test_release(self) -> None:
        """
        A root that is a link follows the link, so a release is switched in one step, and a
        relative root is relative to where the server was started (E98).
        """
        run = Path(self.mktemp()).absolute()
        run.mkdir()
        (run / "next").mkdir()
        (run / "next" / "index.html").write_bytes(b"the next release")
        (run / "current").symlink_to(self.root)
        server = Aero(*edgeOptions(), runDir=run, AERO_FRONTEND_ROOT="current")
        self.addCleanup(server.kill)
        self.assertEqual(request(server, "GET", "/").body, frontend.INDEX)
        (run / "link").symlink_to("next")
        os.replace(run / "link", run / "current")
        self.assertEqual(request(server, "GET", "/").body, b"the next release")


@functools.cache
def _changingRoot() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="aero-changing-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return makeRoot(directory)


class HangingTests(SynchronousTestCase):
    """
    Clients that leave.
    """

    def test_leaving(self) -> None:
        """
        Clients that leave in the middle of a file cost nothing afterwards: the server is fine
        and holds none of their files.
        """
        server = edge()
        big = Path(sharedRoot()) / "leaving.bin"
        with open(big, "wb") as file:
            file.truncate(1 << 28)
        for _ in range(10):
            with Connection.to(server) as connection:
                connection.send(b"GET /leaving.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.readUntil(b"\r\n\r\n")
                connection.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0"
                )
        descriptors = f"/proc/{server.process.pid}/fd"
        for _ in range(200):
            if request(server, "GET", "/healthz").status == 200 and not any(
                _linkOf(f"{descriptors}/{name}").endswith("leaving.bin")
                for name in os.listdir(descriptors)
            ):
                return
        self.fail("the server keeps the files of clients that left")


def _linkOf(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
