# -*- test-case-name: aero.http.test.test_redirect -*-
"""
The plain HTTP listener: everything is elsewhere, over TLS (edge.md section 2.5).

It answers one request for a connection, from its head alone, with a redirect to the same
target on one of the site's own names; it never follows the C{Host} of a stranger. What an
ACME server asks for is answered here, because it asks before there is a certificate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.python.failure import Failure

from aero.errors import Refused
from aero.metrics import Metrics
from aero.metrics import http as rows
from aero.policy.hostname import hostOf
from aero.settings.http import HTTPSettings

from .head import END, Head, bad, parseHead
from .refusals import phrase

#: Where ACME servers look for the answer to an HTTP-01 challenge (RFC 8555 section 8.3).
CHALLENGES = b"/.well-known/acme-challenge/"

#: Seconds that a client has to read the answer and close.
_LINGER = 2.0

_TEXT = b"text/plain; charset=utf-8"


class Challenges(Protocol):
    """
    Whoever knows the answers to ACME challenges.
    """

    def keyAuthorization(self, token: str) -> str | None:
        """
        The answer for a token that is being asked for now, or C{None}.
        """


class RedirectFactory(Factory):
    """
    The factory of a plain HTTP listener beside a TLS one.

    @ivar hosts: The names that are redirected, lower case.
    """

    noisy = False

    def __init__(
        self,
        *,
        hosts: frozenset[str],
        httpsPort: int | Callable[[], int],
        settings: HTTPSettings,
        metrics: Metrics,
        clock: IReactorTime,
        challenges: Challenges | None = None,
    ) -> None:
        """
        @param httpsPort: Where the TLS site listens, or what tells that once it does.
        """
        self.hosts = hosts
        self.settings = settings
        self.clock = clock
        self.challenges = challenges
        self._metrics = metrics
        self._httpsPort = httpsPort

    @property
    def httpsPort(self) -> int:
        """
        The port to send clients to.
        """
        return self._httpsPort if isinstance(self._httpsPort, int) else self._httpsPort()

    def buildProtocol(self, addr: IAddress | None) -> RedirectProtocol:
        """
        Make the protocol of one connection.
        """
        return RedirectProtocol(self)

    def refused(self, reason: str) -> None:
        """
        A request was not redirected.
        """
        self._metrics.counter(rows.REFUSED, reason).inc()

    def timedOut(self, kind: str) -> None:
        """
        A client took too long.
        """
        self._metrics.counter(rows.TIMEOUTS, kind).inc()


class RedirectProtocol(StreamProtocol):
    """
    One connection to the plain listener.
    """

    transport: Any

    def __init__(self, site: RedirectFactory) -> None:
        self._site = site
        self._buffer = bytearray()
        self._answered = False
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """
        A client connected, and has as long for its request as for any head.
        """
        self._timer = self._site.clock.callLater(self._site.settings.headerTimeout, self._late)

    def dataReceived(self, data: bytes) -> None:
        """
        The client sent bytes; those after the head are of no interest.
        """
        if self._answered:
            return
        searched = max(0, len(self._buffer) - len(END) + 1)
        self._buffer += data
        try:
            head = self._head(searched)
            if head is not None:
                self._respond(head)
        except Refused as refused:
            self._site.refused(refused.reason)
            self._answer(refused.status, refused.message.encode("ascii"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The client is gone.
        """
        self._answered = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head(self, searched: int) -> Head | None:
        buffer, settings = self._buffer, self._site.settings
        end = buffer.find(END, searched)
        if (len(buffer) if end < 0 else end) > settings.maxHeaderBytes:
            raise Refused(431, "headers_too_large", "Headers too large", reason="header-bytes")
        if end < 0:
            # Somebody speaks TLS, or nothing that is known here.
            if not 32 < buffer[0] < 127 and buffer[0] != 13:
                raise bad("This is not HTTP/1.1")
            return None
        block = bytes(buffer[:end])
        return parseHead(block.removeprefix(b"\r\n"), settings.maxHeaders)

    def _respond(self, head: Head) -> None:
        site, target = self._site, head.target
        if len(target) > site.settings.maxTargetLength:
            raise Refused(414, "url_too_long", "Request URL too long", reason="target")
        if target.startswith(CHALLENGES) and site.challenges is not None:
            token = target[len(CHALLENGES) :].decode("ascii")
            answer = site.challenges.keyAuthorization(token)
            if answer is not None:
                body = answer.encode("ascii")
                self._answer(200, body, b"application/octet-stream", head.method != b"HEAD")
            else:
                self._answer(404, b"No such challenge")
            return
        values = [value for name, value in head.headers if name.lower() == b"host"]
        if not values:
            raise bad("Exactly one Host header is required", "host")
        host = hostOf(values[0])
        if host is None or host not in site.hosts:
            raise Refused(
                421, "misdirected_request", "This server does not serve that host", reason="host"
            )
        port = site.httpsPort
        # The name is one of ours and the target is the rest of the client's own URL, which
        # begins with a slash; so the URL cannot mean another host, whatever follows.
        location = b"https://%b%b%b" % (
            host.encode("ascii"),
            b"" if port == 443 else b":%d" % port,
            b"/" if target == b"*" else target,
        )
        self._answer(308, b"", location=location)

    def _answer(
        self,
        status: int,
        body: bytes,
        contentType: bytes = _TEXT,
        withBody: bool = True,
        location: bytes | None = None,
    ) -> None:
        """
        Answer, and close once the client has had time to read it.
        """
        self._answered = True
        self._buffer.clear()
        lines = [b"HTTP/1.1 %d %b" % (status, phrase(status))]
        if location is not None:
            lines.append(b"Location: " + location)
        if body:
            lines.append(b"Content-Type: " + contentType)
        lines.append(b"Content-Length: %d" % len(body))
        lines.append(b"Connection: close\r\n\r\n")
        self.transport.write(b"\r\n".join(lines) + (body if withBody else b""))
        if hasattr(self.transport, "loseWriteConnection"):
            # The rest of the request may still be coming; see Channel._close.
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()
        if self._timer is not None:
            self._timer.reset(_LINGER)

    def _late(self) -> None:
        self._timer = None
        if not self._answered:
            self._site.timedOut("header")
        self.transport.abortConnection()
