"""
Tests for L{aero.files.staticfile}.
"""

from __future__ import annotations

import os
import re
from typing import Any
from unittest import mock

from aero.files import webroot
from aero.files.staticfile import SMALL
from aero.files.test.statics import AFTER, BEFORE, StaticTestCase
from aero.testing.web import HeaderLines, WebResponse

SCRIPT = "export const words = 'again and again';\n" * 100
GZIP = {b"Accept-Encoding": b"gzip"}


class WholeFileTests(StaticTestCase):
    """
    A whole file, plain.
    """

    def test_headers(self) -> None:
        """
        A file has its type, a strong tag, a date, and may be asked for in parts.
        """
        self.write("main.js", SCRIPT)
        response = self.get("/main.js")
        self.assertEqual((response.status, response.text()), (200, SCRIPT))
        for name, value in {
            b"Content-Type": b"text/javascript; charset=utf-8",
            b"Cache-Control": b"no-cache",
            b"Accept-Ranges": b"bytes",
            b"Vary": b"Accept-Encoding",
            b"Last-Modified": b"Tue, 14 Nov 2023 22:13:20 GMT",
            b"ETag": b'"%x-%x"' % (BEFORE, len(SCRIPT)),
            b"Content-Encoding": None,
        }.items():
            self.assertEqual(response.header(name), value, name)

    def test_siteHeaders(self) -> None:
        """
        Every kind of response carries the headers of the site once.
        """
        self.write("main.js", SCRIPT)
        tag = self.get("/main.js").header(b"ETag") or b""
        headers: list[HeaderLines] = [
            GZIP,
            {b"If-None-Match": tag},
            {b"Range": b"bytes=0-1"},
            {b"Range": b"bytes=9999-"},
            {b"If-Match": b'"x"'},
        ]
        statuses = []
        for each in headers:
            response = self.get("/main.js", each)
            statuses.append(response.status)
            for name, value in self.client.site.responseHeaders.pairs:
                self.assertEqual(response.header(name), value)
        self.assertEqual(statuses, [200, 304, 206, 416, 412])

    def test_wasm(self) -> None:
        """
        WebAssembly has its own type in every directory.
        """
        for name in ("x.wasm", "assets/y.wasm", "a/b/z.wasm"):
            self.write(name, b"\0asm\1\0\0\0")
            self.assertEqual(self.get("/" + name).header(b"Content-Type"), b"application/wasm")

    def test_head(self) -> None:
        """
        HEAD says what GET says, and sends no body.
        """
        self.write("main.js", SCRIPT)
        self.write("big.dat", b"x" * (SMALL + 1))
        self.write("empty", b"")
        cases: list[tuple[str, HeaderLines]] = [
            ("/main.js", {}),
            ("/main.js", GZIP),
            ("/big.dat", {}),
            ("/empty", {}),
        ]
        for target, headers in cases:
            whole = self.get(target, headers)
            head = self.client.request(b"HEAD", target, headers)
            self.assertEqual(head.body, b"")
            self.assertEqual(self.described(head), self.described(whole))
            self.assertEqual(head.header(b"Content-Length"), b"%d" % len(whole.body))

    def described(self, response: WebResponse) -> Any:
        """
        All that a response says of itself, the id of its request aside.
        """
        lines = [line for line in response.headerLines if line[0] != b"X-Request-Id"]
        return response.status, sorted(lines)

    def test_empty(self) -> None:
        """
        An empty file is a file.
        """
        self.write("empty.txt", b"")
        response = self.get("/empty.txt", GZIP)
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(response.header(b"Content-Length"), b"0")

    def test_replaced(self) -> None:
        """
        A file that is replaced has another tag and another body at the next request, small or
        large, even when its size stays the same.
        """
        for size in (10, SMALL + 10):
            self.write("x.txt", b"a" * size)
            first = self.get("/x.txt")
            self.write("new", b"b" * size, AFTER).rename(self.root / "x.txt")
            second = self.get("/x.txt")
            self.assertEqual((first.body, second.body), (b"a" * size, b"b" * size))
            self.assertNotEqual(first.header(b"ETag"), second.header(b"ETag"))

    def test_sameTimeAndSize(self) -> None:
        """
        Even a file that pretends to be unchanged is read again.
        """
        self.write("x.txt", b"old")
        self.get("/x.txt")
        self.write("x.txt", b"new")
        self.assertEqual(self.get("/x.txt").body, b"new")

    def test_stableTag(self) -> None:
        """
        A copy of a file has the tag of the file, on whatever disk and under whatever name.
        """
        self.write("x.txt", b"same")
        self.write("y/x.txt", b"same")
        self.assertEqual(self.get("/x.txt").header(b"ETag"), self.get("/y/x.txt").header(b"ETag"))

    def test_fromMemory(self) -> None:
        """
        A small file that has not changed is not read from the disk again.
        """
        self.write("main.js", SCRIPT)
        self.get("/main.js")
        with mock.patch.object(webroot.Location, "open", side_effect=AssertionError):
            self.assertEqual(self.get("/main.js").text(), SCRIPT)

    def test_replacedMeanwhile(self) -> None:
        """
        A file that is replaced between being found and being opened is looked for again.
        """
        self.write("x.txt", b"old")
        opened = webroot.Location.open

        def replacing(location: Any, name: Any = None) -> Any:
            if (self.root / "new").exists():
                (self.root / "new").rename(self.root / "x.txt")
            return opened(location, name)

        self.write("new", b"newer", AFTER)
        with mock.patch.object(webroot.Location, "open", replacing):
            response = self.get("/x.txt")
        self.assertEqual(response.body, b"newer")
        self.assertEqual(response.header(b"ETag"), b'"%x-5"' % AFTER)

    def test_unreadable(self) -> None:
        """
        A file that may not be read is as good as none.
        """
        self.write("x.txt", b"secret")
        with mock.patch.object(webroot.Location, "open", side_effect=webroot.Denied):
            self.assertEqual(self.get("/x.txt").error(), (404, "not_found"))

    def test_pipelined(self) -> None:
        """
        Several requests at once are answered in their order.
        """
        for name in "abc":
            self.write(name, name)
        exchange = self.client.connect()
        exchange.sendRaw(
            b"".join(
                b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % name for name in (b"a", b"b", b"c")
            )
        )
        self.assertEqual([each.body for each in exchange.responses()], [b"a", b"b", b"c"])


