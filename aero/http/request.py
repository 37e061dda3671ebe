# -*- test-case-name: aero.http.test.test_request -*-
"""
One HTTP request, whichever version of HTTP it came by.

L{AeroRequest} is Twisted's request with the door's manners: every response carries the
site's header set exactly once, the request has an id and an effective client address, bodies
are kept and not parsed, and whatever a resource does wrong ends in one 500 and never in the
loss of the connection or of the process.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import NO_BODY_CODES, parse_qs
from twisted.web.http_headers import Headers

from aero.errors import Refused
from aero.policy.clientaddress import Client
from aero.policy.hostname import hostOf
from aero.wire.fieldlist import hasToken

from .door import RequestSite
from .headerset import HeaderSet
from .refusals import BODY_BYTES, phrase
from .replies import replyError, replyRefused, replyUpgradeRefused

#: Bodies that may be larger than this are kept in a temporary file once they are.
_SPOOL_BYTES = 1_048_576

#: The longest request id that is taken over from the client (gateway.md section 3.4 has no bound).
_MAX_REQUEST_ID = 128

#: The most fields of a query string that L{AeroRequest.args} gives.
_MAX_ARGUMENTS = 1_000

_log = Logger()


class AeroRequest(server.Request):
    """
    A request to aero.

    @ivar arrived: When its headers were complete, in seconds of the site's clock.
    @ivar route: The template of the path, for metrics and logs; whoever routes sets it.
    """

    defaultContentType = None
    route: str = "unknown"
    #: What the response has behind its own headers, instead of the site's set.
    headerSet: HeaderSet | None = None

    site: RequestSite[AeroRequest]  # type: ignore[assignment]
    #: A L{Channel<aero.http.channel.Channel>} or L{Stream<aero.http.h2stream.Stream>}; C{None}
    #: once the request is over.
    channel: Any = None
    content: Any = None
    _client: Client | None = None
    _requestId: str | None = None
    _args: dict[bytes, list[bytes]] | None = None
    _peer: IAddress
    _rendered = False

    def __init__(self, channel: Any) -> None:
        """
        @param channel: What carries it.
        """
        self.site = channel.site
        super().__init__(channel, parsePOSTFormSubmission=False)  # type: ignore[no-untyped-call]
        self._secure: bool = channel.isSecure()
        self.arrived: float = self.site.clock.seconds()

    # What the client is.

    @property
    def client(self) -> Client:
        """
        The effective client: the peer, or whom a trusted proxy speaks for.
        """
        if self._client is None:
            headers = self.requestHeaders
            self._client = self.site.clientOf(
                getattr(self._peer, "host", "") or "",
                self._secure,
                headers.getRawHeaders(b"X-Forwarded-For", ()),
                headers.getRawHeaders(b"X-Forwarded-Proto", ()),
            )
        return self._client

    @client.setter
    def client(self, address: IAddress) -> None:
        # Twisted's constructor stores the transport's peer under this name.
        self._peer = address

    def getClientAddress(self) -> IAddress:
        """
        The address of the other end of the connection, which may be a proxy.
        """
        return self._peer

    @property
    def requestId(self) -> str:
        """
        The client's C{X-Request-Id} where it is usable, or a new random one.
        """
        if self._requestId is None:
            given = self.requestHeaders.getRawHeaders(b"X-Request-Id", [])
            self._requestId = usableRequestId(given) or self.site.newRequestId()
        return self._requestId

    # Taking the request in.

    def headReceived(self, method: bytes, target: bytes, version: bytes) -> None:
        """
        The headers are complete; the body, if any, is not.

        @param target: In origin form or C{*}.
        """
        self.method, self.uri, self.clientproto = method, target, version
        self.path = target.partition(b"?")[0]

    def gotLength(self, length: int | None) -> None:
        """
        The length of the body is known, or known to be unknown.
        """
        if (self.site.settings.maxBodyBytes if length is None else length) <= _SPOOL_BYTES:
            self.content = io.BytesIO()
        else:
            self.content = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115

    def handleContentChunk(self, data: bytes) -> None:
        """
        A part of the body is there; the channel has checked its length.
        """
        self.content.write(data)

    def connectionLost(self, reason: Failure) -> None:
        """
        The client left before the response was complete.
        """
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def parseCookies(self) -> None:
        """
        Cookies are read where they are needed.
        """

    def getCookie(self, key: bytes) -> bytes | None:
        """
        A cookie by its name, the last one where it is repeated.
        """
        if not self.received_cookies:
            super().parseCookies()  # type: ignore[no-untyped-call]
        value: bytes | None = self.received_cookies.get(key)
        return value

    @property
    def query(self) -> bytes:
        """
        The query string as the client sent it, without the question mark.
        """
        return self.uri.partition(b"?")[2]

    @property
    def args(self) -> dict[bytes, list[bytes]]:  # type: ignore[override]
        """
        The fields of the query string, decoded when first asked for. A form in the body is
        never among them.
        """
        if self._args is None:
            query = self.query
            if query.count(b"&") >= _MAX_ARGUMENTS:
                query = b"&".join(query.split(b"&", _MAX_ARGUMENTS)[:_MAX_ARGUMENTS])
            self._args = parse_qs(query, 1)
        return self._args

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """
        The request is complete, body included.
        """
        if self.finished or self._disconnected:
            return
        self.content.seek(0)
        self.process()

    def process(self) -> None:
        """
        Check the request at the door and hand it to the router.
        """
        try:
            result = self._answered()
        except Refused as refused:
            self.refuse(refused)
        except Exception:  # noqa: BLE001
            self.processingFailed(Failure())
        else:
            if isinstance(result, Deferred):
                result.addErrback(self.processingFailed)

    def _answered(self) -> Any:
        """
        Run the checks in their order; the first one that fails is the last thing that happens.
        """
        site = self.site
        if len(self.uri) > site.settings.maxTargetLength:
            raise Refused(414, "url_too_long", "Request URL too long", reason="target")
        if site.hosts is not None:
            self._checkHost(site.hosts)
        if self.method in (b"TRACE", b"CONNECT"):
            self.responseHeaders.setRawHeaders(b"Allow", [site.allow(self)])
            raise Refused(405, "method_not_allowed", "Method not allowed", reason="method")
        return site.router.respond(self)

    def _checkHost(self, hosts: frozenset[str]) -> None:
        values = self.requestHeaders.getRawHeaders(b"Host", [])
        if len(values) != 1 or not values[0]:
            raise Refused(400, "bad_request", "Exactly one Host header is required", reason="host")
        if hostOf(values[0]) not in hosts:
            raise Refused(
                421, "misdirected_request", "This server does not serve that host", reason="host"
            )

    # Giving the answer.

    def refuse(self, refused: Refused, *, close: bool = False) -> None:
        """
        Answer with a refusal of the door and finish.

        @param close: Whether the connection is of no more use, because the rest of the
            request was not read.
        """
        if self.finished or self._disconnected:
            return
        if self.startedWriting:
            self.channel.abortConnection()
            return
        self.site.refused(refused.reason)
        if self.isUpgrade():
            # What a WebSocket client is told has the shape of gateway.md section 9.1.
            self.site.upgradeLog.refused(self, refused.status, refused.reason, refused.message)
            replyUpgradeRefused(self, refused.status, refused.message)
            return
        if close:
            self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        if refused.reason != BODY_BYTES or not self._bodyRefused(refused):
            replyRefused(self, refused, headers=[(b"Cache-Control", b"no-store")])

    def _bodyRefused(self, refused: Refused) -> bool:
        """
        Have the router refuse a body that is too large, as the resource of the path does it.

        @return: Whether the request was answered.
        """
        answer = getattr(self.site.router, "bodyRefused", None)
        try:
            return answer is not None and answer(self, refused)
        except Exception:  # noqa: BLE001
            self.processingFailed(Failure())
            return True

    def processingFailed(self, reason: Failure) -> None:
        """
        Something went wrong that nobody expected: log it once and answer 500 if the answer
        has not begun; otherwise cut it short, so that nobody takes it for whole.
        """
        if reason.check(Refused) is not None and not self.startedWriting:
            self.refuse(cast(Refused, reason.value))
            return
        self.site.requestFailed(self, reason)
        if self.finished or self._disconnected:
            return
        if self.startedWriting:
            self.channel.abortConnection()
            return
        if self.producer is not None:
            self.unregisterProducer()
        self.responseHeaders = Headers()
        self.cookies = []
        self._encoder = None
        self._inFakeHead = False
        self.etag = self.lastModified = None
        replyError(self, 500, "Internal server error", headers=[(b"Cache-Control", b"no-store")])

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """
        Set the status, with the phrase of the current RFCs.
        """
        super().setResponseCode(code, phrase(code) if message is None else message)

    def write(self, data: bytes) -> None:
        """
        Write a part of the body; the first write sends the headers.
        """
        if not self.startedWriting and not self._inFakeHead and not self._disconnected:
            self._completeHeaders()
        super().write(data)  # type: ignore[no-untyped-call]

    def _completeHeaders(self) -> None:
        """
        Make the headers what every response of this site must have. What the site's header
        set names is taken out; the channel writes that set behind the rest, as it is.
        """
        headers = self.responseHeaders
        if self.code in NO_BODY_CODES:
            for name in (b"Content-Type", b"Content-Length", b"Transfer-Encoding"):
                headers.removeHeader(name)
        own = self.site.ownNames
        for name in [name for name, _ in headers.getAllRawHeaders() if name in own]:
            headers.removeHeader(name)
        if not headers.hasHeader(b"Date"):
            headers.setRawHeaders(b"Date", [self.site.date()])
        headers.setRawHeaders(b"X-Request-Id", [self.requestId.encode("ascii")])

    def finish(self) -> None:
        """
        Nothing more is to be written. After the client left this does nothing, because a
        client may leave at any time.
        """
        if self._disconnected:
            return
        super().finish()  # type: ignore[no-untyped-call]

    # Leaving HTTP.

    def isUpgrade(self) -> bool:
        """
        Whether the client asks to leave HTTP on this connection (gateway.md section 9):
        an C{Upgrade} header, and C{upgrade} among the tokens of C{Connection}. Never on HTTP/2.
        """
        headers = self.requestHeaders
        if self.clientproto != b"HTTP/1.1" or not headers.hasHeader(b"Upgrade"):
            return False
        return hasToken(headers.getRawHeaders(b"Connection", []), b"upgrade")

    def takeOver(self, protocol: IProtocol, first: bytes = b"") -> None:
        """
        Give the connection to another protocol for the rest of its life.

        The protocol is connected to the raw transport (TLS or TCP) and gets every byte from
        then on directly. HTTP's timeouts end; the limits on connections still count it. The
        request is over: nothing can be written to it, and whoever waits in C{notifyFinish}
        is told that it finished.

        @param first: Bytes to give to the protocol before those that the client has sent
            already, such as a handshake that it wants to read itself.
        @raise RuntimeError: On HTTP/2, or when the response has begun.
        """
        if self.startedWriting or self.finished or self._disconnected:
            raise RuntimeError("a request can only be taken over before its response begins")
        self.channel.takeOver(self, protocol, first)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Have the rest of the response produced as the client takes it. Once the client has
        left the producer is told to stop.
        """
        if self._disconnected:
            producer.stopProducing()
        else:
            super().registerProducer(producer, streaming)  # type: ignore[no-untyped-call]

    def unregisterProducer(self) -> None:
        """
        The producer is done.
        """
        if self.channel is None:
            self.producer = None
        else:
            super().unregisterProducer()  # type: ignore[no-untyped-call]

    def takenOver(self) -> None:
        """
        The channel has let go of the connection.
        """
        self.finished = 1
        self.channel = None
        self.content.close()
        waiting, self.notifications = self.notifications, []
        for waiter in waiting:
            waiter.callback(None)

    def headerLines(self) -> Mapping[bytes, Sequence[bytes]]:
        """
        Every header the client sent, in its canonical capitalisation, repeated ones unmerged.
        """
        return dict(self.requestHeaders.getAllRawHeaders())


def usableRequestId(lines: Sequence[bytes]) -> str | None:
    """
    The request id of a client, if it is one line of 1 to 128 printable ASCII characters.
    """
    if len(lines) != 1 or not 0 < len(lines[0]) <= _MAX_REQUEST_ID or not lines[0].isascii():
        return None
    text = lines[0].decode("ascii")
    return text if text.isprintable() else None
