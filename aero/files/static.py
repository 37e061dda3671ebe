# -*- test-case-name: aero.files.test.test_static -*-
"""
The tree of static files: what a path names, and what is said when it names nothing.

It answers every path that no service owns (edge.md sections 3.2 and 6). The differences
from the reference are decisions: a missing script is a 404 and not the page, a miss under
C{/assets/} is never cacheable, hidden files and links out of the root do not exist.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from aero.errors import ConfigurationError
from aero.http.replies import replyError, replyText
from aero.metrics import Metrics
from aero.metrics import static as rows
from aero.settings.http import StaticSettings

from .compress import Compressor
from .document import Document
from .staticfile import IMMUTABLE, NO_CACHE, FileResponse, FileServer
from .staticpath import WELL_KNOWN, StaticPath, parsePath, splitTarget
from .webroot import Denied, Location, Missing, WebRoot

#: Whatever lies in here has a hash in its name and never changes.
ASSETS: Final = b"assets"

INDEXES: Final = (b"index.html", b"index.txt")

_METHODS: Final = (b"GET", b"HEAD")
#: How often to look at a name that keeps being replaced while it is looked at.
_ATTEMPTS: Final = 3


@implementer(IResource)
class StaticTree:
    """
    The files below one directory.

    It reads the request target itself, so it belongs at the end of routing, as the fallback.
    """

    isLeaf = True
    readsBody = False

    def __init__(
        self,
        root: Path,
        settings: StaticSettings,
        *,
        metrics: Metrics,
        reactor: Any,
        pool: ThreadPool | None = None,
        base: str = "/",
    ) -> None:
        """
        @param root: The directory.
        @param reactor: Provides C{IReactorTime} and C{IReactorFromThreads}.
        @param pool: Where files are compressed; the reactor's own pool by default.
        @param base: The path of the public base URL, below which the files are as well.
        @raise ConfigurationError: The directory cannot be used.
        """
        above = parsePath(base.encode("utf-8"))
        self._base = () if above is None else above.segments
        try:
            self._root = WebRoot(root)
        except OSError as error:
            raise ConfigurationError(
                "AERO_FRONTEND_ROOT",
                str(root),
                f"expected a directory that can be read ({error.strerror})",
            ) from None
        compressor = Compressor(
            cacheBytes=settings.cacheBytes,
            maxFileBytes=settings.maxCompressBytes,
            reactor=reactor,
            pool=reactor.getThreadPool() if pool is None else pool,
            metrics=metrics,
        )
        self._files = FileServer(
            hotBytes=settings.hotBytes, compressor=compressor, metrics=metrics, clock=reactor
        )
        self._count = {
            kind: metrics.counter(rows.RESPONSES, kind)
            for kind in ("redirect", "missing", "denied", "refused")
        }

    def close(self) -> None:
        """
        Let go of the directory.
        """
        self._root.close()

    def getChildWithDefault(self, name: bytes, request: Request) -> StaticTree:
        """
        Itself: it is a leaf.
        """
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """
        A leaf has no children.
        """
        raise TypeError("the static tree takes no children")

    def render(self, request: Request) -> int:
        """
        Answer a request for a path that no service owns.
        """
        if request.method not in _METHODS:
            self._count["refused"].inc()
            return replyError(
                request,
                405,
                "Method Not Allowed",
                headers=[(b"Allow", b"GET, HEAD"), (b"Cache-Control", NO_CACHE)],
            )
        raw, query = splitTarget(request.uri)
        path = parsePath(raw)
        if path is None:
            self._count["refused"].inc()
            return replyError(request, 400, "Invalid path", headers=[(b"Cache-Control", NO_CACHE)])
        path = path.relativeTo(self._base)
        if path.base and not path.segments and not path.slash:
            self._redirect(request, path.location(query, slash=True))
        else:
            self._answer(request, path, query, _ATTEMPTS)
        return NOT_DONE_YET

    def _answer(self, request: Request, path: StaticPath, query: bytes, attempts: int) -> None:
        if path.hidden or not attempts:
            self._missing(request, "denied")
            return
        try:
            location = self._root.locate(path.segments)
        except Missing:
            self._fallBack(request, path, query, attempts)
            return
        except Denied:
            self._missing(request, "denied")
            return
        isFile = location.stamp is not None
        if isFile and not path.slash:
            caching = IMMUTABLE if path.isBelow(ASSETS) else NO_CACHE
            self._send(request, location, path.last, caching, (path, query, attempts))
            return
        location.close()
        if isFile:
            self._redirect(request, path.location(query, slash=False))
            return
        self._answerDirectory(request, path, query, attempts)

    def _answerDirectory(
        self, request: Request, path: StaticPath, query: bytes, attempts: int
    ) -> None:
        for index in INDEXES:
            try:
                location = self._root.locate((*path.segments, index))
            except (Missing, Denied):
                continue
            if location.stamp is None:
                location.close()
            elif path.slash:
                caching = IMMUTABLE if path.isBelow(ASSETS) else NO_CACHE
                self._send(request, location, index, caching, (path, query, attempts))
                return
            else:
                location.close()
                self._redirect(request, path.location(query, slash=True))
                return
        self._missing(request, "missing")

    def _fallBack(self, request: Request, path: StaticPath, query: bytes, attempts: int) -> None:
        """
        Give the page of a single-page application to whatever may be one of its own paths.
        """
        if path.isBelow(ASSETS) or path.segments[:1] == (WELL_KNOWN,):
            self._missing(request, "missing")
            return
        if b"." in path.last and not _acceptsHTML(request):
            self._missing(request, "missing")
            return
        try:
            location = self._root.locate(INDEXES[:1])
        except (Missing, Denied):
            self._missing(request, "missing")
            return
        if location.stamp is None:
            location.close()
            self._missing(request, "missing")
            return
        self._send(request, location, INDEXES[0], NO_CACHE, (path, query, attempts))

    def _send(
        self,
        request: Request,
        location: Location,
        name: bytes,
        caching: bytes,
        again: tuple[StaticPath, bytes, int],
    ) -> None:
        assert location.stamp is not None
        path, query, attempts = again
        FileResponse(
            self._files,
            request,
            location,
            Document.fromStamp(location.stamp, name, caching),
            lambda: self._answer(request, path, query, attempts - 1),
        ).start()

    def _redirect(self, request: Request, location: bytes) -> None:
        self._count["redirect"].inc()
        replyText(
            request,
            308,
            "Permanent Redirect\n",
            headers=[(b"Location", location), (b"Cache-Control", NO_CACHE)],
        )

    def _missing(self, request: Request, kind: str) -> None:
        self._count[kind].inc()
        replyError(request, 404, "Not Found", headers=[(b"Cache-Control", NO_CACHE)])


def _acceptsHTML(request: Request) -> bool:
    """
    Whether the client is a browser that navigates: rule 4 of the design.
    """
    return any(
        b"text/html" in line.lower() for line in request.requestHeaders.getRawHeaders(b"Accept", ())
    )