class ConditionTests(StaticTestCase):
    """
    A client that has the file is told so.
    """

    def test_tag(self) -> None:
        """
        With the current tag there is nothing to send, with another there is.
        """
        self.write("main.js", SCRIPT)
        tag = self.get("/main.js").header(b"ETag") or b""
        response = self.get("/main.js", {b"If-None-Match": tag})
        self.assertEqual((response.status, response.body), (304, b""))
        self.assertEqual(response.header(b"ETag"), tag)
        self.assertEqual(response.header(b"Vary"), b"Accept-Encoding")
        self.assertEqual(response.header(b"Cache-Control"), b"no-cache")
        for name in (b"Last-Modified", b"Content-Type", b"Content-Length"):
            self.assertIsNone(response.header(name))
        self.assertEqual(self.get("/main.js", {b"If-None-Match": b'"x"'}).status, 200)

    def test_date(self) -> None:
        """
        The same by date.
        """
        self.write("main.js", SCRIPT)
        date = self.get("/main.js").header(b"Last-Modified") or b""
        self.assertEqual(self.get("/main.js", {b"If-Modified-Since": date}).status, 304)
        self.write("main.js", SCRIPT, AFTER)
        self.assertEqual(self.get("/main.js", {b"If-Modified-Since": date}).status, 200)

    def test_codedTag(self) -> None:
        """
        The tag of a coded body is known again, without making the body first.
        """
        self.write("main.js", SCRIPT)
        tag = self.get("/main.js", GZIP).header(b"ETag") or b""
        plain = self.get("/main.js").header(b"ETag")
        self.assertNotEqual(tag, plain)
        self.tree = self.makeTree(self.settings)
        self.client = self.makeClient(self.tree)
        self.pool.holds = True
        response = self.get("/main.js", {**GZIP, b"If-None-Match": tag})
        self.assertEqual((response.status, response.header(b"ETag")), (304, tag))
        self.assertEqual(self.pool.waiting, [])

    def test_failed(self) -> None:
        """
        A client that insists on another version gets an error.
        """
        self.write("main.js", SCRIPT)
        response = self.get("/main.js", {b"If-Match": b'"x"'})
        self.assertEqual(response.error(), (412, "precondition_failed"))


