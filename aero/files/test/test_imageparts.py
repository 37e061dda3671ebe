"""
Tests for L{aero.files.imageparts}: parts of images with names of their own.
"""

from __future__ import annotations

import os

import zstandard

from aero.metrics import images as rows

from .imagesfixtures import CONTENT, ImagesTestCase


class PartTests(ImagesTestCase):
    """
    Parts with names of their own, which v86 asks for.
    """

    def test_made(self) -> None:
        """
        A part is cut from the whole image: 200, its length, the end exclusive.
        """
        (self.root / "win" / "95.img").write_bytes(CONTENT)
        for start, stop in ((0, 256), (256, 512), (0, len(CONTENT)), (1, 2), (70_000, 200_000)):
            for stem in ("disk", "win/95"):
                response = self.get(f"/images/{stem}-{start}-{stop}.img")
                self.assertEqual((response.status, response.phrase), (200, b"OK"))
                self.assertTrue(response.body == CONTENT[start:stop], (stem, start, stop))
                self.assertEqual(response.header(b"Content-Length"), b"%d" % (stop - start))
                self.assertEqual(response.header(b"Content-Type"), b"application/octet-stream")
                self.assertIsNone(response.header(b"Content-Range"))
        # A directory of parts, v86's disk/.img.
        self.assertEqual(self.get("/images/disk/256-512.img").body, CONTENT[256:512])
        self.assertEqual(self.metrics.value(rows.PARTS, "plain"), 11)
        self.assertEqual(self.metrics.value(rows.DOWNLOADS), 0)

    def test_end(self) -> None:
        """
        A part that goes beyond the end is filled with zeros, as v86's own tool fills the last one;
        a part that begins there is a 404.
        """
        size = len(CONTENT)
        response = self.get(f"/images/disk-{size - 100}-{size + 156}.img")
        self.assertEqual((response.status, response.body), (200, CONTENT[-100:] + bytes(156)))
        for start in (size, size + 1, 10**14):
            response = self.get(f"/images/disk-{start}-{start + 256}.img")
            self.assertEqual(response.error(), (404, "not_found"))

    def test_head(self) -> None:
        """
        HEAD has the headers of GET, in both forms.
        """
        for target in ("/images/disk-0-512.img", "/images/disk-0-512.img.zst"):
            got, head = self.get(target), self.get(target, method=b"HEAD")
            self.assertEqual((head.status, head.body), (200, b""))
            for name in (b"ETag", b"Content-Length", b"Cache-Control", b"Last-Modified"):
                self.assertEqual(got.header(name), head.header(name))
                self.assertIsNotNone(got.header(name))

    def test_tags(self) -> None:
        """
        Each part and form has a strong entity tag, which a client can come back with, and which
        changes with the image.
        """
        targets = [
            f"/images/disk-{part}.img{form}"
            for part in ("0-256", "0-512", "256-512")
            for form in ("", ".zst")
        ]
        tags = [self.get(target).header(b"ETag") or b"" for target in targets]
        self.assertEqual(len(set(tags)), len(targets))
        for target, tag in zip(targets, tags, strict=True):
            self.assertTrue(tag.startswith(b'"'))
            self.assertEqual(self.get(target, {b"If-None-Match": tag}).status, 304)
        os.utime(self.root / "disk.img", (5, 5))
        for target, tag in zip(targets, tags, strict=True):
            self.assertEqual(self.get(target, {b"If-None-Match": tag}).status, 200)

    def test_range(self) -> None:
        """
        A part has ranges of its own, into the zeros as well.
        """
        size = len(CONTENT)
        target = f"/images/disk-{size - 4}-{size + 4}.img"
        response = self.get(target, {b"Range": b"bytes=2-5"})
        self.assertEqual((response.status, response.body), (206, CONTENT[-2:] + bytes(2)))
        self.assertEqual(response.header(b"Content-Range"), b"bytes 2-5/8")
        self.assertEqual(self.get(target, {b"Range": b"bytes=8-"}).status, 416)

    def test_zstd(self) -> None:
        """
        A part whose name ends in .zst is a zstd frame of the padded part; the second time it comes
        from memory.
        """
        size = len(CONTENT)
        for start, stop in ((0, 262_144), (size - 100, size + 412)):
            target = f"/images/disk-{start}-{stop}.img.zst"
            bodies = [self.get(target).body for _ in range(2)]
            self.assertEqual(bodies[0], bodies[1])
            expected = CONTENT[start:stop] + bytes(max(0, stop - size))
            frame = zstandard.get_frame_parameters(bodies[0])
            self.assertEqual(frame.content_size, stop - start)
            self.assertTrue(zstandard.ZstdDecompressor().decompress(bodies[0]) == expected)
            self.assertIsNone(self.get(target).header(b"Content-Encoding"))
        self.assertEqual(self.pool.done, 2)
        self.assertEqual(self.metrics.value(rows.PARTS, "zstd"), 6)

    def test_fileFirst(self) -> None:
        """
        A part that is a file is served as it is.
        """
        (self.root / "disk-0-256.img").write_bytes(b"the file")
        (self.root / "disk-0-256.img.zst").write_bytes(b"the frame")
        self.assertEqual(self.get("/images/disk-0-256.img").body, b"the file")
        self.assertEqual(self.get("/images/disk-0-256.img.zst").body, b"the frame")
        self.assertEqual(self.metrics.value(rows.PARTS, "plain"), 0)

    def test_noPart(self) -> None:
        """
        Without the image, or with a name that is no part's, there is a 404.
        """
        (self.root / ".hidden.img").write_bytes(CONTENT)
        (self.root / "dir-0-256.img").mkdir()
        for name in (
            "nope-0-256.img",
            "disk-0-256.iso",
            "disk-256-0.img",
            "disk-0-0.img",
            "disk-00-256.img",
            "disk-0-0256.img",
            "disk-0x0-256.img",
            "disk-0-256-.img",
            "disk-0.img",
            "disk-00000001.img",
            "disk-0-99999999999999999.img",
            "disk--1-256.img",
            ".hidden-0-256.img",
            "dir-0-256.img",
            "0-256.img",
            "disk-0-256.img.zst.zst",
        ):
            self.assertEqual(self.get(f"/images/{name}").error()[0], 404, name)

    def test_waysOut(self) -> None:
        """
        The whole image is looked for as any other: not outside of the directory.
        """
        (self.base / "out.img").write_bytes(b"secret" * 100)
        (self.root / "out.img").symlink_to(self.base / "out.img")
        for target in ("/images/out-0-256.img", "/images/win/..-0-256", "/images/../out-0-256.img"):
            response = self.get(target)
            self.assertIn(response.status, (400, 404), target)
            self.assertNotIn(b"secret", response.body)

    def test_long(self) -> None:
        """
        A part that is longer than the setting is refused in words; 0 makes no parts.
        """
        self.serve(maxPartBytes=512)
        self.assertEqual(self.get("/images/disk-0-512.img").status, 200)
        for form in ("", ".zst"):
            response = self.get(f"/images/disk-0-513.img{form}")
            self.assertEqual(response.error(), (400, "bad_request"))
            self.assertIn(b"512 bytes", response.body)
        self.assertEqual(self.refused("part"), 2)
        self.serve(maxPartBytes=0)
        self.assertEqual(self.get("/images/disk-0-512.img").status, 404)

    def test_requireRange(self) -> None:
        """
        A part is as good as a range where ranges are required.
        """
        self.serve(requireRange=True)
        for target in ("/images/disk-0-512.img", "/images/disk-0-512.img.zst"):
            self.assertEqual(self.get(target).status, 200)
        self.assertEqual(self.get("/images/disk.img").status, 416)

    def test_busy(self) -> None:
        """
        Parts that are being compressed have a bound, for a client and for all, and give their bytes
        back; v86 asks again after a 503.
        """
        self.serve(partCacheBytes=1 << 20, maxPartBytes=262_144)
        self.pool.holds = True
        target = "/images/disk-{}-{}.img.zst"
        waiting = [
            self.client.start(b"GET", target.format(n, n + 262_144), peer=f"192.0.2.{n}")
            for n in range(4)
        ]
        for peer in ("192.0.2.1", "192.0.2.9"):
            response = self.client.request(b"GET", target.format(0, 256), peer=peer)
            self.assertEqual(response.error(), (503, "unavailable"))
            self.assertEqual(response.header(b"Retry-After"), b"1")
        self.assertEqual(self.refused("busy"), 2)
        # A client that leaves gives its bytes back at once.
        waiting[3].disconnect()
        self.pool.holds = False
        self.assertEqual(self.get(target.format(0, 256)).status, 200)
        self.assertEqual([each.response().status for each in waiting[:3]], [200] * 3)

    def test_replaced(self) -> None:
        """
        An image that changes while a part is compressed gives no mixture.
        """
        self.pool.holds = True
        exchange = self.client.start(b"GET", "/images/disk-0-512.img.zst")
        (self.root / "disk.img").write_bytes(b"x" * 1000)
        self.pool.work()
        self.assertEqual(exchange.response().error(), (503, "unavailable"))
