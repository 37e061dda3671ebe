# -*- test-case-name: aero.files.test.test_staticfile -*-
"""
Answering a GET or HEAD with one file: which representation of it, which part, or that the
client has it already.

The order is that of RFC 9110 section 13.2.2. A range is taken from the plain file only; a
coded body is always whole, because a range of it would depend on the compressor
(edge.md section 7).
"""

from __future__ import annotations

import os
from typing import Callable, Final, Iterable

from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from aero.http.replies import isOver, replyError
from aero.metrics import CounterRow, Metrics
from aero.metrics import static as rows

from .bytescache import BytesCache
from .compress import Compressor
from .conditional import Verdict, evaluate, httpDate, rangeApplies
from .document import Document, Variant, codedVariants
from .filebody import Body, BodySender, FileBody, MemoryBody, Runner, Torn
from .ranges import ByteRange, Unsatisfiable, multipart, parseRange
from .webroot import Denied, Location, Missing, Stamp

#: Files up to this many bytes are kept in memory and written at once.
SMALL: Final = 65_536

NO_CACHE: Final = b"no-cache"
IMMUTABLE: Final = b"public, max-age=31536000, immutable"


class Replaced(Exception):
    """
    The file was replaced after it was found and before it was opened: look again.
    """


class FileServer:
    """
    What all responses with files share: the caches and the counters.
    """

    def __init__(
        self,
        *,
        hotBytes: int,
        compressor: Compressor | None,
        metrics: Metrics,
        clock: IReactorTime,
        responses: CounterRow = rows.RESPONSES,
        torn: CounterRow = rows.TORN,
        run: Runner | None = None,
        boundary: Callable[[], bytes] = lambda: os.urandom(16).hex().encode("ascii"),
    ) -> None:
        """
        @param hotBytes: Bytes of small files to keep in memory.
        @param compressor: Makes coded bodies; without one there are none.
        @param responses: Counts responses by kind.
        @param torn: Counts those that were cut off.
        @param run: Reads blocks that are not in memory; by default the reactor's thread does.
        @param boundary: Makes the boundary of a multipart body, which no file can foresee.
        """
        self.compressor = compressor
        self.clock = clock
        self.boundary = boundary
        self.run = run
        self.torn = metrics.counter(torn)
        self.count = {
            kind: metrics.counter(responses, kind)
            for kind in ("file", "encoded", "partial", "not_modified", "refused")
        }
        self._hot: BytesCache[Stamp] = BytesCache(
            hotBytes, metrics.gauge(rows.CACHE_BYTES, "files") if hotBytes else None
        )

    def body(self, location: Location, name: bytes, stamp: Stamp) -> Body:
        """
        The bytes of a file in one version.

        @raise Replaced: It is not that version any more.
        """
        if stamp.size > SMALL:
            return FileBody(self.open(location, name, stamp), stamp)
        data = self._hot.get(stamp)
        if data is None:
            body = FileBody(self.open(location, name, stamp), stamp)
            try:
                data = body.read(0, stamp.size)
            except Torn:
                raise Replaced from None
            finally:
                body.close()
            self._hot.put(stamp, data)
        return MemoryBody(data)

    def open(self, location: Location, name: bytes, stamp: Stamp) -> int:
        """
        A descriptor of a file in one version.

        @raise Replaced: It is not that version any more.
        """
        try:
            descriptor, found = location.open(name)
        except Missing:
            raise Replaced from None
        if found != stamp:
            os.close(descriptor)
            raise Replaced
        return descriptor


