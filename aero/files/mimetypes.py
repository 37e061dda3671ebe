# -*- test-case-name: aero.files.test.test_mimetypes -*-
"""
Media types by file name, the same on every machine.

The table is fixed: what the host's C{mime.types} says must not decide whether a browser
accepts a module script or compiles WebAssembly while it streams (edge.md section 6). With
C{nosniff} on every response a wrong type is a broken page, so an unknown extension is
C{application/octet-stream} rather than nothing.
"""

from __future__ import annotations

from typing import Final

_UTF8 = b"; charset=utf-8"

DEFAULT: Final = b"application/octet-stream"

_TYPES: Final[dict[bytes, bytes]] = {
    # Text: a charset always, because a document without one is guessed at.
    b"html": b"text/html" + _UTF8,
    b"htm": b"text/html" + _UTF8,
    b"js": b"text/javascript" + _UTF8,
    b"mjs": b"text/javascript" + _UTF8,
    b"cjs": b"text/javascript" + _UTF8,
    b"css": b"text/css" + _UTF8,
    b"txt": b"text/plain" + _UTF8,
    b"log": b"text/plain" + _UTF8,
    b"md": b"text/markdown" + _UTF8,
    b"csv": b"text/csv" + _UTF8,
    b"vtt": b"text/vtt" + _UTF8,
    b"xml": b"text/xml" + _UTF8,
    b"ics": b"text/calendar" + _UTF8,
    b"wgsl": b"text/wgsl" + _UTF8,
    # Structured data: UTF-8 by definition, so no charset.
    b"json": b"application/json",
    b"map": b"application/json",
    b"jsonld": b"application/ld+json",
    b"geojson": b"application/geo+json",
    b"webmanifest": b"application/manifest+json",
    b"xhtml": b"application/xhtml+xml",
    b"atom": b"application/atom+xml",
    b"rss": b"application/rss+xml",
    b"wasm": b"application/wasm",
    b"pdf": b"application/pdf",
    # Images.
    b"svg": b"image/svg+xml",
    b"png": b"image/png",
    b"apng": b"image/apng",
    b"jpg": b"image/jpeg",
    b"jpeg": b"image/jpeg",
    b"gif": b"image/gif",
    b"webp": b"image/webp",
    b"avif": b"image/avif",
    b"bmp": b"image/bmp",
    b"tif": b"image/tiff",
    b"tiff": b"image/tiff",
    b"ico": b"image/x-icon",
    # Fonts.
    b"woff": b"font/woff",
    b"woff2": b"font/woff2",
    b"ttf": b"font/ttf",
    b"otf": b"font/otf",
    b"eot": b"application/vnd.ms-fontobject",
    # Sound and film.
    b"mp3": b"audio/mpeg",
    b"m4a": b"audio/mp4",
    b"aac": b"audio/aac",
    b"flac": b"audio/flac",
    b"ogg": b"audio/ogg",
    b"oga": b"audio/ogg",
    b"opus": b"audio/ogg",
    b"wav": b"audio/wav",
    b"weba": b"audio/webm",
    b"mid": b"audio/midi",
    b"midi": b"audio/midi",
    b"mp4": b"video/mp4",
    b"m4v": b"video/mp4",
    b"webm": b"video/webm",
    b"ogv": b"video/ogg",
    # Archives.
    b"zip": b"application/zip",
    b"gz": b"application/gzip",
    b"tgz": b"application/gzip",
    b"zst": b"application/zstd",
    b"tar": b"application/x-tar",
    b"bz2": b"application/x-bzip2",
    b"xz": b"application/x-xz",
    b"7z": b"application/x-7z-compressed",
    # Certificates: the internal CA's root is offered for download.
    b"pem": b"application/x-pem-file",
    b"crt": b"application/x-x509-ca-cert",
    b"cer": b"application/x-x509-ca-cert",
}

#: Disk images. Clients read them by ranges and reject a transformed body (edge.md section 18).
_DISKS: Final = frozenset({b"img", b"raw", b"bin", b"iso", b"qcow2", b"vhd"})

#: Types worth compressing, besides all of C{text/} and C{font/} (edge.md section 7).
_COMPRESSIBLE: Final = frozenset(
    {
        b"image/svg+xml",
        b"image/x-icon",
        b"image/bmp",
        b"application/json",
        b"application/ld+json",
        b"application/geo+json",
        b"application/manifest+json",
        b"application/wasm",
        b"application/xhtml+xml",
        b"application/atom+xml",
        b"application/rss+xml",
        b"application/vnd.ms-fontobject",
    }
)

#: Compressed inside already: doing it twice costs time and saves nothing.
_DENSE: Final = frozenset({b"font/woff", b"font/woff2"})


def _extension(name: bytes) -> bytes:
    return name.rpartition(b".")[2].lower() if b"." in name else b""


def mediaType(name: bytes) -> bytes:
    """
    The C{Content-Type} of a file.

    @param name: Its name, or its path; only what follows the last dot counts.
    """
    return _TYPES.get(_extension(name), DEFAULT)


def isDiskImage(name: bytes) -> bool:
    """
    Whether a file is a disk image by its name, which must be sent as it is.
    """
    return _extension(name) in _DISKS


def isCompressible(contentType: bytes) -> bool:
    """
    Whether bodies of a type shrink enough to be worth compressing on the fly.

    @param contentType: A C{Content-Type}; parameters are ignored.
    """
    essence = contentType.partition(b";")[0]
    if essence in _DENSE:
        return False
    return essence.startswith((b"text/", b"font/")) or essence in _COMPRESSIBLE
