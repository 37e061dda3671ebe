# -*- test-case-name: aero.files.test.test_imageparts -*-
"""
Parts of a disk image that are asked for by names of their own.

v86 reads an image either by ranges or, with C{use_parts}, as files named
C{disk-<start>-<end>.img}: decimal offsets, the end exclusive, and for C{disk/.img} without the
first dash, C{disk/<start>-<end>.img}. C{.zst} behind the name says that each part is a zstd frame.
Its tool cuts an image into such files and fills the last one with zeros; here they are made from
the whole image, which lies beside where the parts would be: C{disk.img} in each of these cases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import zstandard

from .document import Document
from .filebody import Body
from .staticfile import FileResponse, FileServer
from .webroot import Location

#: One number has one spelling, so that one part has one URL. Fifteen digits are exact in
#: JavaScript.
_NUMBER: Final = rb"(0|[1-9][0-9]{0,14})"
_NAME: Final = re.compile(
    rb"(?:(.+)-)?" + _NUMBER + rb"-" + _NUMBER + rb"((?:\.[^.]+)??)(\.zst)?", re.DOTALL
)

#: Faster than for files that are compressed once; most of an image is zeros or compressed already.
_LEVEL: Final = 3


@dataclass(frozen=True, slots=True)
class Part:
    """
    A part of an image.

    @ivar image: The path of the whole image.
    @ivar start: Where the part begins in it.
    @ivar stop: Where it ends, exclusive; may be beyond the end of the image.
    @ivar zstd: Whether the part is wanted as a zstd frame.
    """

    image: tuple[bytes, ...]
    start: int
    stop: int
    zstd: bool

    @property
    def size(self) -> int:
        """
        The bytes of the part, before they are compressed.
        """
        return self.stop - self.start

    def tag(self, image: bytes) -> bytes:
        """
        The entity tag of the part, without quotes.

        @param image: That of the image.
        """
        tag = b"%b-%x-%x" % (image, self.start, self.stop)
        return tag + b"-zstd" if self.zstd else tag


def parsePart(segments: tuple[bytes, ...]) -> Part | None:
    """
    Read the path of a part; C{None} for any other path.
    """
    found = _NAME.fullmatch(segments[-1]) if segments else None
    if found is None:
        return None
    stem, first, last, extension, compressed = found.groups()
    start, stop = int(first), int(last)
    above = segments[:-1]
    if stem is None:
        if not above:
            return None
        stem, above = above[-1], above[:-1]
    if stop <= start:
        return None
    return Part((*above, stem + extension), start, stop, compressed is not None)


class PartBody:
    """
    A part of another body, with zeros behind its end.
    """

    def __init__(self, whole: Body, start: int, size: int) -> None:
        """
        @param whole: Owned by this object from now on.
        """
        self.size = size
        self._whole = whole
        self._start = start

    def _within(self, offset: int, length: int) -> int:
        """
        How many of these bytes the whole has.
        """
        return max(0, min(length, self._whole.size - self._start - offset))

    def isReady(self, offset: int, length: int) -> bool:
        """
        See L{Body.isReady}.
        """
        there = self._within(offset, length)
        return not there or self._whole.isReady(self._start + offset, there)

    def read(self, offset: int, length: int) -> bytes:
        """
        See L{Body.read}.
        """
        there = self._within(offset, length)
        data = self._whole.read(self._start + offset, there) if there else b""
        return data if there == length else data + bytes(length - there)

    def close(self) -> None:
        """
        Close the whole.
        """
        self._whole.close()


class PartResponse(FileResponse):
    """
    The response with a part as it is.
    """

    part: Part

    def body(self) -> Body:
        """
        The part.
        """
        return PartBody(super().body(), self.part.start, self.part.size)


class MadeResponse(FileResponse):
    """
    The response with bytes that were made from a file.
    """

    made: Body

    def body(self) -> Body:
        """
        The bytes.
        """
        return self.made


def openPart(files: FileServer, location: Location, document: Document, part: Part) -> Body:
    """
    Open a part.

    @raise aero.files.staticfile.Replaced: The image is another version by now.
    """
    return PartBody(files.body(location, location.name, document.stamp), part.start, part.size)


def compressPart(body: Body) -> bytes:
    """
    Read a part and make a zstd frame of it, that says how long the part is. Meant for a thread.

    @raise aero.files.filebody.Torn: The image has changed.
    """
    try:
        data = body.read(0, body.size)
    finally:
        body.close()
    return zstandard.ZstdCompressor(level=_LEVEL).compress(data)
