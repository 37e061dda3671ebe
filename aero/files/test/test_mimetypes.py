"""
Tests for L{aero.files.mimetypes}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.files.mimetypes import isCompressible, isDiskImage, mediaType


class MediaTypeTests(SynchronousTestCase):
    """
    A browser is told what a file is.
    """

    def test_mustHaves(self) -> None:
        """
        Pages, scripts, styles, data and WebAssembly have exactly the types browsers demand.
        """
        for name, expected in {
            b"index.html": b"text/html; charset=utf-8",
            b"main.js": b"text/javascript; charset=utf-8",
            b"main.mjs": b"text/javascript; charset=utf-8",
            b"main.css": b"text/css; charset=utf-8",
            b"data.json": b"application/json",
            b"x.wasm": b"application/wasm",
            b"x.svg": b"image/svg+xml",
            b"x.png": b"image/png",
            b"x.woff2": b"font/woff2",
        }.items():
            self.assertEqual(mediaType(name), expected)

    def test_unknown(self) -> None:
        """
        A file without a known extension is plain bytes, never nothing.
        """
        for name in (b"LICENSE", b"x.unheard-of", b"", b"wasm", b"x.wasm.bak"):
            self.assertEqual(mediaType(name), b"application/octet-stream")

    def test_case(self) -> None:
        """
        The case of an extension does not matter, nor do dots before it.
        """
        self.assertEqual(mediaType(b"A.B.WASM"), b"application/wasm")

    def test_compressible(self) -> None:
        """
        Text, data and WebAssembly are compressed; what is dense already is not.
        """
        for name in (b"a.html", b"a.js", b"a.json", b"a.wasm", b"a.svg", b"a.ttf", b"a.ico"):
            self.assertTrue(isCompressible(mediaType(name)), name)
        for name in (b"a.png", b"a.woff2", b"a.mp4", b"a.zip", b"a.img", b"a"):
            self.assertFalse(isCompressible(mediaType(name)), name)

    def test_diskImages(self) -> None:
        """
        Disk images are known by their extension.
        """
        for name in (b"a.img", b"a.RAW", b"a.bin", b"a.iso", b"a.qcow2", b"a.vhd"):
            self.assertTrue(isDiskImage(name), name)
        for name in (b"img", b"a.img.json", b"a.js"):
            self.assertFalse(isDiskImage(name), name)
