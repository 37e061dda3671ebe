"""
Tests for L{aero.files.webroot}.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Callable
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from aero.files import webroot
from aero.files.staticpath import parsePath
from aero.files.webroot import Denied, Missing, WebRoot
from aero.testing.properties import given, strategies

SECRET = b"outside the root"


class WebRootTests(SynchronousTestCase):
    """
    Only regular files below the root are ever opened.
    """

    def setUp(self) -> None:
        """
        A root with a secret beside it.
        """
        self.base = Path(self.mktemp()).absolute()
        self.path = self.base / "root"
        (self.path / "sub" / "deep").mkdir(parents=True)
        (self.path / "a.txt").write_bytes(b"a")
        (self.path / "sub" / "b.txt").write_bytes(b"b")
        (self.base / "secret").write_bytes(SECRET)
        (self.base / "rooted").mkdir()
        (self.base / "rooted" / "secret").write_bytes(SECRET)
        self.root = WebRoot(self.path)
        self.addCleanup(self.root.close)

    def link(self, name: str, target: str) -> None:
        """
        Make a symbolic link in the root.
        """
        (self.path / name).symlink_to(target)

    def read(self, *names: bytes) -> bytes:
        """
        What a path leads to.
        """
        with self.root.locate(names) as location:
            descriptor, stamp = location.open()
        try:
            self.assertEqual(stamp, location.stamp)
            return os.read(descriptor, 1_000)
        finally:
            os.close(descriptor)

    def descriptors(self) -> int:
        """
        How many files this process has open.
        """
        return len(os.listdir("/proc/self/fd"))

    def test_files(self) -> None:
        """
        Files are found at any depth.
        """
        self.assertEqual(self.read(b"a.txt"), b"a")
        self.assertEqual(self.read(b"sub", b"b.txt"), b"b")

    def test_directories(self) -> None:
        """
        A directory is found as one.
        """
        for names in ((), (b"sub",), (b"sub", b"deep")):
            with self.root.locate(names) as location:
                self.assertIsNone(location.stamp)

    def test_missing(self) -> None:
        """
        What is not there is missing, and so is what lies below a file.
        """
        for names in ((b"x",), (b"sub", b"x"), (b"a.txt", b"x"), (b"x" * 300,)):
            self.assertRaises(Missing, self.root.locate, names)

    def test_linksInside(self) -> None:
        """
        Links are followed inside the root, absolute ones too, through directories and back up.
        """
        self.link("one", "a.txt")
        self.link("two", "sub/../one")
        self.link("dir", str(self.path / "sub"))
        self.link("sub/up", "../sub/b.txt")
        self.link("self", ".")
        self.assertEqual(self.read(b"one"), b"a")
        self.assertEqual(self.read(b"two"), b"a")
        self.assertEqual(self.read(b"dir", b"b.txt"), b"b")
        self.assertEqual(self.read(b"dir", b"up"), b"b")
        self.assertEqual(self.read(b"self", b"self", b"sub", b"b.txt"), b"b")

    def test_linksOutside(self) -> None:
        """
        A link that leaves the root names nothing, whichever way it leaves.
        """
        self.link("rel", "../secret")
        self.link("abs", str(self.base / "secret"))
        self.link("etc", "/etc")
        self.link("prefix", str(self.path) + "ed/secret")
        self.link("back", "../root/a.txt")
        self.link("sub/far", "../../secret")
        self.link("hop", "etc/passwd")
        for names in (
            (b"rel",),
            (b"abs",),
            (b"etc",),
            (b"etc", b"passwd"),
            (b"prefix",),
            (b"back",),
            (b"sub", b"far"),
            (b"hop",),
        ):
            self.assertRaises(Denied, self.root.locate, names)

    def test_loop(self) -> None:
        """
        Links in a circle are given up on.
        """
        self.link("x", "y")
        self.link("y", "x")
        self.assertRaises(Denied, self.root.locate, (b"x",))

    def test_specialFiles(self) -> None:
        """
        Pipes and sockets are not opened, and nothing waits for their other end.
        """
        os.mkfifo(self.path / "pipe")
        with socket.socket(socket.AF_UNIX) as listening:
            here = os.getcwd()
            os.chdir(self.path)
            try:
                listening.bind("socket")
            finally:
                os.chdir(here)
        for name in (b"pipe", b"socket"):
            self.assertRaises(Denied, self.root.locate, (name,))

    def test_turnsIntoPipe(self) -> None:
        """
        A file that is replaced by a pipe after it was found is not waited for.
        """
        with self.root.locate((b"a.txt",)) as location:
            (self.path / "a.txt").unlink()
            os.mkfifo(self.path / "a.txt")
            self.assertRaises(Denied, location.open)

    def test_turnsIntoLink(self) -> None:
        """
        A file that is replaced by a link to the outside after it was found is not opened.
        """
        with self.root.locate((b"a.txt",)) as location:
            (self.path / "a.txt").unlink()
            self.link("a.txt", "../secret")
            self.assertRaises(Denied, location.open)

    def test_directoryTurnsIntoLink(self) -> None:
        """
        A directory that is replaced by a link to the outside while it is entered leads nowhere.
        """
        entered: Callable[[bytes, int], int] = webroot._openDirectory

        def swapped(name: bytes, parent: int) -> int:
            if not (self.path / "sub").is_symlink():
                (self.path / "sub").rename(self.base / "moved")
                self.link("sub", "../moved")
            return entered(name, parent)

        with mock.patch.object(webroot, "_openDirectory", swapped):
            self.assertRaises(Denied, self.root.locate, (b"sub", b"b.txt"))

    def test_turnsAway(self) -> None:
        """
        A file that goes away after it was found is missing.
        """
        with self.root.locate((b"a.txt",)) as location:
            (self.path / "a.txt").unlink()
            self.assertRaises(Missing, location.open)

    def test_beside(self) -> None:
        """
        Only a regular file of the same directory is beside another.
        """
        (self.path / "a.txt.gz").write_bytes(b"zzz")
        self.link("a.txt.br", "../secret")
        with self.root.locate((b"a.txt",)) as location:
            stamp = location.beside(b"a.txt.gz")
            assert stamp is not None
            self.assertEqual(stamp.size, 3)
            self.assertIsNone(location.beside(b"a.txt.br"))
            self.assertIsNone(location.beside(b"a.txt.zst"))

    def test_rootSwitched(self) -> None:
        """
        A root that is a link can be switched to another release while it is served.
        """
        for release in ("one", "two"):
            (self.base / release).mkdir()
            (self.base / release / "x").write_text(release)
        current = self.base / "current"
        current.symlink_to("one")
        self.root = WebRoot(current)
        self.addCleanup(self.root.close)
        self.assertEqual(self.read(b"x"), b"one")
        (self.base / "next").symlink_to("two")
        (self.base / "next").rename(current)
        self.assertEqual(self.read(b"x"), b"two")

    def test_nothingStaysOpen(self) -> None:
        """
        Whatever a lookup ends in, it leaves no descriptor behind.
        """
        self.link("out", "sub/deep/../../../secret")
        self.link("dir", str(self.path / "sub"))
        os.mkfifo(self.path / "sub" / "pipe")
        before = self.descriptors()
        for names in (
            (b"sub", b"deep", b"x"),
            (b"out",),
            (b"sub", b"pipe"),
            (b"sub", b"b.txt", b"c"),
            (b"dir", b"b.txt"),
            (b"sub", b"deep"),
            (b"a.txt",),
        ):
            with contextlib.suppress(Missing, Denied):
                self.root.locate(names).close()
        self.assertEqual(self.descriptors(), before)

    def test_noSuchRoot(self) -> None:
        """
        A root that is not there, or is a file, is an error at once.
        """
        self.assertRaises(OSError, WebRoot, self.base / "nowhere")
        self.assertRaises(OSError, WebRoot, self.path / "a.txt")


_PIECES = strategies.sampled_from(
    [
        b"..", b".", b"/", b"//", b"%2e", b"%2f", b"%5c", b"\\", b"%00", b"%252e", b"sub", b"up",
        b"out", b"etc", b"passwd", b"secret", b"a.txt", b"b.txt", b"self", b"%", b"\x00", b" ",
        b"root", b"\xc0\xae", b"%c0%af", b"?",
    ]
)  # fmt: skip


class TraversalTests(SynchronousTestCase):
    """
    No path leads out.
    """

    def setUp(self) -> None:
        """
        A root full of links.
        """
        base = Path(self.mktemp()).absolute()
        path = base / "root"
        (path / "sub").mkdir(parents=True)
        (base / "secret").write_bytes(SECRET)
        (path / "a.txt").write_bytes(b"inside a")
        (path / "sub" / "b.txt").write_bytes(b"inside b")
        (path / "out").symlink_to("..")
        (path / "etc").symlink_to("/etc")
        (path / "self").symlink_to(".")
        (path / "sub" / "up").symlink_to("..")
        (path / "sub" / "secret").symlink_to("up/../secret")
        self.root = WebRoot(path)
        self.addCleanup(self.root.close)

    @given(strategies.lists(_PIECES, max_size=12))
    def test_nastyPaths(self, pieces: list[bytes]) -> None:
        """
        Whatever is asked for, what is opened lies inside the root.
        """
        path = parsePath(b"/" + b"".join(pieces))
        if path is not None:
            self.opensInside(path.segments)

    @given(strategies.lists(_PIECES.filter(lambda piece: b"\x00" not in piece), max_size=8))
    def test_withoutTheDoor(self, names: list[bytes]) -> None:
        """
        Even names that the path parser would have refused do not lead out.
        """
        self.opensInside(tuple(names))

    def opensInside(self, names: tuple[bytes, ...]) -> None:
        """
        Open what the names lead to, if anything, and look where it is.
        """
        try:
            location = self.root.locate(names)
        except (Missing, Denied):
            return
        with location:
            if location.stamp is None:
                return
            descriptor, _ = location.open()
        try:
            self.assertIn(os.read(descriptor, 100), (b"inside a", b"inside b"))
        finally:
            os.close(descriptor)
