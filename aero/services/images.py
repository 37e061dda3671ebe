# -*- test-case-name: aero.test.test_app -*-
"""
Disk images at C{/images/}, for emulators to stream.
"""

from __future__ import annotations

from typing import Iterable, Mapping

from aero.files.imagegate import ImageGate
from aero.files.images import ImageTree

from .parts import Parts
from .service import Service, Tree


class ImageService(Service):
    """
    A part of the edge that is there where C{AERO_IMAGES_ROOT} names a directory.
    """

    name = "images"

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._tree = ImageTree(
            parts.settings.images,
            sessions=lambda: parts.sessions,
            now=parts.now,
            metrics=parts.metrics,
            reactor=parts.reactor,
        )

    def trees(self) -> Mapping[str, Tree]:
        """
        The images, behind a gate of their own.
        """
        parts, settings = self.parts, self.parts.settings.images
        gate = ImageGate(
            parts.responseHeaders,
            own=parts.allowedOrigins(),
            listed=settings.corsOrigins,
            resourcePolicy=settings.resourcePolicy,
            metrics=parts.metrics,
        )
        return {"/images": Tree(self._tree, gate)}

    def notices(self) -> Iterable[str]:
        """
        What other sites may read, and what the browser will not let them.
        """
        settings = self.parts.settings.images
        if settings.corsOrigins and settings.resourcePolicy == "same-origin":
            yield (
                "AERO_IMAGES_CORS_ORIGINS lets pages of other origins read images, as far as they"
                " ask with CORS; AERO_IMAGES_CORP=same-origin keeps them from everything else"
            )

    def stop(self) -> None:
        """
        Let go of the directory.
        """
        self._tree.close()
