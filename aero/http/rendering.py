# -*- test-case-name: aero.http.test.test_rendering -*-
"""
Rendering one resource, and never letting what it does wrong reach the client raw.

Twisted's own C{Request.render} answers its errors in HTML and knows nothing of
L{Refused}; here every error has the one JSON shape, and a C{Deferred} or a coroutine is as
good a result as bytes.
"""

from __future__ import annotations

from inspect import iscoroutine
from typing import Any, Final, Iterable

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from aero.errors import Refused

from .replies import isOver, replyError, replyRefused
from .request import AeroRequest

_RENDER: Final = "render_"

#: Headers that belong to the response that did not come about.
_OF_THE_SUCCESS = (
    b"Accept-Ranges",
    b"Cache-Control",
    b"Content-Encoding",
    b"Content-Range",
    b"ETag",
    b"Last-Modified",
    b"Set-Cookie",
)


def render(request: AeroRequest, resource: IResource) -> None:
    """
    Let a resource answer a request.

    It may give bytes, C{NOT_DONE_YET}, or a C{Deferred} or coroutine of either, and it may
    raise L{Refused} at any time before it has written. A C{Deferred} is cancelled when the
    client leaves first.
    """
    try:
        _rendered(request, _ask(request, resource))
    except Exception:  # noqa: BLE001
        fail(request, Failure())


def fail(request: AeroRequest, failure: Failure) -> None:
    """
    Answer a request that ended in an exception. Where a part of the response is sent
    already the connection is cut, so that the client cannot take it for the whole.

    The CORS headers stay, so that a page may read what became of its request.
    """
    refused = failure.value if isinstance(failure.value, Refused) else None
    over = isOver(request)
    if refused is None and not (over and failure.check(CancelledError)):
        request.site.requestFailed(request, failure)
    if over:
        return
    if request.startedWriting:
        channel: Any = request.channel
        channel.abortConnection()
        return
    if request.producer is not None:
        Request.unregisterProducer(request)
    for name in _OF_THE_SUCCESS:
        request.responseHeaders.removeHeader(name)
    request.cookies = []
    request.etag = request.lastModified = None
    if refused is not None:
        replyRefused(request, refused)
    else:
        replyError(request, 500, "Internal server error")


def replyMethodNotAllowed(request: AeroRequest, allowed: list[bytes]) -> None:
    """
    Answer a method that a resource does not have, and say which it has
    (RFC 9110 section 15.5.6).
    """
    replyError(request, 405, "Method not allowed", headers=[(b"Allow", _allow(allowed))])


def hasMethods(resource: IResource) -> bool:
    """
    Whether a resource has a method for each HTTP method, and no C{render} of its own.
    """
    return bool(_methodsOf(resource))


def allowOf(resource: IResource | None) -> bytes:
    """
    The C{Allow} of a resource that has a method for each HTTP method; of any other resource
    C{GET, HEAD}, the least that every server has (RFC 9110 section 9.1).
    """
    methods = _methodsOf(resource)
    return _allow(methods) if methods else b"GET, HEAD"


def _allow(methods: Iterable[bytes]) -> bytes:
    """
    The value of C{Allow}: C{OPTIONS} is answered everywhere, C{HEAD} where C{GET} is.
    """
    names = {bytes(name) for name in methods} - {b"HEAD"} | {b"OPTIONS"}
    if b"GET" in names:
        names.add(b"HEAD")
    return b", ".join(sorted(names))


def _methodsOf(resource: object) -> set[bytes]:
    """
    The methods that a resource has a C{render_} method for, without C{HEAD}, which Twisted gives
    to every resource. None for a resource with a C{render} of its own.
    """
    names = (name[len(_RENDER) :] for name in dir(resource) if name.startswith(_RENDER))
    return {name.encode("ascii", "replace") for name in names} - {b"HEAD"}


def _ask(request: AeroRequest, resource: IResource) -> Any:
    if request.method == b"HEAD" and isinstance(resource, Resource):
        methods = _methodsOf(resource)
        # Twisted's own HEAD asks for a GET, whether the resource has one or not.
        inherited = type(resource).render_HEAD is Resource.render_HEAD
        if inherited and methods and b"GET" not in methods:
            replyMethodNotAllowed(request, list(methods))
            return NOT_DONE_YET
    try:
        return resource.render(request)
    except UnsupportedMethod as error:
        if request.method != b"HEAD" or b"GET" not in error.allowedMethods:
            replyMethodNotAllowed(request, list(error.allowedMethods))
            return NOT_DONE_YET
    # A resource that has GET but not HEAD: ask for the one, send the headers of the other.
    request.method = b"GET"
    try:
        return resource.render(request)
    finally:
        request.method = b"HEAD"


def _rendered(request: AeroRequest, result: Any) -> None:
    if result is NOT_DONE_YET or isOver(request):
        return
    if isinstance(result, bytes):
        request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(result)])
        request.write(result)
        request.finish()
        return
    if iscoroutine(result):
        result = Deferred.fromCoroutine(result)
    if not isinstance(result, Deferred):
        raise TypeError(f"a resource gave {result!r:.80}, not bytes")
    waiting: Deferred[Any] = result
    gone = request.notifyFinish()
    gone.addErrback(lambda _: waiting.cancel())
    waiting.addCallback(lambda value: _rendered(request, value))
    waiting.addErrback(lambda failure: fail(request, failure))
