"""
Tests for L{aero.files.document}, through the responses that follow from it.
"""

from __future__ import annotations

import os
import zlib

import zstandard

from aero.files.test.statics import AFTER, StaticTestCase
from aero.metrics import static as rows
from aero.settings.http import StaticSettings
from aero.testing.web import HeaderLines

SCRIPT = "export const words = 'again and again';\n" * 100
GZIP = {b"Accept-Encoding": b"gzip"}


class CompressionTests(StaticTestCase):
    """
    Compressed on the fly.
    """

    def test_gzip(self) -> None:
        """
        Text and WebAssembly are compressed for who asks, under a tag of their own.
        """
        for name in ("a.js", "a.json", "a.html", "a.wasm"):
            self.write(name, SCRIPT)
            plain, coded = self.get("/" + name), self.get("/" + name, GZIP)
            self.assertEqual(coded.header(b"Content-Encoding"), b"gzip")
            self.assertEqual(zlib.decompress(coded.body, 31).decode(), SCRIPT)
            self.assertEqual(coded.header(b"Vary"), b"Accept-Encoding")
            self.assertIsNone(coded.header(b"Accept-Ranges"))
            self.assertEqual(coded.header(b"Content-Type"), plain.header(b"Content-Type"))
            self.assertEqual(coded.header(b"ETag"), (plain.header(b"ETag") or b"")[:-1] + b'-gzip"')

    def test_zstdFirst(self) -> None:
        """
        zstd is preferred where the client has no preference.
        """
        self.write("a.js", SCRIPT)
        response = self.get("/a.js", {b"Accept-Encoding": b"gzip, deflate, br, zstd"})
        self.assertEqual(response.header(b"Content-Encoding"), b"zstd")
        self.assertEqual(zstandard.ZstdDecompressor().decompress(response.body).decode(), SCRIPT)

    def test_notCompressed(self) -> None:
        """
        Small files, dense types, and whoever does not want it get plain bytes.
        """
        self.write("small.js", "x" * 512)
        self.write("image.png", SCRIPT)
        self.write("a.js", SCRIPT)
        cases: list[tuple[str, HeaderLines]] = [
            ("/small.js", GZIP),
            ("/image.png", GZIP),
            ("/a.js", {b"Accept-Encoding": b"identity"}),
            ("/a.js", {b"Accept-Encoding": b"*"}),
            ("/a.js", {b"Accept-Encoding": b"gzip;q=0"}),
            ("/a.js", {**GZIP, b"Cache-Control": b"no-transform"}),
        ]
        for target, headers in cases:
            response = self.get(target, headers)
            self.assertIsNone(response.header(b"Content-Encoding"), target)
            self.assertEqual(response.header(b"Vary"), b"Accept-Encoding")

    def test_once(self) -> None:
        """
        A file is compressed once, however often it is asked for.
        """
        self.write("a.js", SCRIPT)
        bodies = {self.get("/a.js", GZIP).body for _ in range(3)}
        self.assertEqual((len(bodies), self.pool.done), (1, 1))

    def test_waiting(self) -> None:
        """
        Who asks while a file is being compressed gets the result; who left meanwhile does not
        matter; nothing stays open.
        """
        self.write("a.js", SCRIPT)
        self.pool.holds = True
        first, second, third = (self.client.start(b"GET", "/a.js", GZIP) for _ in range(3))
        self.assertEqual(first.received, b"")
        second.disconnect()
        self.pool.work()
        for exchange in (first, third):
            self.assertEqual(exchange.response().header(b"Content-Encoding"), b"gzip")
        self.assertEqual((self.pool.done, second.received), (1, b""))
        self.assertEqual(self.openFiles(), [str(self.root)])

    def test_useless(self) -> None:
        """
        A file that does not shrink is sent plain, under the plain tag.
        """
        content = os.urandom(2_000)
        self.write("a.js", content)
        for _ in range(2):
            response = self.get("/a.js", {b"Accept-Encoding": b"zstd, gzip"})
            self.assertEqual(response.body, content)
            self.assertIsNone(response.header(b"Content-Encoding"))
            self.assertEqual(response.header(b"Accept-Ranges"), b"bytes")
        again = {b"Accept-Encoding": b"gzip", b"If-None-Match": response.header(b"ETag") or b""}
        self.assertEqual(self.get("/a.js", again).status, 304)
        self.assertEqual(self.pool.done, 2)

    def test_replacedMeanwhile(self) -> None:
        """
        When the file is replaced while it is compressed, the version that was asked for is sent.
        """
        self.write("a.js", SCRIPT)
        self.pool.holds = True
        exchange = self.client.start(b"GET", "/a.js", GZIP)
        self.write("new", "new", AFTER).rename(self.root / "a.js")
        self.pool.work()
        self.assertEqual(zlib.decompress(exchange.response().body, 31).decode(), SCRIPT)

    def test_rewrittenMeanwhile(self) -> None:
        """
        When the file is rewritten in place while it is compressed, the new one is sent.
        """
        path = self.write("a.js", SCRIPT)
        self.pool.holds = True
        exchange = self.client.start(b"GET", "/a.js", GZIP)
        path.write_text("new")
        self.pool.work()
        self.assertEqual(exchange.response().body, b"new")

    def test_busy(self) -> None:
        """
        When too much is being compressed already the plain file is sent at once.
        """
        tree = self.makeTree(StaticSettings(cacheBytes=5_000))
        client = self.makeClient(tree)
        self.write("a.js", SCRIPT)
        self.write("b.js", SCRIPT)
        self.pool.holds = True
        waiting = client.start(b"GET", "/a.js", GZIP)
        response = client.request(b"GET", "/b.js", GZIP)
        self.assertEqual((response.status, response.text()), (200, SCRIPT))
        self.pool.work()
        self.assertEqual(waiting.response().header(b"Content-Encoding"), b"gzip")

    def test_large(self) -> None:
        """
        A file over the limit is sent plain.
        """
        client = self.makeClient(self.makeTree(StaticSettings(maxCompressBytes=1_000)))
        self.write("a.js", SCRIPT)
        self.assertIsNone(client.request(b"GET", "/a.js", GZIP).header(b"Content-Encoding"))
        self.assertEqual(self.pool.done, 0)

    def test_counted(self) -> None:
        """
        What was sent is counted by its kind.
        """
        self.write("a.js", SCRIPT)
        self.get("/a.js", GZIP)
        self.get("/a.js")
        self.get("/a.js", {b"Range": b"bytes=0-1"})
        for kind in ("encoded", "file", "partial"):
            self.assertEqual(self.metrics.value(rows.RESPONSES, kind), 1, kind)


