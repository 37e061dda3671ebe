# -*- test-case-name: aero.settings.test.test_images -*-
"""
Settings of the disk images that emulators stream.
"""

from __future__ import annotations

from aero.policy.origin import allowlistEntry

from ._parsers import choice, flag, integer, listOf, text
from ._table import group, setting

#: Stands for an image that is never changed under its name.
IMMUTABLE = -1


def _maxAge(value: str) -> int:
    if value.strip().lower() == "immutable":
        return IMMUTABLE
    try:
        return integer(0, 31_536_000)(value)
    except ValueError as error:
        raise ValueError(f"{error} or immutable") from None


@group
class ImageSettings:
    """
    Disk images

    Large files that emulators read by ranges, at C{/images/} of the same origin.
    """

    root: str = setting(
        variable="AERO_IMAGES_ROOT",
        option="images-root",
        default="",
        parse=text,
        shown="off",
        help="The directory of the images. Nothing in it is ever listed, compressed or changed on its way.",
    )
    requireSession: bool = setting(
        variable="AERO_IMAGES_REQUIRE_SESSION",
        option="images-require-session",
        default=False,
        parse=flag,
        help="1 gives images only to clients with a session cookie, and keeps them out of shared caches.",
    )
    maxAge: int = setting(
        variable="AERO_IMAGES_MAX_AGE",
        option="images-max-age",
        default=3600,
        parse=_maxAge,
        help="Seconds that a client may use what it has without asking again, or immutable for images that never change"
        " under their name.",
    )
    requireRange: bool = setting(
        variable="AERO_IMAGES_REQUIRE_RANGE",
        option="images-require-range",
        default=False,
        parse=flag,
        help="1 answers only requests for a range: a whole image is a 416, and a range of a version that is gone a 412.",
    )
    maxDownloads: int = setting(
        variable="AERO_IMAGES_MAX_DOWNLOADS",
        option="images-max-downloads",
        default=256,
        parse=integer(1, 100_000),
        help="Responses with image bytes under way at once; one more is a 429.",
    )
    maxPartBytes: int = setting(
        variable="AERO_IMAGES_MAX_PART_BYTES",
        option="images-max-part-bytes",
        default=4_194_304,
        parse=integer(0, 268_435_456),
        help="The longest part, named like disk-0-262144.img, that is made from a whole image; a longer one is a 400. 0 makes"
        " none, so that only parts that are files are served.",
    )
    partCacheBytes: int = setting(
        variable="AERO_IMAGES_PART_CACHE_BYTES",
        option="images-part-cache-bytes",
        default=67_108_864,
        parse=integer(1_048_576, 17_179_869_184),
        help="Bytes of zstd parts (disk-0-262144.img.zst) kept in memory, and as many again of those that are being made and"
        " sent, a quarter of them for one client; one more is a 503.",
    )
    corsOrigins: tuple[str, ...] = setting(
        variable="AERO_IMAGES_CORS_ORIGINS",
        option="images-cors-origins",
        default=(),
        parse=listOf(allowlistEntry, "an origin"),
        help="Origins of other sites that may read images, with credentials; * for any site, without. The site's own"
        " always may.",
    )
    resourcePolicy: str = setting(
        variable="AERO_IMAGES_CORP",
        option="images-corp",
        default="same-origin",
        parse=choice("same-origin", "same-site", "cross-origin"),
        help="The Cross-Origin-Resource-Policy of images: same-origin, same-site or cross-origin.",
    )
