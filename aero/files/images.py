# -*- test-case-name: aero.files.test.test_images -*-
"""
Disk images, which emulators stream by ranges (edge.md section 18).

They are files like any other, of L{aero.files.staticfile}, with four differences: they are never
compressed or changed whatever their name is; a client gets one range at a time, as it could not
take several apart; what is no file is a 404 and nothing else, no page, no listing, no redirect; and
they can be kept to those who have a session.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Final

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from aero.auth.sessions import Sessions
from aero.errors import ConfigurationError
from aero.http.credentials import sessionOf
from aero.http.replies import replyError
from aero.metrics import Metrics
from aero.metrics import images as rows
from aero.net.daemonthreads import DaemonThreadPool
from aero.settings.images import IMMUTABLE, ImageSettings

from .document import Document
from .imagegate import METHODS
from .staticfile import FileResponse, FileServer, givesPart
from .staticpath import StaticPath, parsePath, splitTarget
from .webroot import Denied, Missing, WebRoot

if TYPE_CHECKING:
    from aero.http.request import AeroRequest

#: How often to look at a name that keeps being replaced while it is looked at.
_ATTEMPTS: Final = 3

#: Threads that read images from disks. What a disk does at once is not much more.
READERS: Final = 8

#: Of anything but a manifest. Whatever an image holds, it is nothing to be shown.
_BINARY: Final = b"application/octet-stream"
_JSON: Final = b"application/json"


@implementer(IResource)
class ImageTree:
    """
    The images below one directory.
    """

    isLeaf = True
    readsBody = False

    def __init__(
        self,
        settings: ImageSettings,
        *,
        sessions: Callable[[], Sessions],
        now: Callable[[], float],
        metrics: Metrics,
        reactor: Any,
        pool: Any = None,
    ) -> None:
        """
        @param sessions: Gives what checks session cookies; asked only where one is required.
        @param now: The wall clock, in seconds since 1970.
        @param reactor: Provides C{IReactorTime} and C{IReactorFromThreads}.
        @param pool: The threads that wait for disks, started; by default L{READERS} of its own.
        @raise ConfigurationError: The directory cannot be used.
        """
        try:
            self._root = WebRoot(Path(settings.root))
        except OSError as error:
            raise ConfigurationError(
                "AERO_IMAGES_ROOT",
                settings.root,
                f"expected a directory that can be read ({error.strerror})",
            ) from None
        self._sessions = sessions() if settings.requireSession else None
        self._now = now
        self._requireRange = settings.requireRange
        self._maxDownloads = settings.maxDownloads
        self._downloads = 0
        self._caching = _caching(settings)
        self._metrics = metrics
        self._gauge = metrics.gauge(rows.DOWNLOADS)
        self._coldReads = metrics.counter(rows.COLD_READS)
        self._reactor = reactor
        if pool is None:
            # There is no thread before there is something to do.
            pool = DaemonThreadPool(0, READERS, "images")
            pool.start()
        self._pool = pool
        self._files = FileServer(
            hotBytes=0,
            compressor=None,
            metrics=metrics,
            clock=reactor,
            responses=rows.RESPONSES,
            torn=rows.TORN,
            run=self._runLater,
        )

    def close(self) -> None:
        """
        Let go of the directory.
        """
        self._root.close()

    def _runLater(self, function: Callable[..., bytes], *arguments: Any) -> Deferred[bytes]:
        """
        Read what is not in memory, in a thread.
        """
        self._coldReads.inc()
        return deferToThreadPool(self._reactor, self._pool, function, *arguments)

    def getChildWithDefault(self, name: bytes, request: Request) -> ImageTree:
        """
        Itself: it is a leaf.
        """
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """
        A leaf has no children.
        """
        raise TypeError("the images take no children")

    def render(self, request: AeroRequest) -> int:
        """
        Answer a request for an image.
        """
        if request.method not in (b"GET", b"HEAD"):
            return self._refuse(request, 405, "Method Not Allowed", "method", (b"Allow", METHODS))
        if self._sessions is not None and sessionOf(request, self._sessions, self._now()) is None:
            return self._refuse(request, 401, "Missing or expired session", "session")
        path = parsePath(splitTarget(request.uri)[0])
        if path is None:
            return self._refuse(request, 400, "Invalid path", "path")
        below = path.relativeTo(tuple(request.prepath or ()))
        self._answer(request, below, _ATTEMPTS)
        return NOT_DONE_YET

    def _answer(self, request: AeroRequest, path: StaticPath, attempts: int) -> None:
        if path.slash or not path.segments:
            self._missing(request, "missing")
            return
        if any(name.startswith(b".") for name in path.segments) or not attempts:
            self._missing(request, "denied")
            return
        try:
            location = self._root.locate(path.segments)
        except (Missing, Denied) as error:
            self._missing(request, "missing" if isinstance(error, Missing) else "denied")
            return
        if location.stamp is None:
            location.close()
            self._missing(request, "missing")
            return
        name = path.last
        document = Document.verbatim(
            location.stamp, _JSON if name.endswith(b".json") else _BINARY, self._caching
        )
        if not self._isAllowed(request, document):
            location.close()
            return
        FileResponse(
            self._files,
            request,
            location,
            document,
            lambda: self._answer(request, path, attempts - 1),
        ).start()

    def _isAllowed(self, request: AeroRequest, document: Document) -> bool:
        """
        Whether a request asks for no more than it may, and there is room for its response.
        """
        if request.method == b"HEAD":
            return True
        size = document.stamp.size
        lines = request.requestHeaders.getRawHeaders(b"Range", ())
        if len(lines) > 1 or any(b"," in line for line in lines):
            whole = (b"Content-Range", b"bytes */%d" % size)
            self._refuse(request, 416, "One range at a time", "ranges", whole)
            return False
        if self._requireRange and not givesPart(request.requestHeaders, document):
            if lines and request.requestHeaders.hasHeader(b"If-Range"):
                self._refuse(request, 412, "The image has changed", "whole")
            else:
                whole = (b"Content-Range", b"bytes */%d" % size)
                self._refuse(request, 416, "A range is required", "whole", whole)
            return False
        if self._downloads >= self._maxDownloads:
            self._refuse(request, 429, "Too many downloads", "busy", (b"Retry-After", b"1"))
            return False
        self._downloads += 1
        self._gauge.set(self._downloads)
        request.notifyFinish().addBoth(lambda ignored: self._finished(request))
        return True

    def _finished(self, request: AeroRequest) -> None:
        self._downloads -= 1
        self._gauge.set(self._downloads)
        self._metrics.counter(rows.BYTES).inc(request.sentLength)

    def _missing(self, request: AeroRequest, kind: str) -> None:
        self._metrics.counter(rows.RESPONSES, kind).inc()
        replyError(request, 404, "Not Found")

    def _refuse(
        self,
        request: AeroRequest,
        status: int,
        message: str,
        reason: str,
        *headers: tuple[bytes, bytes],
    ) -> int:
        self._metrics.counter(rows.RESPONSES, "refused").inc()
        self._metrics.counter(rows.REFUSALS, reason).inc()
        codes = {412: "precondition_failed", 416: "range_not_satisfiable"}
        return replyError(request, status, message, code=codes.get(status), headers=headers)


def _caching(settings: ImageSettings) -> bytes:
    scope = b"private" if settings.requireSession else b"public"
    if settings.maxAge == IMMUTABLE:
        return scope + b", max-age=31536000, immutable, no-transform"
    return scope + b", max-age=%d, no-transform" % settings.maxAge