class SiblingTests(StaticTestCase):
    """
    Compressed beforehand, beside the file.
    """

    def setUp(self) -> None:
        """
        A file that was compressed three times.
        """
        super().setUp()
        self.write("a.js", SCRIPT)
        for ending in ("br", "zst", "gz"):
            self.write(f"a.js.{ending}", ending)

    def coded(self, accept: bytes, target: str = "/a.js") -> tuple[bytes | None, bytes]:
        """
        The coding and the body that a client gets.
        """
        response = self.get(target, {b"Accept-Encoding": accept})
        return response.header(b"Content-Encoding"), response.body

    def test_chosen(self) -> None:
        """
        What lies there is sent as it is; the smallest kind first, weights before that.
        """
        self.assertEqual(self.coded(b"gzip, zstd, br"), (b"br", b"br"))
        self.assertEqual(self.coded(b"gzip, zstd"), (b"zstd", b"zst"))
        self.assertEqual(self.coded(b"gzip"), (b"gzip", b"gz"))
        self.assertEqual(self.coded(b"gzip, br;q=0.9"), (b"gzip", b"gz"))
        self.assertEqual(self.pool.done, 0)

    def test_stale(self) -> None:
        """
        One that is older than the file is not used.
        """
        self.write("a.js", SCRIPT, AFTER)
        coding, body = self.coded(b"gzip, br")
        self.assertEqual(coding, b"gzip")
        self.assertEqual(zlib.decompress(body, 31).decode(), SCRIPT)

    def test_rebuilt(self) -> None:
        """
        One that was made anew has a new tag.
        """
        headers = {b"Accept-Encoding": b"br"}
        tag = self.get("/a.js", headers).header(b"ETag")
        self.write("a.js.br", "better", AFTER)
        response = self.get("/a.js", headers)
        self.assertEqual(response.body, b"better")
        self.assertNotEqual(response.header(b"ETag"), tag)
        again = self.get("/a.js", {**headers, b"If-None-Match": response.header(b"ETag") or b""})
        self.assertEqual(again.status, 304)

    def test_anyType(self) -> None:
        """
        They are used for any type, because somebody made them on purpose; the type stays.
        """
        self.write("app.data", "x")
        self.write("app.data.br", "y")
        response = self.get("/app.data", {b"Accept-Encoding": b"br"})
        self.assertEqual(response.body, b"y")
        self.assertEqual(response.header(b"Content-Type"), b"application/octet-stream")

    def test_unusable(self) -> None:
        """
        An empty one, a link or a directory is passed over.
        """
        (self.root / "a.js.br").unlink()
        (self.root / "a.js.br").symlink_to("a.js.gz")
        (self.root / "a.js.zst").write_bytes(b"")
        self.assertEqual(self.coded(b"br, zstd, gzip"), (b"gzip", b"gz"))

    def test_byItself(self) -> None:
        """
        Asked for by its own name it is a file like any other.
        """
        self.assertEqual(self.coded(b"gzip", "/a.js.gz"), (None, b"gz"))