class FileResponse:
    """
    The response to one request with one file.
    """

    def __init__(
        self,
        server: FileServer,
        request: Request,
        location: Location,
        document: Document,
        retry: Callable[[], object],
    ) -> None:
        """
        @param location: The file; closed here when it is not needed any more.
        @param retry: Starts the lookup afresh, for a file that was replaced meanwhile.
        """
        self._server = server
        self._request = request
        self._location = location
        self._document = document
        self._retry = retry
        self._variants: list[Variant] = []

    def start(self) -> None:
        """
        Choose and send.
        """
        self._guarded(self._choose)

    def _guarded(self, step: Callable[[], bool]) -> None:
        """
        Run a step; the location is kept open only while the response waits for a thread.
        """
        waiting = False
        try:
            waiting = step()
        except Replaced:
            self._retry()
        except Denied:
            self._refuse(404, "Not Found")
        finally:
            if not waiting:
                self._location.close()

    def _choose(self) -> bool:
        if self._request.method == b"GET" and self._sentPart():
            return False
        compressor = self._server.compressor
        if compressor is not None and not self._document.raw:
            self._variants = codedVariants(
                self._request.requestHeaders, self._location, self._document, compressor
            )
        return self._sendNext()

    def _sendNext(self) -> bool:
        """
        Send the best representation that is left.

        @return: Whether it is being made, and the rest happens later.
        """
        while self._variants:
            variant = self._variants.pop(0)
            if self._settled(variant.etag):
                return False
            if variant.sibling is not None:
                name, stamp = variant.sibling
                try:
                    body = self._server.body(self._location, name, stamp)
                except (Replaced, Denied):
                    continue
                self._sendWhole(body, variant.etag, variant.coding)
                return False
            if self._sentCompressed(variant):
                return True
            if isOver(self._request) or self._request.startedWriting:
                return False
        etag = b'"%b"' % self._document.tag
        if not self._settled(etag):
            self._sendPlain(etag)
        return False

    def body(self) -> Body:
        """
        The bytes of the document, from which ranges are taken.

        @raise Replaced: The file is another version by now.
        """
        return self._server.body(self._location, self._location.name, self._document.stamp)

    def _sendPlain(self, etag: bytes) -> None:
        document = self._document
        body: Body = _NoBody(document.size) if self._request.method == b"HEAD" else self.body()
        headers = [(b"Accept-Ranges", b"bytes"), (b"Last-Modified", httpDate(document.modified))]
        self._send(200, body, [ByteRange(0, body.size)], body.size, etag, headers)
        self._server.count["file"].inc()

    def _sendWhole(self, body: Body, etag: bytes, coding: bytes) -> None:
        headers = [
            (b"Content-Encoding", coding),
            (b"Last-Modified", httpDate(self._document.modified)),
        ]
        self._send(200, body, [ByteRange(0, body.size)], body.size, etag, headers)
        self._server.count["encoded"].inc()

    # Coded representations

    def _sentCompressed(self, variant: Variant) -> bool:
        """
        Send a body that is compressed here.

        @return: Whether it is still being made.
        """
        stamp = self._document.stamp
        compressor = self._server.compressor
        assert compressor is not None
        made = compressor.cached(stamp, variant.coding)
        if made is not None:
            if made:
                self._sendWhole(MemoryBody(made), variant.etag, variant.coding)
            return False
        working = compressor.compress(
            stamp,
            variant.coding,
            lambda: self._server.open(self._location, self._location.name, stamp),
        )
        if working is None:
            # Too much at once. The plain bytes are right now; another coding is no cheaper.
            self._variants = [other for other in self._variants if other.sibling is not None]
            return False
        working.addCallback(self._compressed, variant)
        return True

    def _compressed(self, body: bytes, variant: Variant) -> None:
        if isOver(self._request):
            self._location.close()
        elif body:
            self._location.close()
            self._sendWhole(MemoryBody(body), variant.etag, variant.coding)
        else:
            self._guarded(self._sendNext)

    # Parts

    def _sentPart(self) -> bool:
        """
        Answer a range request.

        @return: Whether it was one; a range that is to be ignored makes it none.
        """
        headers = self._request.requestHeaders
        lines = headers.getRawHeaders(b"Range")
        if lines is None or len(lines) != 1:
            return False
        document = self._document
        size = document.size
        etag = b'"%b"' % document.tag
        if not rangeApplies(_single(headers, b"If-Range"), etag, document.modified):
            return False
        try:
            ranges = parseRange(lines[0], size)
        except Unsatisfiable:
            if not self._settled(etag):
                self._refuse(
                    416, "Range Not Satisfiable", [(b"Content-Range", b"bytes */%d" % size)]
                )
            return True
        if ranges is None:
            return False
        if self._settled(etag):
            return True
        if len(ranges) > 1 and document.raw:
            # A client of a disk image never asks for several and could not take them apart
            # (edge.md section 18).
            self._refuse(416, "One range at a time", [(b"Content-Range", b"bytes */%d" % size)])
            return True
        body = self.body()
        sent = [(b"Accept-Ranges", b"bytes"), (b"Last-Modified", httpDate(document.modified))]
        if len(ranges) == 1:
            only = ranges[0]
            sent.append((b"Content-Range", only.contentRange(size)))
            self._send(206, body, ranges, only.stop - only.start, etag, sent)
        else:
            boundary = self._server.boundary()
            pieces, length = multipart(ranges, size, document.contentType, boundary)
            kind = b"multipart/byteranges; boundary=" + boundary
            self._send(206, body, pieces, length, etag, sent, kind)
        self._server.count["partial"].inc()
        return True

    # Conditions

    def _settled(self, etag: bytes) -> bool:
        """
        Answer where the conditions of the request decide about this representation.
        """
        headers = self._request.requestHeaders
        verdict = evaluate(
            ifMatch=headers.getRawHeaders(b"If-Match"),
            ifUnmodifiedSince=_single(headers, b"If-Unmodified-Since"),
            ifNoneMatch=headers.getRawHeaders(b"If-None-Match"),
            ifModifiedSince=_single(headers, b"If-Modified-Since"),
            etag=etag,
            modified=self._document.modified,
        )
        if verdict is Verdict.NOT_MODIFIED:
            request = self._request
            request.setResponseCode(304)
            self._describe(etag)
            request.finish()
            self._server.count["not_modified"].inc()
            return True
        if verdict is Verdict.FAILED:
            self._refuse(412, "Precondition Failed", code="precondition_failed")
            return True
        return False

    # Sending

    def _describe(self, etag: bytes) -> None:
        """
        The headers that every representation has in common, its 304 included.
        """
        request = self._request
        request.setHeader(b"Cache-Control", self._document.caching)
        request.setHeader(b"ETag", etag)
        if not self._document.raw:
            addVary(request)

    def _send(
        self,
        status: int,
        body: Body,
        pieces: Iterable[bytes | ByteRange],
        length: int,
        etag: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        contentType: bytes | None = None,
    ) -> None:
        request = self._request
        bodiless = request.method == b"HEAD" or not length
        data: bytes | None = None
        if bodiless:
            body.close()
        elif length <= SMALL and (self._server.run is None or body.isReady(*_extent(pieces))):
            data = _joined(body, pieces)
        request.setResponseCode(status)
        request.setHeader(b"Content-Type", contentType or self._document.contentType)
        request.setHeader(b"Content-Length", b"%d" % length)
        self._describe(etag)
        for name, value in headers:
            request.setHeader(name, value)
        if bodiless:
            request.finish()
        elif data is not None:
            request.write(data)
            request.finish()
        else:
            server = self._server
            BodySender(
                request, body, pieces, clock=server.clock, torn=server.torn.inc, run=server.run
            ).start()

    def _refuse(
        self,
        status: int,
        message: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        code: str | None = None,
    ) -> None:
        self._server.count["refused"].inc()
        if code is None and status == 416:
            code = "range_not_satisfiable"
        replyError(
            self._request,
            status,
            message,
            code=code,
            headers=[(b"Cache-Control", NO_CACHE), *headers],
        )


