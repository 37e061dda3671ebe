# -*- test-case-name: aero.files.test.test_webroot -*-
"""
Opening files below a directory, and never anything else.

The kernel is walked one name at a time relative to an open directory, each with
C{O_NOFOLLOW}, so a path is never resolved twice and nothing can be swapped between a check
and its use. Symbolic links are followed here, by hand, because only here is it known where
the root ends: a link may lead anywhere inside the root, so that Kubernetes' C{..data} links
and release directories work, and one that leaves it names nothing.

Only regular files are ever opened. A FIFO would block, a device may act when it is opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Sequence

#: Links followed for one path, as many as Linux follows.
MAX_LINKS: Final = 40

# With O_PATH a directory needs the search permission only, as for any path lookup.
_DIRECTORY: Final = (
    getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
)
# O_NONBLOCK: should the name become a FIFO after it was looked at, the open does not wait.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})


class Missing(Exception):
    """
    Nothing has this name.
    """


class Denied(Exception):
    """
    Something has this name and is not to be served: it lies outside the root, is no regular
    file, or cannot be read.
    """


class _Changed(Exception):
    """
    A name turned into something else between two looks at it.
    """


@dataclass(frozen=True, slots=True)
class Stamp:
    """
    One version of one file. The same stamp means the same bytes.

    @ivar modified: The modification time in nanoseconds.
    @ivar changed: The inode's change time in nanoseconds, which no program can set back.
    """

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def stampOf(status: os.stat_result) -> Stamp:
    """
    The stamp of a file.
    """
    return Stamp(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


class WebRoot:
    """
    A directory whose files may be served.

    @ivar path: Where it is. The path itself may be a link, which is looked at again for every
        request, so that a deployment can switch releases by replacing it.
    """

    def __init__(self, path: Path) -> None:
        """
        @raise OSError: It is no directory, or cannot be searched.
        """
        self.path = path
        self._descriptor = -1
        self._identity = (0, 0)
        self._real = b""
        self._refresh()

    def close(self) -> None:
        """
        Let go of the directory.
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _refresh(self) -> None:
        status = os.stat(self.path)
        identity = (status.st_dev, status.st_ino)
        if self._descriptor >= 0 and identity == self._identity:
            return
        descriptor = os.open(self.path, _DIRECTORY & ~os.O_NOFOLLOW)
        self.close()
        status = os.fstat(descriptor)
        self._descriptor = descriptor
        self._identity = (status.st_dev, status.st_ino)
        self._real = os.fsencode(os.path.realpath(self.path))

    def locate(self, segments: Sequence[bytes]) -> Location:
        """
        Find what a path names.

        @param segments: Names as L{aero.files.staticpath} lets them through.
        @return: A regular file or a directory, to be closed by the caller.
        @raise Missing: See there.
        @raise Denied: See there.
        """
        try:
            self._refresh()
            for _ in range(3):
                try:
                    return self._walk(segments)
                except _Changed:
                    continue
        except OSError as error:
            if error.errno in _MISSING:
                raise Missing from None
            raise Denied from None
        raise Denied

    def _walk(self, segments: Sequence[bytes]) -> Location:
        # The chain of open directories is what ".." inside a link steps back through; the
        # first is the root's own descriptor, which stays open.
        chain = [self._descriptor]
        names = deque(segments)
        links = 0
        try:
            while names:
                name = names.popleft()
                if name in (b"", b"."):
                    continue
                if name == b"..":
                    if len(chain) == 1:
                        raise Denied
                    os.close(chain.pop())
                    continue
                status = os.stat(name, dir_fd=chain[-1], follow_symlinks=False)
                kind = stat.S_IFMT(status.st_mode)
                if kind == stat.S_IFDIR:
                    chain.append(_openDirectory(name, chain[-1]))
                elif kind == stat.S_IFLNK:
                    links += 1
                    if links > MAX_LINKS:
                        raise Denied
                    target = os.readlink(name, dir_fd=chain[-1])
                    if target.startswith(b"/"):
                        target = self._below(target)
                        while len(chain) > 1:
                            os.close(chain.pop())
                    names.extendleft(reversed(target.split(b"/")))
                elif kind != stat.S_IFREG:
                    raise Denied
                elif names:
                    raise Missing
                else:
                    parent = chain.pop() if len(chain) > 1 else os.dup(self._descriptor)
                    return Location(parent, name, stampOf(status))
            directory = chain.pop() if len(chain) > 1 else os.dup(self._descriptor)
            return Location(directory, b"", None)
        finally:
            for descriptor in chain[1:]:
                os.close(descriptor)

    def _below(self, target: bytes) -> bytes:
        """
        The part of an absolute link target after the root's own path.
        """
        if target == self._real:
            return b""
        if not target.startswith(self._real.rstrip(b"/") + b"/"):
            raise Denied
        return target[len(self._real.rstrip(b"/")) + 1 :]


def _openDirectory(name: bytes, parent: int) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _Changed from None
        raise


class Location:
    """
    A file or directory that was found: an open directory and, for a file, a name in it.

    @ivar stamp: The version of the file when it was found; C{None} for a directory.
    @ivar name: The file's name after all links; empty for a directory.
    """

    __slots__ = ("_directory", "name", "stamp")

    def __init__(self, directory: int, name: bytes, stamp: Stamp | None) -> None:
        self._directory = directory
        self.name = name
        self.stamp = stamp

    def __enter__(self) -> Location:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """
        Let go of the directory; files opened from it stay open.
        """
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def beside(self, name: bytes) -> Stamp | None:
        """
        The version of a regular file of another name in the same directory, links not
        followed.
        """
        try:
            status = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except OSError:
            return None
        return stampOf(status) if stat.S_ISREG(status.st_mode) else None

    def open(self, name: bytes | None = None) -> tuple[int, Stamp]:
        """
        Open the file, or one beside it, for reading.

        @return: The descriptor and the version that it holds.
        @raise Missing: It is gone.
        @raise Denied: It cannot be read, or is no regular file any more.
        """
        try:
            descriptor = os.open(self.name if name is None else name, _FILE, dir_fd=self._directory)
        except OSError as error:
            raise (Missing if error.errno in _MISSING else Denied) from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise Denied
        return descriptor, stampOf(status)
