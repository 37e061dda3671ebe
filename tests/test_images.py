"""
Disk images as an emulator streams them: a sparse image of 2 GiB, asked for in every way.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import random
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from unittest import SkipTest

import zstandard
from twisted.trial.unittest import SynchronousTestCase

from .support.browser import browserFor, inBrowserThread
from .support.curl import curl
from .support.headerset import problems
from .support.http import Connection, request, sessionCookie
from .support.metrics import metric
from .support.server import Aero, shared
from .support.tools import freePort, require

SIZE = 2 << 30
MARK = 4096

#: Bytes that the server's memory may grow by while it sends gigabytes; one block for each
#: connection and its buffers are a hundredth of that.
GROWTH = 48 << 20


def _directory() -> Path:
    """
    A directory that is gone when the tests end.
    """
    path = Path(tempfile.mkdtemp(prefix="aero-images-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def _mark(offset: int) -> bytes:
    """
    What the image holds around an offset.
    """
    return hashlib.sha256(offset.to_bytes(8, "big")).digest() * (MARK // 32)


@cache
def _images() -> Path:
    """
    A directory with images, made once.
    """
    root = _directory()
    with (root / "disk.img").open("wb") as image:
        image.truncate(SIZE)
        for offset in _marks():
            image.seek(offset)
            image.write(_mark(offset))
    (root / "small.img").write_bytes(random.Random(7).randbytes(24 << 20))
    (root / "win" / "chunks").mkdir(parents=True)
    (root / "win" / "manifest.json").write_text('{"schema": "aero.chunked-disk-image.v1"}')
    return root


def _marks() -> list[int]:
    """
    Where the image is not empty: both ends, the places where numbers of 31 bits end, and some
    more.
    """
    found = {0, SIZE - MARK, (1 << 30) - MARK, 1 << 30, SIZE - (1 << 20)}
    found |= {random.Random(3).randrange(SIZE // MARK) * MARK for _ in range(40)}
    return sorted(found)


def _expected(start: int, stop: int) -> bytes:
    """
    The bytes of the image.
    """
    with (_images() / "disk.img").open("rb") as image:
        image.seek(start)
        return image.read(stop - start)


def _ranges(count: int) -> list[tuple[int, int]]:
    """
    Ranges of all sizes, at places where something is.
    """
    dice = random.Random(5)
    found = [(0, 1), (SIZE - 1, SIZE), ((1 << 31) - 2, 1 << 31), ((1 << 30) - 3, (1 << 30) + 3)]
    while len(found) < count:
        start = max(0, dice.choice(_marks()) + dice.randrange(-MARK, MARK))
        length = dice.choice((1, 511, 512, 4096, 65_536, 65_537, 1 << 20, 3 << 20))
        found.append((start, min(start + length, SIZE)))
    return [(start, stop) for start, stop in found if start < stop]


class _ImagesTestCase(SynchronousTestCase):
    @property
    def server(self) -> Aero:
        """
        A server with the images.
        """
        return shared("edge", AERO_IMAGES_ROOT=str(_images()))


class RangeTests(_ImagesTestCase):
    """
    Ranges of the large image.
    """

    def test_connection(self) -> None:
        """
        Hundreds of ranges over one HTTP/1.1 connection are each exactly what was asked for.
        """
        with Connection.to(self.server) as connection:
            for start, stop in _ranges(300):
                asked = ("Range", f"bytes={start}-{stop - 1}")
                response = connection.request("GET", "/images/disk.img", asked)
                self.assertEqual(response.status, 206)
                self.assertEqual(response.one("Content-Range"), f"bytes {start}-{stop - 1}/{SIZE}")
                self.assertTrue(response.body == _expected(start, stop), (start, stop))

    def test_streams(self) -> None:
        """
        So are those that share one HTTP/2 connection.
        """
        ranges = _ranges(60)
        directory = _directory()
        lines = []
        for number, (start, stop) in enumerate(ranges):
            lines += [
                f'url = "https://localhost:{self.server.port}/images/disk.img"',
                f'output = "{directory}/{number}"',
                f'range = "{start}-{stop - 1}"',
                f'cacert = "{self.server.rootCertificate}"',
                "http2\nfail\nsilent\nnext",
            ]
        (directory / "config").write_text("\n".join(lines[:-1]) + "\nhttp2\nfail\nsilent\n")
        said = subprocess.run(
            [
                *(require("curl"), "--parallel", "--parallel-max", "30", "--noproxy", "*"),
                *("--ipv4", "-K", str(directory / "config")),
            ],
            capture_output=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(said.returncode, 0, said.stderr)
        for number, (start, stop) in enumerate(ranges):
            found = (directory / str(number)).read_bytes()
            self.assertTrue(found == _expected(start, stop), (start, stop))

    def test_pipelined(self) -> None:
        """
        Ranges that are asked for before others have come are answered in their order.
        """
        ranges = _ranges(40)
        with Connection.to(self.server) as connection:
            for start, stop in ranges:
                connection.send(
                    f"GET /images/disk.img HTTP/1.1\r\nHost: localhost\r\n"
                    f"Range: bytes={start}-{stop - 1}\r\n\r\n".encode()
                )
            for start, stop in ranges:
                response = connection.response()
                self.assertEqual(response.status, 206)
                self.assertTrue(response.body == _expected(start, stop), (start, stop))

    def test_hostile(self) -> None:
        """
        Headers that make no sense cost no gigabytes, and each refusal tells the size.
        """
        for asked, status in (
            ("bytes=0-0,2-2", 416),
            ("bytes=" + ",".join(["0-"] * 50), 416),
            (f"bytes={SIZE}-", 416),
            ("bytes=99999999999999999999999-", 200),
            ("bytes=-0", 416),
            ("bytes=5-2", 200),
            ("lines=1-2", 200),
            ("bytes=0-0,", 206),
            ("bytes=, 0-0 ,,", 206),
            ("bytes=,", 200),
        ):
            with Connection.to(self.server) as connection:
                connection.send(
                    f"GET /images/disk.img HTTP/1.1\r\nHost: localhost\r\nRange: {asked}\r\n\r\n".encode()
                )
                head = connection.readUntil(b"\r\n\r\n")
                self.assertTrue(head.startswith(b"HTTP/1.1 %d " % status), (asked, head))
                if status == 416:
                    self.assertIn(b"Content-Range: bytes */%d\r\n" % SIZE, head)

    def test_parts(self) -> None:
        """
        Parts with names of their own are cut from the image, wherever they lie in it, plain and
        as zstd frames; the last one is filled with zeros.
        """
        with Connection.to(self.server) as connection:
            for start in (0, 1 << 30, (1 << 30) - 131_072, SIZE - 131_072):
                stop = start + 262_144
                expected = _expected(start, min(stop, SIZE)).ljust(262_144, b"\0")
                plain = connection.request("GET", f"/images/disk-{start}-{stop}.img")
                self.assertEqual((plain.status, plain.one("Content-Length")), (200, "262144"))
                self.assertTrue(plain.body == expected, start)
                frame = connection.request("GET", f"/images/disk-{start}-{stop}.img.zst")
                self.assertEqual(frame.status, 200)
                self.assertLess(len(frame.body), 20_000)
                self.assertTrue(zstandard.decompress(frame.body) == expected, start)
                self.assertEqual(problems(plain) + problems(frame), [])
            for name in (f"disk-{SIZE}-{SIZE + 256}.img", "nope-0-256.img", "disk-0-0.img"):
                self.assertEqual(connection.request("GET", f"/images/{name}").status, 404, name)

    def test_headers(self) -> None:
        """
        Every response has the header set once, nothing that was coded, and C{no-transform}.
        """
        etag = curl(self.server, "/images/disk.img", "--head").one("ETag")
        for target, status, options in (
            ("/images/disk.img", 200, ("--head",)),
            ("/images/disk.img", 206, ("--range", "0-9", "--compressed")),
            ("/images/disk.img", 304, ("-H", f"If-None-Match: {etag}")),
            ("/images/disk.img", 416, ("--range", f"{SIZE}-")),
            ("/images/win/manifest.json", 200, ("--compressed",)),
            ("/images/", 404, ()),
            ("/images/disk.img", 405, ("--request", "PUT")),
        ):
            for more in ((), ("--http1.1",)):
                response = curl(self.server, target, *options, *more)
                self.assertEqual(response.status, status, target)
                self.assertEqual(problems(response), [], (target, status))
                self.assertEqual(response.all("Content-Encoding"), [])
                if status in (200, 206, 304):
                    self.assertIn("no-transform", response.one("Cache-Control"))


class DownloadTests(_ImagesTestCase):
    """
    Whole images, and what is left of them.
    """

    def download(self, name: str, *options: str) -> bytes:
        """
        Have curl fetch an image into a file, and give the number of bytes and the protocol.
        """
        said = subprocess.run(
            [
                *(require("curl"), "--silent", "--show-error", "--fail", "--noproxy", "*"),
                *("--ipv4", "--cacert", str(self.server.rootCertificate)),
                *("--write-out", "%{size_download} %{http_version}", *options),
                f"https://localhost:{self.server.port}/images/{name}",
            ],
            capture_output=True,
            timeout=300,
            check=False,
        )
        self.assertEqual(said.returncode, 0, said.stderr)
        return said.stdout

    def test_resume(self) -> None:
        """
        curl goes on where a download was broken off, near the end of the large image too.
        """
        directory = _directory()
        for name, have in (("small.img", 9_999_999), ("disk.img", SIZE - (5 << 20) - 17)):
            source, part = _images() / name, directory / name
            with part.open("wb") as file, source.open("rb") as whole:
                if name == "small.img":
                    file.write(whole.read(have))
                else:
                    file.truncate(have)
            for more in ((), ("--http1.1",)):
                before = part.stat().st_size
                self.download(name, "-C", "-", "-o", str(part), *more)
                self.assertEqual(part.stat().st_size, source.stat().st_size)
                with part.open("r+b") as file, source.open("rb") as whole:
                    file.seek(have)
                    whole.seek(have)
                    self.assertTrue(file.read() == whole.read(), (name, before))
                    file.truncate(have)

    def test_memory(self) -> None:
        """
        Two gigabytes over each protocol leave the server's memory where it was.
        """
        server = self.server
        request(server, "GET", "/images/small.img")
        before = server.residentBytes()
        for more in (("--http1.1",), ()):
            said = self.download("disk.img", "-o", "/dev/null", *more)
            self.assertEqual(said.split()[0], str(SIZE).encode())
            self.assertLess(server.residentBytes() - before, GROWTH)

    def test_slowReaders(self) -> None:
        """
        Clients that ask for all of it and read nothing cost a buffer each, and leave none behind
        when they go.
        """
        server = self.server
        before, open = server.residentBytes(), server.descriptors()
        connections = []
        for _ in range(50):
            connection = Connection.to(server)
            connection.send(b"GET /images/disk.img HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connection.read(1)
            connections.append(connection)
        self.assertEqual(metric(server, "aero_image_downloads"), 50)
        self.assertEqual(request(server, "GET", "/healthz").status, 200)
        self.assertLess(server.residentBytes() - before, 2 * GROWTH)
        for connection in connections:
            connection.close()
        deadline = time.monotonic() + 20
        while metric(server, "aero_image_downloads") or server.descriptors() > open:
            self.assertLess(time.monotonic(), deadline, "a download never ended")
            time.sleep(0.05)

    def test_cold(self) -> None:
        """
        What is not in memory is read in threads, and arrives all the same.
        """
        server = self.server
        source = _images() / "small.img"
        with source.open("r+b") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                os.preadv(file.fileno(), (bytearray(1),), 12 << 20, os.RWF_NOWAIT)
            except BlockingIOError:
                pass
            else:
                raise SkipTest("this file system keeps everything in memory")
        before = metric(server, "aero_image_cold_reads_total")
        got = _directory() / "small.img"
        self.download("small.img", "-o", str(got))
        self.assertTrue(got.read_bytes() == source.read_bytes())
        self.assertGreater(metric(server, "aero_image_cold_reads_total"), before)

    def test_replaced(self) -> None:
        """
        An image that is replaced while it is sent goes on as it was; the next request has the new
        one, and a range of the old one is not mixed with it.
        """
        root = _directory()
        first = random.Random(1).randbytes(16 << 20)
        (root / "a.img").write_bytes(first)
        server = Aero(
            *("--https-port", str(freePort()), "--http-port", "0"),
            state=None,
            runDir=None,
            AERO_IMAGES_ROOT=str(root),
        )
        self.addCleanup(server.kill)
        with Connection.to(server) as connection:
            connection.send(b"GET /images/a.img HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = connection.readUntil(b"\r\n\r\n").decode()
            etag = next(line for line in head.split("\r\n") if line.startswith("ETag: "))[6:]
            (root / "fresh").write_bytes(b"new" * 100)
            os.replace(root / "fresh", root / "a.img")
            self.assertTrue(connection.read(len(first)) == first)
            asked = (("Range", "bytes=0-9"), ("If-Range", etag))
            response = connection.request("GET", "/images/a.img", *asked)
            self.assertEqual((response.status, response.body), (200, b"new" * 100))


class AccessTests(SynchronousTestCase):
    """
    Who may read images.
    """

    def test_session(self) -> None:
        """
        Where a session is required, its cookie opens the images.
        """
        server = shared(
            "edge",
            AERO_IMAGES_ROOT=str(_images()),
            AERO_IMAGES_REQUIRE_SESSION="1",
            AERO_IMAGES_CORS_ORIGINS="https://emulator.example",
            AERO_IMAGES_CORP="cross-origin",
        )
        self.assertEqual(curl(server, "/images/win/manifest.json").status, 401)
        cookie = sessionCookie(server)
        origin = ("-H", "Origin: https://emulator.example")
        response = curl(server, "/images/win/manifest.json", "-H", f"Cookie: {cookie}", *origin)
        self.assertEqual(response.status, 200)
        self.assertEqual(problems(response, cross_origin_resource_policy="cross-origin"), [])
        self.assertEqual(response.one("Access-Control-Allow-Credentials"), "true")
        preflight = curl(
            server,
            "/images/disk.img",
            *("--request", "OPTIONS", *origin, "-H", "Access-Control-Request-Method: GET"),
            *("-H", "Access-Control-Request-Headers: range"),
        )
        self.assertEqual(preflight.status, 204)
        self.assertIn("Range", preflight.one("Access-Control-Allow-Headers"))

    def test_off(self) -> None:
        """
        Without a directory the path is the page's own.
        """
        self.assertEqual(curl(shared("edge"), "/images/").one("Content-Type")[:9], "text/html")

    @inBrowserThread
    def test_browser(self) -> None:
        """
        An isolated page streams an image, as an emulator does.
        """
        server = shared("edge", AERO_IMAGES_ROOT=str(_images()))
        offset = _marks()[3]
        with browserFor(server).open() as tab:
            tab.goto("/")
            found = tab.page.evaluate(
                """async (offset) => {
                  const head = await fetch("/images/disk.img", { method: "HEAD" });
                  const part = await fetch("/images/disk.img", {
                    headers: { Range: `bytes=${offset}-${offset + 31}` },
                  });
                  return [
                    crossOriginIsolated, Number(head.headers.get("Content-Length")), part.status,
                    part.headers.get("Content-Range"),
                    Array.from(new Uint8Array(await part.arrayBuffer())),
                  ];
                }""",
                offset,
            )
        expected = [True, SIZE, 206, f"bytes {offset}-{offset + 31}/{SIZE}"]
        self.assertEqual(found, [*expected, list(_mark(offset)[:32])])

    @inBrowserThread
    def test_otherSite(self) -> None:
        """
        A page of another site streams an image with the headers that v86 sends, where any site
        may, and may not send a credential of its own.
        """
        port = freePort()
        other = f"https://127.0.0.1:{port}"
        server = shared(
            "edge",
            *("--https-port", str(port)),
            AERO_IMAGES_ROOT=str(_images()),
            AERO_IMAGES_CORS_ORIGINS="*",
            AERO_IMAGES_CORP="cross-origin",
            AERO_CSP_CONNECT_SRC_EXTRA=other,
        )
        with browserFor(server).open() as tab:
            tab.goto("/")
            found = tab.page.evaluate(
                """async (site) => {
                  const range = { Range: "bytes=0-31", "X-Accept-Encoding": "identity" };
                  const part = await fetch(`${site}/images/disk.img`, { headers: range });
                  const refused = await fetch(`${site}/images/disk.img`, {
                    headers: { ...range, Authorization: "Bearer x" },
                  }).then((response) => response.status, (error) => error.name);
                  return [part.status, part.headers.get("Content-Range"), refused];
                }""",
                other,
            )
        self.assertEqual(found, [206, f"bytes 0-31/{SIZE}", "TypeError"])
