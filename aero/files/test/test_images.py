"""
Tests for L{aero.files.images} and L{aero.files.imagegate}.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource
from zope.interface.verify import verifyObject

from aero.errors import ConfigurationError
from aero.files.test.imagesfixtures import CONTENT, OWN, ImagesTestCase
from aero.metrics import images as rows
from aero.settings.images import IMMUTABLE
from aero.testing.web import Exchange

from .. import filebody


class StreamingTests(ImagesTestCase):
    """
    The contract that a streaming client relies on.
    """

    def test_interface(self) -> None:
        """
        It is a resource, and a leaf.
        """
        verifyObject(IResource, self.tree)
        self.assertRaises(TypeError, self.tree.putChild, b"x", self.tree)

    def test_head(self) -> None:
        """
        HEAD tells the size, that ranges work, and the version.
        """
        response = self.get(method=b"HEAD")
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(response.header(b"Content-Length"), b"%d" % len(CONTENT))
        self.assertEqual(response.header(b"Accept-Ranges"), b"bytes")
        self.assertRegex(response.header(b"ETag") or b"", rb'\A"[^"]+"\Z')
        self.assertEqual(response.header(b"Content-Type"), b"application/octet-stream")

    def test_range(self) -> None:
        """
        A range is exactly what was asked for.
        """
        size = len(CONTENT)
        for asked, start, stop in (
            (b"bytes=0-0", 0, 1),
            (b"bytes=1000-1999", 1000, 2000),
            (b"bytes=262143-", size - 1, size),
            (b"bytes=-3", size - 3, size),
            (b"bytes=262000-999999999", 262000, size),
        ):
            response = self.get(headers={b"Range": asked})
            self.assertEqual((response.status, response.body), (206, CONTENT[start:stop]))
            self.assertEqual(
                response.header(b"Content-Range"), b"bytes %d-%d/%d" % (start, stop - 1, size)
            )
            self.assertEqual(response.header(b"Content-Length"), b"%d" % (stop - start))

    def test_outside(self) -> None:
        """
        A range behind the end is a 416 that tells the size.
        """
        response = self.get(headers={b"Range": b"bytes=262144-"})
        self.assertEqual(response.status, 416)
        self.assertEqual(response.header(b"Content-Range"), b"bytes */262144")

    def test_several(self) -> None:
        """
        Several ranges are a 416, however many there are and wherever they are written.
        """
        many = b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(100))
        for lines in (
            [(b"Range", b"bytes=0-1,4-5")],
            [(b"Range", many)],
            [(b"Range", b"bytes=0-1"), (b"Range", b"bytes=4-5")],
        ):
            response = self.get(headers=lines)
            self.assertEqual(response.error(), (416, "range_not_satisfiable"))
            self.assertEqual(response.header(b"Content-Range"), b"bytes */262144")
        self.assertEqual(self.refused("ranges"), 3)

    def test_emptyElements(self) -> None:
        """
        Empty elements of the list do not make one range several (RFC 9110 section 5.6.1.2).
        """
        for value in (b"bytes=0-5,", b"bytes=,0-5", b"bytes= ,, 0-5 , "):
            response = self.get(headers={b"Range": value})
            self.assertEqual((response.status, response.body), (206, CONTENT[:6]), value)

    def test_ifRange(self) -> None:
        """
        A range of another version is the whole image instead.
        """
        etag = self.get(method=b"HEAD").header(b"ETag") or b""
        asked = {b"Range": b"bytes=0-9"}
        self.assertEqual(self.get(headers=asked | {b"If-Range": etag}).status, 206)
        whole = self.get(headers=asked | {b"If-Range": b'"other"'})
        self.assertEqual((whole.status, len(whole.body)), (200, len(CONTENT)))

    def test_notModified(self) -> None:
        """
        Who has this version is told so.
        """
        first = self.get(method=b"HEAD")
        for name, value in (
            (b"If-None-Match", first.header(b"ETag")),
            (b"If-Modified-Since", first.header(b"Last-Modified")),
        ):
            response = self.get(headers={name: value or b""})
            self.assertEqual((response.status, response.body), (304, b""))
            self.assertEqual(response.header(b"ETag"), first.header(b"ETag"))

    def test_unchanged(self) -> None:
        """
        Nothing is compressed, whatever its name is, and nobody on the way may change it.
        """
        (self.root / "text.html").write_text("word " * 2000)
        (self.root / "text.html.gz").write_bytes(b"\x1f\x8b")
        for name in ("disk.img", "text.html", "win/manifest.json"):
            response = self.get(f"/images/{name}", {b"Accept-Encoding": b"gzip, zstd, br"})
            self.assertEqual(response.status, 200)
            self.assertIs(response.header(b"Content-Encoding"), None)
            self.assertIn(b"no-transform", response.header(b"Cache-Control") or b"")
        html = self.get("/images/text.html")
        self.assertEqual(html.header(b"Content-Type"), b"application/octet-stream")
        manifest = self.get("/images/win/manifest.json")
        self.assertEqual(manifest.header(b"Content-Type"), b"application/json")

    def test_caching(self) -> None:
        """
        How long a client may go without asking is a setting; with sessions, no cache in between
        may keep it.
        """
        cases: tuple[tuple[dict[str, Any], bytes], ...] = (
            ({}, b"public, max-age=3600, no-transform"),
            ({"maxAge": 0}, b"public, max-age=0, no-transform"),
            ({"maxAge": IMMUTABLE}, b"public, max-age=31536000, immutable, no-transform"),
        )
        for settings, expected in cases:
            self.serve(**settings)
            for headers in ({}, {b"Range": b"bytes=0-1"}):
                self.assertEqual(self.get(headers=headers).header(b"Cache-Control"), expected)

    def test_changedMeanwhile(self) -> None:
        """
        A new version has a new tag, and a range of the old one is not mixed with it.
        """
        etag = self.get(method=b"HEAD").header(b"ETag") or b""
        fresh = self.root / "fresh"
        fresh.write_bytes(b"x" * 1000)
        os.replace(fresh, self.root / "disk.img")
        response = self.get(headers={b"Range": b"bytes=0-9", b"If-Range": etag})
        self.assertEqual((response.status, response.body), (200, b"x" * 1000))


class NamesTests(ImagesTestCase):
    """
    What names an image.
    """

    def test_missing(self) -> None:
        """
        What is no file is a 404: no listing, no redirect, no page.
        """
        for target in (
            "/images",
            "/images/",
            "/images/win",
            "/images/win/",
            "/images/nope",
            "/images/disk.img/",
            "/images/disk.img/x",
            "/images/nope?x=1",
        ):
            response = self.get(target, {b"Accept": b"text/html"})
            self.assertEqual(response.error(), (404, "not_found"), target)
            self.assertEqual(response.header(b"Cache-Control"), b"no-store")

    def test_waysOut(self) -> None:
        """
        Nothing outside of the directory can be named, by path or by link; links inside can.
        """
        (self.root / "out").symlink_to(self.base / "secret")
        (self.root / "up").symlink_to("../secret")
        (self.root / "in").symlink_to("win/manifest.json")
        (self.root / ".hidden").write_text("hidden")
        os.mkfifo(self.root / "pipe")
        for target in (
            "/images/../secret",
            "/images/%2e%2e/secret",
            "/images/..%2fsecret",
            "/images/win/..%5c..%5csecret",
            "/images//disk.img",
            "/images/%00",
            "/images/out",
            "/images/up",
            "/images/.hidden",
            "/images/pipe",
        ):
            response = self.get(target)
            self.assertIn(response.status, (400, 404), target)
            self.assertNotIn(b"secret", response.body)
        self.assertEqual(self.get("/images/in").body, b"{}")

    def test_base(self) -> None:
        """
        Images are below the path of the public base URL as well.
        """
        self.serve(base="/pc")
        self.assertEqual(self.get("/pc/images/disk.img").status, 200)
        self.assertEqual(self.get("/images/disk.img").status, 200)

    def test_methods(self) -> None:
        """
        Images are read and nothing else.
        """
        for method in (b"POST", b"PUT", b"DELETE"):
            response = self.get(method=method)
            self.assertEqual(response.status, 405)
            self.assertEqual(response.header(b"Allow"), b"GET, HEAD, OPTIONS")

    def test_noDirectory(self) -> None:
        """
        A root that is no directory stops the start.
        """
        self.root = self.base / "nope"
        error = self.assertRaises(ConfigurationError, self.serve)
        self.assertIn("AERO_IMAGES_ROOT", str(error))


class PermissionTests(ImagesTestCase):
    """
    Who may read images, and how much at once.
    """

    def test_sameOrigin(self) -> None:
        """
        By default the site's own pages may, and nobody else's.
        """
        mine = self.get(headers={b"Origin": OWN.encode()})
        self.assertEqual(mine.status, 200)
        self.assertEqual(mine.header(b"Access-Control-Allow-Origin"), OWN.encode())
        self.assertEqual(self.get().header(b"Cross-Origin-Resource-Policy"), b"same-origin")
        self.assertIs(self.get().header(b"Vary"), None)
        evil = self.get(headers={b"Origin": b"https://evil.example"})
        self.assertEqual(evil.error(), (403, "forbidden"))
        self.assertEqual(self.refused("origin"), 1)

    def test_listed(self) -> None:
        """
        Listed origins may, with credentials, and are told what they need; caches are told that it
        depends.
        """
        self.serve(corsOrigins=("https://a.example",), resourcePolicy="cross-origin")
        response = self.get(headers={b"Origin": b"https://a.example"})
        self.assertEqual(response.header(b"Access-Control-Allow-Origin"), b"https://a.example")
        self.assertEqual(response.header(b"Access-Control-Allow-Credentials"), b"true")
        exposed = response.header(b"Access-Control-Expose-Headers") or b""
        for name in (b"Accept-Ranges", b"Content-Range", b"Content-Length", b"ETag"):
            self.assertIn(name, exposed)
        for headers in ({}, {b"Origin": b"https://evil.example"}):
            self.assertEqual(self.get(headers=headers).header(b"Vary"), b"Origin")
        self.assertEqual(response.header(b"Cross-Origin-Resource-Policy"), b"cross-origin")
        evil = self.get(headers={b"Origin": b"https://evil.example"})
        self.assertEqual(evil.status, 403)
        self.assertEqual(evil.header(b"Cross-Origin-Resource-Policy"), b"cross-origin")

    def test_anybody(self) -> None:
        """
        With a star everybody may, without credentials.
        """
        self.serve(corsOrigins=("*",))
        for headers in ({}, {b"Origin": b"https://evil.example"}, {b"Origin": b"null"}):
            response = self.get(headers=headers)
            self.assertEqual(response.status, 200)
            self.assertEqual(response.header(b"Access-Control-Allow-Origin"), b"*")
            self.assertIs(response.header(b"Access-Control-Allow-Credentials"), None)

    def test_preflight(self) -> None:
        """
        A preflight is answered before anything else, also where a session is required.
        """
        self.serve(corsOrigins=("https://a.example",), requireSession=True)
        asked = {b"Access-Control-Request-Method": b"GET"}
        response = self.get(method=b"OPTIONS", headers=asked | {b"Origin": b"https://a.example"})
        self.assertEqual((response.status, response.body), (204, b""))
        allowed = response.header(b"Access-Control-Allow-Headers") or b""
        for name in (b"Range", b"If-Range", b"If-None-Match", b"If-Modified-Since"):
            self.assertIn(name, allowed)
        evil = self.get(method=b"OPTIONS", headers=asked | {b"Origin": b"https://evil.example"})
        self.assertEqual(evil.status, 403)

    def test_session(self) -> None:
        """
        Where a session is required, images are for those who have one, and for no shared cache.
        """
        self.serve(requireSession=True)
        self.assertEqual(self.get().error(), (401, "unauthorized"))
        self.assertEqual(self.get("/images/nope").status, 401)
        _, cookie = self.sessions.renew(None, 1_000.0, True)
        response = self.get(headers={b"Cookie": cookie.partition(b";")[0]})
        self.assertEqual(response.status, 200)
        self.assertTrue((response.header(b"Cache-Control") or b"").startswith(b"private, "))
        self.assertEqual(self.refused("session"), 2)

    def test_rangeRequired(self) -> None:
        """
        Where a range is required, nobody gets a whole image by mistake.
        """
        self.serve(requireRange=True)
        self.assertEqual(self.get(headers={b"Range": b"bytes=0-9"}).status, 206)
        self.assertEqual(self.get(method=b"HEAD").status, 200)
        for headers in ({}, {b"Range": b"lines=0-9"}, {b"Range": b"bytes=9-0"}):
            response = self.get(headers=headers)
            self.assertEqual(response.error(), (416, "range_not_satisfiable"))
            self.assertEqual(response.header(b"Content-Range"), b"bytes */262144")
        stale = self.get(headers={b"Range": b"bytes=0-9", b"If-Range": b'"old"'})
        self.assertEqual(stale.error(), (412, "precondition_failed"))
        self.assertEqual(self.get(headers={b"Range": b"bytes=999999-"}).status, 416)

    def test_busy(self) -> None:
        """
        One download too many is told to come back, until another one has ended.
        """
        self.serve(maxDownloads=1)
        self.tree._downloads = 1
        response = self.get()
        self.assertEqual(response.error(), (429, "too_many_requests"))
        self.assertEqual(response.header(b"Retry-After"), b"1")
        self.assertEqual(self.get(method=b"HEAD").status, 200)
        self.tree._downloads = 0
        for _ in range(3):
            self.assertEqual(self.get().status, 200)
        self.assertEqual(self.metrics.value(rows.DOWNLOADS), 0)
        self.assertEqual(self.metrics.value(rows.BYTES), 3 * len(CONTENT))


class ColdTests(ImagesTestCase):
    """
    Images that are not in memory are read in threads.
    """

    def setUp(self) -> None:
        """
        Have nothing in memory, as the kernel says, and threads that take their time.
        """
        super().setUp()
        self.patch(filebody, "isCached", lambda descriptor, offset, length: False)
        self.pool.holds = True
        self.content = os.urandom(3 * filebody.BLOCK + 17)
        (self.root / "big.img").write_bytes(self.content)

    def begin(self, **headers: bytes) -> Exchange:
        """
        Ask for the large image.
        """
        exchange = self.client.connect()
        exchange.send(b"GET", "/images/big.img", list(headers.items()))  # type: ignore[arg-type]
        return exchange

    def open(self) -> bool:
        """
        Whether the image is open.
        """
        names = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        return any(
            os.path.islink(name) and os.readlink(name).endswith("/big.img") for name in names
        )

    def work(self) -> None:
        """
        Let the threads read what was asked for, and the reactor go on.
        """
        self.pool.work()
        self.clock.advance(0)

    def test_blocks(self) -> None:
        """
        One block after another is read in a thread, in order, and others are served meanwhile.
        """
        exchange = self.begin()
        for count in range(4):
            self.assertEqual(len(self.pool.waiting), 1)
            self.assertLess(len(exchange.received), (count + 1) * filebody.BLOCK)
            self.assertEqual(self.get(method=b"HEAD").status, 200)
            self.work()
        self.assertTrue(exchange.response().body == self.content)
        self.assertEqual(self.metrics.value(rows.COLD_READS), 4)
        self.assertFalse(self.open())

    def test_small(self) -> None:
        """
        So is a small range.
        """
        exchange = self.client.connect()
        exchange.send(b"GET", "/images/big.img", [(b"Range", b"bytes=5-9")])
        self.assertEqual(len(self.pool.waiting), 1)
        self.work()
        self.assertEqual(exchange.response().body, self.content[5:10])

    def test_leaves(self) -> None:
        """
        The image stays open for the thread when the client leaves meanwhile, and no longer.
        """
        exchange = self.begin()
        exchange.disconnect()
        self.assertTrue(self.open())
        self.work()
        self.assertFalse(self.open())
        self.assertEqual(self.pool.waiting, [])
        self.assertEqual(self.metrics.value(rows.DOWNLOADS), 0)

    def test_torn(self) -> None:
        """
        An image that was written to meanwhile is cut off.
        """
        exchange = self.begin()
        with (self.root / "big.img").open("r+b") as file:
            file.truncate(5)
        self.work()
        self.assertTrue(exchange.transport.closed)
        self.assertEqual(self.metrics.value(rows.TORN), 1)
        self.assertFalse(self.open())

    def test_tornAfterwards(self) -> None:
        """
        Neither a torn image nor an error matters when the client is gone.
        """
        exchange = self.begin()
        exchange.disconnect()
        (self.root / "big.img").write_bytes(b"")
        self.work()
        self.assertFalse(self.open())

    def test_bug(self) -> None:
        """
        An error that nobody thought of is logged and ends the response.
        """
        exchange = self.begin()
        self.patch(os, "pread", lambda *ignored: 1 / 0)
        self.work()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(exchange.transport.closed)
        self.assertFalse(self.open())


class CachedTests(SynchronousTestCase):
    """
    Tests for L{filebody.isCached}.
    """

    def test_warm(self) -> None:
        """
        What was just written is in memory, at any offset; what cannot be asked counts as if it were.
        """
        with tempfile.NamedTemporaryFile() as file:
            file.write(CONTENT)
            file.flush()
            for offset, length in ((0, 1), (0, len(CONTENT)), (1234, 70_000), (len(CONTENT), 1)):
                self.assertTrue(filebody.isCached(file.fileno(), offset, length))
        self.assertTrue(filebody.isCached(-1, 0, 10))


class PreflightTests(ImagesTestCase):
    """
    Which headers a page of another site may send.
    """

    def granted(self, asked: bytes, origin: str = "https://a.example") -> set[bytes]:
        """
        The names that a preflight is granted, in lower case.
        """
        response = self.get(
            method=b"OPTIONS",
            headers={
                b"Origin": origin.encode(),
                b"Access-Control-Request-Method": b"GET",
                b"Access-Control-Request-Headers": asked,
            },
        )
        self.assertEqual(response.status, 204)
        value = response.header(b"Access-Control-Allow-Headers") or b""
        return {name.strip().lower() for name in value.split(b",")}

    def test_asked(self) -> None:
        """
        A listed origin, and the own, is granted what it asks for, C{Authorization} too.
        """
        self.serve(corsOrigins=("https://a.example",))
        for origin in ("https://a.example", OWN):
            found = self.granted(b"range,x-accept-encoding, authorization", origin)
            self.assertLessEqual({b"range", b"x-accept-encoding", b"authorization"}, found)

    def test_anySite(self) -> None:
        """
        Any site, without credentials, is granted all but C{Authorization}.
        """
        self.serve(corsOrigins=("*",))
        found = self.granted(b"Authorization, X-Accept-Encoding,range")
        self.assertLessEqual({b"range", b"x-accept-encoding", b"if-range"}, found)
        self.assertNotIn(b"authorization", found)

    def test_odd(self) -> None:
        """
        What is no list of names, or too long, is not repeated; the usual names are still granted.
        """
        self.serve(corsOrigins=("*",))
        for asked in (b"x-a b", b"x-a;q=1", b"x-\xe4", b'"x"', b"x-" + b"a" * 4_096):
            found = self.granted(asked)
            self.assertEqual(
                found, {b"range", b"if-range", b"if-none-match", b"if-modified-since"}, asked
            )
        self.assertIn(b"x-a", self.granted(b",x-a,,"))
