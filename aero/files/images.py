# -*- test-case-name: aero.files.test.test_images -*-
"""
Disk images, which emulators stream by ranges (edge.md section 18).

They are files like any other, of L{aero.files.staticfile}, with four differences: they are never
compressed or changed whatever their name is; a client gets one range at a time, as it could not
take several apart; what is no file is a 404 and nothing else, no page, no listing, no redirect; and
they can be kept to those who have a session. A part that has a name of its own and is no file is
made from the whole image (L{aero.files.imageparts}).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Final

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from aero.auth.sessions import Sessions
from aero.errors import ConfigurationError
from aero.http.credentials import sessionOf
from aero.http.replies import isOver, replyError
from aero.http.request import AeroRequest
from aero.metrics import Metrics
from aero.metrics import images as rows
from aero.net.daemonthreads import DaemonThreadPool
from aero.policy.budget import Budget
from aero.policy.quota import addressKey
from aero.settings.images import IMMUTABLE, ImageSettings

from .bytescache import BytesCache
from .document import Document
from .filebody import MemoryBody, Torn
from .imagegate import METHODS
from .imageparts import MadeResponse, Part, PartResponse, compressPart, openPart, parsePart
from .ranges import asksForSeveral
from .staticfile import FileResponse, FileServer, Replaced, givesPart
from .staticpath import StaticPath, parsePath, splitTarget
from .webroot import Denied, Location, Missing, WebRoot

#: How often to look at a name that keeps being replaced while it is looked at.
_ATTEMPTS: Final = 3

#: Threads that read images from disks. What a disk does at once is not much more.
READERS: Final = 8

#: Of anything but a manifest. Whatever an image holds, it is nothing to be shown.
_BINARY: Final = b"application/octet-stream"
_JSON: Final = b"application/json"

_log = Logger()


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
        self._maxPart = settings.maxPartBytes
        self._frames: BytesCache[bytes] = BytesCache(settings.partCacheBytes)
        self._compressing = Budget(
            settings.partCacheBytes, max(settings.partCacheBytes // 4, settings.maxPartBytes)
        )
        self._parts = partial(metrics.counter, rows.PARTS)
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
        part = None
        try:
            try:
                location = self._root.locate(path.segments)
            except Missing:
                part = parsePart(path.segments) if self._maxPart else None
                if part is None:
                    raise
                location = self._root.locate(part.image)
        except (Missing, Denied) as error:
            self._missing(request, "missing" if isinstance(error, Missing) else "denied")
            return
        if location.stamp is None or (part is not None and part.start >= location.stamp.size):
            location.close()
            self._missing(request, "missing")
            return
        name = path.last
        document = Document.verbatim(
            location.stamp, _JSON if name.endswith(b".json") else _BINARY, self._caching
        )
        again = partial(self._answer, request, path, attempts - 1)
        if part is not None:
            self._answerPart(request, location, document, part, again)
        elif self._isAllowed(request, document):
            FileResponse(self._files, request, location, document, again).start()
        else:
            location.close()

    # Parts

    def _answerPart(
        self,
        request: AeroRequest,
        location: Location,
        document: Document,
        part: Part,
        again: Callable[[], object],
    ) -> None:
        """
        Answer with a part of the image at C{location}, which is closed here.
        """
        document = replace(document, part=part.size, tag=part.tag(document.tag))
        if part.size > self._maxPart:
            location.close()
            text = f"A part has at most {self._maxPart} bytes"
            self._refuse(request, 400, text, "part")
        elif not self._isAllowed(request, document, isPart=True):
            location.close()
        elif part.zstd:
            self._answerCompressed(request, location, document, part, again)
        else:
            self._parts("plain").inc()
            response = PartResponse(self._files, request, location, document, again)
            response.part = part
            response.start()

    def _answerCompressed(
        self,
        request: AeroRequest,
        location: Location,
        document: Document,
        part: Part,
        again: Callable[[], object],
    ) -> None:
        """
        Compress a part, in a thread, or take it from memory. Its bytes count until they are sent.
        """
        share = self._compressing.share(addressKey(request.client.ip))
        if not share.take(part.size):
            location.close()
            # v86 asks again after a 503, and never after a 429.
            self._refuse(request, 503, "Too many parts at once", "busy", (b"Retry-After", b"1"))
            return
        request.notifyFinish().addBoth(lambda ignored: share.close())
        self._parts("zstd").inc()

        def respond(made: bytes) -> None:
            self._frames.put(document.tag, made)
            if isOver(request):
                location.close()
                return
            response = MadeResponse(
                self._files, request, location, replace(document, part=len(made)), again
            )
            response.made = MemoryBody(made)
            response.start()

        def failed(failure: Failure) -> None:
            location.close()
            if not failure.check(Torn):
                _log.failure("Compressing a part of an image failed", failure)
            if not isOver(request):
                self._refuse(request, 503, "The image is changing", "torn")

        found = self._frames.get(document.tag)
        if found is not None:
            respond(found)
            return
        try:
            body = openPart(self._files, location, document, part)
        except (Replaced, Denied):
            location.close()
            share.close()
            again()
            return
        work = deferToThreadPool(self._reactor, self._pool, compressPart, body)
        work.addCallbacks(respond, failed)
        work.addErrback(failed)

    def _isAllowed(self, request: AeroRequest, document: Document, isPart: bool = False) -> bool:
        """
        Whether a request asks for no more than it may, and there is room for its response.
        """
        if request.method == b"HEAD":
            return True
        size = document.size
        lines = request.requestHeaders.getRawHeaders(b"Range", ())
        if len(lines) > 1 or any(map(asksForSeveral, lines)):
            whole = (b"Content-Range", b"bytes */%d" % size)
            self._refuse(request, 416, "One range at a time", "ranges", whole)
            return False
        if self._requireRange and not isPart and not givesPart(request.requestHeaders, document):
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
