# -*- test-case-name: aero.web.test.test_dns -*-
"""
DNS over HTTPS at C{/dns-query} (RFC 8484, gateway.md sections 14.1 and 14.3).

Once a request has a session, every response is a DNS message, the ones that tell of
mistakes as well. An answer that says something, that is NOERROR or NXDOMAIN, may be kept by
the client for as long as the resolver would keep it, C{Cache-Control: private, max-age=N}
with the age already taken off (RFC 8484 section 5.1); C{private}, because it was given to a
session. Everything else is C{no-store}.
"""

from __future__ import annotations

import os
from typing import Any, Callable

from twisted.web.resource import IResource

from aero.auth import base64url
from aero.auth.sessions import Sessions
from aero.dns.dohupstream import httpsFactory
from aero.dns.engine import Answer, DNSEngine
from aero.errors import DecodeError
from aero.http.bodies import (
    DNS,
    JSON,
    MAX_BODY_BYTES,
    MAX_IGNORED_BODY_BYTES,
    contentType,
    readBody,
)
from aero.http.endpoint import Rendered
from aero.http.replies import Header, reply, retryAfter
from aero.http.request import AeroRequest
from aero.metrics import Metrics
from aero.policy.quota import MakeBuckets, localBuckets
from aero.settings.dns import DNSSettings
from aero.wire.dns import FORMERR, HEADER_SIZE, NOERROR, NXDOMAIN, SERVFAIL, identify, shortAnswer
from aero.wire.dnsquery import parseQuery

from .dnsjson import DNSJSONEndpoint
from .dnslimit import DNSAdmission, ResolvingEndpoint

#: Characters of a C{Content-Type} that is looked at.
MAX_CONTENT_TYPE = 256

_NO_STORE: Header = (b"Cache-Control", b"no-store")


class DNSQueryEndpoint(ResolvingEndpoint):
    """
    C{GET} and C{POST /dns-query}.
    """

    maxBodyBytes: int = MAX_BODY_BYTES

    def __init__(self, engine: DNSEngine, admission: DNSAdmission, maxQueryBytes: int) -> None:
        super().__init__(engine, admission, maxQueryBytes)
        self._maxCharacters = base64url.encodedLength(maxQueryBytes)

    def render_GET(self, request: AeroRequest) -> Rendered:
        """
        Answer the query in the parameter C{dns}.
        """
        wait = self.admission.admit(request)
        if wait:
            return _tooMany(request, wait)
        values = request.args.get(b"dns", [])
        if len(values) != 1 or not values[0]:
            return _replyError(request, 400)
        text = values[0].decode("latin-1")
        if len(text) > self._maxCharacters:
            return _replyError(request, 413, base64url.decodePrefix(text, HEADER_SIZE))
        try:
            message = base64url.decode(text, canonical=False)
        except DecodeError:
            return _replyError(request, 400)
        return self._answer(request, message)

    def render_POST(self, request: AeroRequest) -> Rendered:
        """
        Answer the query in the body.
        """
        # A megabyte is for messages that are too long, which have a reply of their own; JSON
        # is never wanted here, and parsing so much of it takes long.
        isJSON = contentType(request) == JSON
        body = readBody(request, MAX_IGNORED_BODY_BYTES if isJSON else MAX_BODY_BYTES)
        wait = self.admission.admit(request)
        if wait:
            return _tooMany(request, wait)
        lines = request.requestHeaders.getRawHeaders(b"Content-Type", [b""])
        if body.type != DNS or len(lines[0]) > MAX_CONTENT_TYPE:
            return _replyError(request, 415)
        if not body.value:
            return _replyError(request, 400)
        return self._answer(request, body.value)

    def _answer(self, request: AeroRequest, message: bytes) -> Rendered:
        if len(message) > self.maxQueryBytes:
            return _replyError(request, 413, message)
        try:
            query = parseQuery(message)
        except DecodeError:
            return _replyError(request, 400, message)
        answer = self.engine.query(query)
        return answer.addCallback(lambda answer: _replyAnswer(request, answer))


def dnsEngine(
    settings: DNSSettings,
    *,
    reactor: Any,
    metrics: Metrics,
    randomness: Callable[[int], bytes] = os.urandom,
) -> DNSEngine:
    """
    The resolver, to be stopped in the end.
    """
    https = httpsFactory(
        reactor, randomness=randomness, maxSize=settings.maxResponseBytes, metrics=metrics
    )
    return DNSEngine(settings, reactor=reactor, metrics=metrics, https=https, randomness=randomness)


def dnsEndpoints(
    settings: DNSSettings,
    *,
    reactor: Any,
    metrics: Metrics,
    sessions: Sessions,
    now: Callable[[], float],
    randomness: Callable[[int], bytes] = os.urandom,
    engine: DNSEngine | None = None,
    makeBuckets: MakeBuckets = localBuckets,
) -> tuple[DNSEngine, dict[str, IResource]]:
    """
    The resolver and the resources that answer from it, by path.

    @param now: The current time in seconds since the epoch.
    @param engine: A resolver that is there already.
    @return: The engine, to be stopped in the end, and the resources.
    """
    if engine is None:
        engine = dnsEngine(settings, reactor=reactor, metrics=metrics, randomness=randomness)
    admission = DNSAdmission(settings, sessions, metrics, now, makeBuckets)
    size = settings.maxQueryBytes
    return engine, {
        "/dns-query": DNSQueryEndpoint(engine, admission, size),
        "/dns-json": DNSJSONEndpoint(engine, admission, size),
    }


def _replyAnswer(request: AeroRequest, answer: Answer) -> int:
    keep = answer.ttl if answer.rcode in (NOERROR, NXDOMAIN) else None
    caching = _NO_STORE if keep is None else (b"Cache-Control", b"private, max-age=%d" % keep)
    return reply(request, 200, answer.message, DNS, headers=(caching,))


def _replyError(request: AeroRequest, status: int, start: bytes = b"") -> int:
    """
    Say FORMERR with as much of the query's header as there is.
    """
    message = shortAnswer(*identify(start), FORMERR)
    return reply(request, status, message, DNS, headers=(_NO_STORE,))


def _tooMany(request: AeroRequest, wait: float) -> int:
    message = shortAnswer(0, 0, SERVFAIL)
    return reply(request, 429, message, DNS, headers=(_NO_STORE, *retryAfter(wait)))
