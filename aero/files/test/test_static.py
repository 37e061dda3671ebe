"""
Tests for L{aero.files.static}.
"""

from __future__ import annotations

import os

from twisted.web.resource import IResource
from zope.interface.verify import verifyObject

from aero.errors import ConfigurationError
from aero.files.static import StaticTree
from aero.files.test.statics import StaticTestCase
from aero.metrics import static as rows
from aero.settings.http import StaticSettings
from aero.testing.properties import given, strategies
from aero.testing.web import WebResponse

INDEX = "<!doctype html><title>page</title>"
HTML = {b"Accept": b"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


class StaticTreeTests(StaticTestCase):
    """
    What a path names.
    """

    def setUp(self) -> None:
        """
        A front end.
        """
        super().setUp()
        self.write("index.html", INDEX)
        self.write("main.js", "script")
        self.write("assets/app-HASH.js", "hashed")
        self.write("sub/index.html", "sub")
        (self.root / "empty").mkdir()

    def assertMissing(self, response: WebResponse) -> None:
        """
        Nothing is there, and nobody may remember that.
        """
        self.assertEqual(response.error(), (404, "not_found"))
        self.assertEqual(response.header(b"Cache-Control"), b"no-cache")

    def test_interface(self) -> None:
        """
        It is a resource, and a leaf.
        """
        verifyObject(IResource, self.tree)
        self.assertTrue(self.tree.isLeaf)
        self.assertRaises(TypeError, self.tree.putChild, b"x", self.tree)

    def test_page(self) -> None:
        """
        The root and every path of the application show the page.
        """
        for target in ("/", "/index.html", "/vm/42", "/vm/", "/e2e", "/%C3%A4", "/" + "x" * 300):
            response = self.get(target)
            self.assertEqual((response.status, response.text()), (200, INDEX), target)
            self.assertEqual(response.header(b"Content-Type"), b"text/html; charset=utf-8")
            self.assertEqual(response.header(b"Cache-Control"), b"no-cache")

    def test_base(self) -> None:
        """
        The files are below the path of the public base URL as well, and redirects stay there.
        """
        self.client = self.makeClient(self.makeTree(self.settings, base="/a%20b/c"))
        for target, body in (("/a%20b/c/", INDEX), ("/%61%20b/c/main.js", "script"), ("/", INDEX)):
            self.assertEqual(self.get(target).text(), body, target)
        for target, location in (
            ("/a%20b/c", b"/a%20b/c/"),
            ("/a%20b/c?q", b"/a%20b/c/?q"),
            ("/a%20b/c/sub", b"/a%20b/c/sub/"),
            ("/sub", b"/sub/"),
        ):
            response = self.get(target)
            self.assertEqual(response.status, 308, target)
            self.assertEqual(response.header(b"Location"), location)
        hashed = self.get("/a%20b/c/assets/app-HASH.js")
        self.assertIn(b"immutable", hashed.header(b"Cache-Control") or b"")
        for target in ("/a%20b/c/.git/config", "/a%20b/c/../../etc/passwd"):
            self.assertIn(self.get(target).status, (400, 404))

    def test_missingScript(self) -> None:
        """
        A missing file is not the page, except to a browser that navigates to it.
        """
        self.assertMissing(self.get("/nope.js"))
        self.assertMissing(self.get("/nope.js", {b"Accept": b"*/*"}))
        self.assertEqual(self.get("/nope.js", HTML).text(), INDEX)
        self.assertEqual(self.get("/nope", HTML).text(), INDEX)

    def test_noPage(self) -> None:
        """
        Without a page there is nothing to fall back to.
        """
        (self.root / "index.html").unlink()
        for target in ("/", "/vm/42"):
            self.assertMissing(self.get(target, HTML))

    def test_assets(self) -> None:
        """
        What is hashed never changes; what is missing there may come.
        """
        response = self.get("/assets/app-HASH.js")
        self.assertEqual(response.header(b"Cache-Control"), b"public, max-age=31536000, immutable")
        for target in ("/assets/missing.js", "/assets/missing.wasm", "/assets/", "/assets/deep"):
            response = self.get(target, HTML)
            self.assertMissing(response)
            self.assertNotIn(b"wasm", response.header(b"Content-Type") or b"")
        self.assertMissing(self.get("/assets", HTML))

    def test_assetsElsewhere(self) -> None:
        """
        Only the first directory is special.
        """
        self.write("sub/assets/x.js", "x")
        self.write("assetsx/x.js", "x")
        for target in ("/sub/assets/x.js", "/assetsx/x.js"):
            self.assertEqual(self.get(target).header(b"Cache-Control"), b"no-cache")

    def test_directories(self) -> None:
        """
        A directory is its index, behind a slash; one without an index is nothing.
        """
        response = self.get("/sub?x=1&y=%2F")
        self.assertEqual(response.status, 308)
        self.assertEqual(response.header(b"Location"), b"/sub/?x=1&y=%2F")
        self.assertEqual(response.header(b"Cache-Control"), b"no-cache")
        self.assertEqual(self.get("/sub/").text(), "sub")
        for target in ("/empty", "/empty/"):
            self.assertMissing(self.get(target, HTML))

    def test_textIndex(self) -> None:
        """
        A directory may have a text as its index.
        """
        self.write("empty/index.txt", "text")
        self.assertEqual(self.get("/empty/").header(b"Content-Type"), b"text/plain; charset=utf-8")

    def test_fileWithSlash(self) -> None:
        """
        A file has no slash behind it.
        """
        response = self.get("/main.js/?q")
        self.assertEqual((response.status, response.header(b"Location")), (308, b"/main.js?q"))

    def test_redirectStaysHere(self) -> None:
        """
        No redirect leads to another host.
        """
        (self.root / "evil.com").mkdir()
        self.write("evil.com/index.html", "x")
        for target in (
            b"//evil.com",
            b"//evil.com/..",
            b"/\\evil.com",
            b"/%2fevil.com",
            b"///evil.com",
        ):
            response = self.get(target)
            self.assertGreaterEqual(response.status, 400, target)
            self.assertIsNone(response.header(b"Location"))

    def test_methods(self) -> None:
        """
        Files can be read, nothing else.
        """
        for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"BREW"):
            for target in ("/main.js", "/", "/vm/42", "/assets/app-HASH.js"):
                response = self.client.request(method, target)
                self.assertEqual(response.error(), (405, "method_not_allowed"))
                self.assertEqual(response.header(b"Allow"), b"GET, HEAD")
                self.assertEqual(response.header(b"Cache-Control"), b"no-cache")

    def test_hidden(self) -> None:
        """
        Hidden files do not exist, whatever the client accepts, except below C{/.well-known/}.
        """
        self.write(".env", "secret")
        self.write(".git/config", "secret")
        self.write("sub/.hidden/x", "secret")
        self.write(".well-known/security.txt", "contact")
        self.write(".well-known/.x", "secret")
        for target in (
            "/.env",
            "/.git/config",
            "/%2egit/config",
            "/sub/.hidden/x",
            "/.well-known/.x",
        ):
            self.assertMissing(self.get(target, HTML))
        self.assertEqual(self.get("/.well-known/security.txt").text(), "contact")
        self.assertMissing(self.get("/.well-known/change-password", HTML))

    def test_links(self) -> None:
        """
        A link out of the root does not exist, nor does the page in its place.
        """
        (self.base / "secret").write_text("secret")
        (self.root / "out").symlink_to(self.base)
        (self.root / "passwd").symlink_to("/etc/passwd")
        (self.root / "inside").symlink_to("sub/index.html")
        for target in ("/out/secret", "/passwd", "/out"):
            self.assertMissing(self.get(target, HTML))
        self.assertEqual(self.get("/inside").text(), "sub")

    def test_pipe(self) -> None:
        """
        A pipe does not exist, and is not waited for.
        """
        os.mkfifo(self.root / "pipe")
        self.assertMissing(self.get("/pipe", HTML))

    def test_invalid(self) -> None:
        """
        A path that could mean two things is refused.
        """
        for target in (
            b"/..%2f..%2fetc/passwd",
            b"/assets/..%5c..",
            b"/%00",
            b"/sub/../main.js",
            b"//main.js",
            b"/sub//index.html",
            b"/%zz",
        ):
            self.assertEqual(self.get(target).error(), (400, "bad_request"), target)

    def test_version(self) -> None:
        """
        Files whose names begin like a service's path are files.
        """
        for name in ("ethernet.js", "tcpdump.html", "versions.json"):
            self.write(name, name)
            self.assertEqual(self.get("/" + name).text(), name)

    def test_counted(self) -> None:
        """
        What was not a file is counted by its kind.
        """
        for target in ("/nope.js", "/.env", "/sub", "/a%5Cb"):
            self.get(target)
        for kind in ("missing", "denied", "redirect", "refused"):
            self.assertEqual(self.metrics.value(rows.RESPONSES, kind), 1, kind)

    def test_wrongRoot(self) -> None:
        """
        A root that is not there stops the start and names the setting.
        """
        with self.assertRaises(ConfigurationError) as caught:
            StaticTree(
                self.base / "nowhere", StaticSettings(), metrics=self.metrics, reactor=self.clock
            )
        self.assertEqual(caught.exception.variable, "AERO_FRONTEND_ROOT")

    @given(strategies.text("/.%25cfe0\\ab?#&", max_size=20))
    def test_anything(self, target: str) -> None:
        """
        Whatever is asked for is answered, nothing from outside, and nothing stays open.
        """
        (self.base / "a").write_text("secret")
        response = self.get("/" + target)
        self.assertIn(response.status, (200, 308, 400, 404))
        self.assertNotIn(b"secret", response.body)
        self.assertLess(len(self.openFiles()), 2)