class RangeTests(StaticTestCase):
    """
    Parts of a file.
    """

    def setUp(self) -> None:
        """
        A file whose bytes are known.
        """
        super().setUp()
        self.content = bytes(range(256)) * 4
        self.write("main.js", self.content)

    def part(self, value: bytes, **more: bytes) -> WebResponse:
        """
        Ask for a range.
        """
        extra = {name.replace("_", "-").encode(): value for name, value in more.items()}
        return self.get("/main.js", {b"Range": value, **extra})

    def test_single(self) -> None:
        """
        One range is sent as it is, and says where it lies.
        """
        response = self.part(b"bytes=0-9")
        self.assertEqual((response.status, response.body), (206, self.content[:10]))
        self.assertEqual(response.header(b"Content-Range"), b"bytes 0-9/1024")
        self.assertEqual(response.header(b"Content-Type"), b"text/javascript; charset=utf-8")
        self.assertEqual(self.part(b"bytes=-4").body, self.content[-4:])

    def test_several(self) -> None:
        """
        Several ranges come in one body of several parts.
        """
        response = self.part(b"bytes=0-1,1000-")
        self.assertEqual(response.status, 206)
        kind = response.header(b"Content-Type") or b""
        match = re.fullmatch(rb"multipart/byteranges; boundary=([0-9a-f]{32})", kind)
        assert match is not None
        parts = response.body.split(b"--" + match[1])
        self.assertEqual(parts[0], b"")
        self.assertTrue(parts[1].endswith(b"bytes 0-1/1024\r\n\r\n" + self.content[:2] + b"\r\n"))
        self.assertTrue(
            parts[2].endswith(b"bytes 1000-1023/1024\r\n\r\n" + self.content[1000:] + b"\r\n")
        )
        self.assertEqual(parts[3], b"--\r\n")

    def test_beyond(self) -> None:
        """
        A range beyond the end is refused with the size of the file.
        """
        response = self.part(b"bytes=1024-")
        self.assertEqual(response.error(), (416, "range_not_satisfiable"))
        self.assertEqual(response.header(b"Content-Range"), b"bytes */1024")
        self.assertEqual(response.header(b"Cache-Control"), b"no-cache")

    def test_neverCoded(self) -> None:
        """
        A part is never compressed.
        """
        response = self.part(b"bytes=0-999", Accept_Encoding=b"gzip")
        self.assertEqual((response.status, response.body), (206, self.content[:1000]))
        self.assertIsNone(response.header(b"Content-Encoding"))

    def test_ifRange(self) -> None:
        """
        A download goes on where it stopped only if the file is the same; else it begins anew.
        """
        whole = self.get("/main.js")
        tag = whole.header(b"ETag") or b""
        date = whole.header(b"Last-Modified") or b""
        for same in (tag, date):
            self.assertEqual(self.part(b"bytes=0-9", If_Range=same).status, 206)
        for other in (b'"x"', b"W/" + tag, b"Tue, 14 Nov 2023 22:13:19 GMT"):
            response = self.part(b"bytes=0-9", If_Range=other)
            self.assertEqual((response.status, response.body), (200, self.content))
        self.assertEqual(self.part(b"bytes=9999-", If_Range=b'"x"').status, 200)

    def test_ignored(self) -> None:
        """
        What is no range, or too many, or not a GET, is answered as without it.
        """
        many = b"bytes=" + b",".join(b"%d-%d" % (at, at) for at in range(0, 100, 2))
        for value in (b"bytes=x", b"lines=1-2", many, b"bytes=0-,0-"):
            self.assertEqual(self.part(value).status, 200)
        head = self.client.request(b"HEAD", "/main.js", {b"Range": b"bytes=0-9"})
        self.assertEqual((head.status, head.header(b"Content-Length")), (200, b"1024"))

    def test_unmodified(self) -> None:
        """
        A client that has the whole file needs no part of it.
        """
        tag = self.get("/main.js").header(b"ETag") or b""
        self.assertEqual(self.part(b"bytes=0-9", If_None_Match=tag).status, 304)
        self.assertEqual(self.part(b"bytes=9999-", If_None_Match=tag).status, 304)

    def test_large(self) -> None:
        """
        A part of a large file is exact too.
        """
        content = os.urandom(3 * SMALL)
        self.write("big.dat", content)
        response = self.get("/big.dat", {b"Range": b"bytes=%d-%d" % (SMALL - 5, 2 * SMALL)})
        self.assertEqual(response.body, content[SMALL - 5 : 2 * SMALL + 1])


class DiskImageTests(StaticTestCase):
    """
    Disk images go out untouched (edge.md section 18).
    """

    def test_untouched(self) -> None:
        """
        They are never compressed, and no proxy may do so either.
        """
        for name in ("disk.img", "assets/disk.QCOW2"):
            self.write(name, b"\0" * 4_096)
            self.write(name + ".gz", b"x", AFTER)
            response = self.get("/" + name, {b"Accept-Encoding": b"zstd, gzip"})
            self.assertEqual(response.body, b"\0" * 4_096)
            self.assertIsNone(response.header(b"Content-Encoding"))
            self.assertIsNone(response.header(b"Vary"))
            self.assertIn(b"no-transform", response.header(b"Cache-Control") or b"")

    def test_oneRange(self) -> None:
        """
        One range at a time: several are refused.
        """
        self.write("disk.img", b"\0" * 4_096)
        single = self.get("/disk.img", {b"Range": b"bytes=512-1023"})
        self.assertEqual((single.status, len(single.body)), (206, 512))
        several = self.get("/disk.img", {b"Range": b"bytes=0-1,4-5"})
        self.assertEqual(several.status, 416)
        self.assertEqual(several.header(b"Content-Range"), b"bytes */4096")
