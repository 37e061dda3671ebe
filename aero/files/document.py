# -*- test-case-name: aero.files.test.test_document -*-
"""
One version of a file as HTTP sees it, and the representations that it can be sent in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twisted.web.http_headers import Headers

from .compress import CODINGS, Compressor
from .encoding import forbidsTransform, preferred, weights
from .mimetypes import isCompressible, isDiskImage, mediaType
from .webroot import Location, Stamp

#: Compressed files that lie beside a file, by the ending of their name; best first.
_SIBLINGS: Final = {b"br": b".br", b"zstd": b".zst", b"gzip": b".gz"}


@dataclass(frozen=True, slots=True)
class Document:
    """
    One version of a file as HTTP sees it.

    @ivar stamp: The version.
    @ivar contentType: Its media type.
    @ivar tag: Its entity tag without the quotes. It follows from modification time and size,
        so processes and machines with the same copy agree on it.
    @ivar modified: When it was modified, in whole seconds.
    @ivar raw: Whether it must be sent as it is, for a disk image.
    @ivar caching: The C{Cache-Control}.
    @ivar part: The bytes of the representation where they are not those of the file.
    """

    stamp: Stamp
    contentType: bytes
    tag: bytes
    modified: int
    raw: bool
    caching: bytes
    part: int | None = None

    @property
    def size(self) -> int:
        """
        The bytes of the representation.
        """
        return self.stamp.size if self.part is None else self.part

    @classmethod
    def fromStamp(cls, stamp: Stamp, name: bytes, caching: bytes) -> Document:
        """
        @param name: The name that was asked for, which decides the type.
        """
        raw = isDiskImage(name)
        return cls(
            stamp=stamp,
            contentType=mediaType(name),
            tag=_tag(stamp),
            modified=stamp.modified // 1_000_000_000,
            raw=raw,
            caching=caching + b", no-transform" if raw else caching,
        )

    @classmethod
    def verbatim(cls, stamp: Stamp, contentType: bytes, caching: bytes) -> Document:
        """
        A file that is sent as it is, whatever its name.

        @param caching: The C{Cache-Control}, C{no-transform} included.
        """
        return cls(stamp, contentType, _tag(stamp), stamp.modified // 1_000_000_000, True, caching)


def _tag(stamp: Stamp) -> bytes:
    return b"%x-%x" % (stamp.modified, stamp.size)


@dataclass(frozen=True, slots=True)
class Variant:
    """
    A coded representation that could be sent.

    @ivar sibling: Name and version of the file that holds it; C{None} where it is made here.
    """

    coding: bytes
    etag: bytes
    sibling: tuple[bytes, Stamp] | None


def codedVariants(
    headers: Headers, location: Location, document: Document, compressor: Compressor
) -> list[Variant]:
    """
    The coded representations of a file that a client accepts, best first: files beside it,
    and bodies to be made here.

    @param headers: The headers of the request.
    """
    lines = headers.getRawHeaders(b"Accept-Encoding")
    if not lines or forbidsTransform(headers.getRawHeaders(b"Cache-Control", ())):
        return []
    accepted = weights(lines)
    found: list[Variant] = []
    for coding in preferred(accepted, tuple(_SIBLINGS)):
        name = location.name + _SIBLINGS[coding]
        stamp = location.beside(name)
        # An older sibling was made from an older file; an empty one is a failed build.
        if stamp is None or not stamp.size or stamp.modified < document.stamp.modified:
            continue
        # Its own version is part of the tag: it can be rebuilt beside an unchanged file.
        etag = b'"%b-%b-%b"' % (document.tag, _tag(stamp), coding)
        found.append(Variant(coding, etag, (name, stamp)))
    size = document.stamp.size
    if isCompressible(document.contentType) and compressor.accepts(size):
        present = {variant.coding for variant in found}
        for coding in preferred(accepted, CODINGS):
            if coding not in present:
                etag = b'"%b-%b"' % (document.tag, coding)
                found.append(Variant(coding, etag, None))
    # The sort is stable: of equal weights a file that is there comes before one to make.
    found.sort(key=lambda variant: accepted[variant.coding], reverse=True)
    return found