def givesPart(headers: Headers, document: Document) -> bool:
    """
    Whether a GET with these headers is answered with a part of a file, or with why not, and never
    with all of it.
    """
    lines = headers.getRawHeaders(b"Range")
    etag = b'"%b"' % document.tag
    if lines is None or len(lines) != 1:
        return False
    if not rangeApplies(_single(headers, b"If-Range"), etag, document.modified):
        return False
    try:
        return parseRange(lines[0], document.size) is not None
    except Unsatisfiable:
        return True


def _joined(body: Body, pieces: Iterable[bytes | ByteRange]) -> bytes:
    """
    Read all pieces and close the body.

    @raise Replaced: The file has changed; nothing was written yet.
    """
    try:
        found = [
            piece if isinstance(piece, bytes) else body.read(piece.start, piece.stop - piece.start)
            for piece in pieces
        ]
    except Torn:
        raise Replaced from None
    finally:
        body.close()
    return found[0] if len(found) == 1 else b"".join(found)


def _extent(pieces: Iterable[bytes | ByteRange]) -> tuple[int, int]:
    """
    Offset and length of the part of a file that holds all ranges.
    """
    ranges = [piece for piece in pieces if not isinstance(piece, bytes)]
    start = min(piece.start for piece in ranges)
    return start, max(piece.stop for piece in ranges) - start


class _NoBody:
    """
    A body of which only the length matters.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def isReady(self, offset: int, length: int) -> bool:
        """
        Always.
        """
        return True

    def read(self, offset: int, length: int) -> bytes:
        """
        Never needed.
        """
        raise AssertionError("the body of a HEAD response was read")

    def close(self) -> None:
        """
        Nothing to do.
        """


def addVary(request: Request) -> None:
    """
    Say that the response depends on C{Accept-Encoding}, beside what was said already.
    """
    headers = request.responseHeaders
    present = headers.getRawHeaders(b"Vary")
    if not present:
        headers.setRawHeaders(b"Vary", [b"Accept-Encoding"])
    elif not any(b"accept-encoding" in line.lower() for line in present):
        headers.addRawHeader(b"Vary", b"Accept-Encoding")


def _single(headers: Headers, name: bytes) -> bytes | None:
    lines = headers.getRawHeaders(name)
    return lines[0] if lines is not None and len(lines) == 1 else None
