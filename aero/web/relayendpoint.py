# -*- test-case-name: aero.web.test.test_relayendpoint -*-
"""
The HTTP resources of the relay: its errors, its credentials, and what it tells of itself when
it runs alone (relay.md sections 2, 4 and 5.4).

Its errors are C{{"code": code, "message": text}}, which its clients read; the gateway's have
another shape.
"""

from __future__ import annotations

from inspect import iscoroutine
from typing import Any, Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from aero.auth.relaymodes import Admitted, RelayAuth
from aero.errors import Refused
from aero.http.endpoint import Endpoint
from aero.http.replies import Header, encodeJSON, reply, replyText, retryAfter
from aero.http.request import AeroRequest
from aero.metrics import Events
from aero.tunnel.datagrams.sessions import RelaySessions

from .health import Readiness

#: Without a charset, as the reference writes it.
JSON = b"application/json"

#: What the relay answers is about one client, or about now.
NO_STORE: Sequence[Header] = ((b"Cache-Control", b"no-store"),)

#: Bytes of a body that nobody reads.
MAX_IGNORED_BODY_BYTES = 65_536


def replyRelayJSON(
    request: AeroRequest, status: int, value: object, *, headers: Sequence[Header] = NO_STORE
) -> int:
    """
    Send a value as the relay does: compact JSON and a newline.
    """
    return reply(request, status, encodeJSON(value) + b"\n", JSON, headers=headers)


def replyRelayError(request: AeroRequest, refused: Refused) -> int:
    """
    Send what a L{Refused} says, in the relay's shape, with C{Retry-After} where it says when.
    """
    return replyRelayJSON(
        request,
        refused.status,
        {"code": refused.code, "message": refused.message},
        headers=[*NO_STORE, *retryAfter(refused.retryAfter)],
    )


class RelayEndpoint(Endpoint):
    """
    A resource of the relay. Write it like any L{Endpoint}; what it raises is answered in the
    relay's shape.
    """

    _log = Logger()

    def render(self, request: AeroRequest) -> Any:
        """
        Answer, now or later.
        """
        try:
            result: Any = Endpoint.render(self, request)  # type: ignore[no-untyped-call]
        except Refused as refused:
            return self.refused(request, refused)
        if iscoroutine(result):
            result = Deferred.fromCoroutine(result)
        if isinstance(result, Deferred):
            result.addErrback(self._refusedLater, request)
        return result

    def refused(self, request: AeroRequest, refused: Refused) -> int:
        """
        Answer with an error.
        """
        return replyRelayError(request, refused)

    def bodyRefused(self, request: AeroRequest, refused: Refused) -> int:
        """
        Answer a request whose body is too large, and was not read.
        """
        return self.refused(request, refused)

    def _refusedLater(self, failure: Failure, request: AeroRequest) -> int:
        failure.trap(Refused)
        assert isinstance(failure.value, Refused)
        return self.refused(request, failure.value)


class RelayDoor:
    """
    Asks clients of the relay's HTTP resources for their credential.
    """

    _log = Logger()

    def __init__(self, auth: RelayAuth, events: Events, now: Callable[[], float]) -> None:
        """
        @param now: Gives the seconds since 1970.
        """
        self._auth = auth
        self._events = events
        self._now = now

    def admit(self, request: AeroRequest) -> Admitted:
        """
        Decide about a request.

        @raise Refused: 401, or 500 where the mode itself fails.
        """
        lines = request.requestHeaders.getRawHeaders
        query = request.uri.partition(b"?")[2].decode("latin-1")
        try:
            credential = self._auth.carried(lambda name: lines(name) or (), query)
            admitted = self._auth.admit(credential, self._now())
        except Exception:  # noqa: BLE001 - a mode of the user's own may raise anything
            self._log.failure("A credential of the relay could not be checked")
            raise Refused(500, "internal_error", "internal error", reason="error") from None
        if admitted is None:
            self._events.inc("auth_failure")
            raise Refused(401, "unauthorized", "unauthorized")
        return admitted


class RelaySessionEndpoint(RelayEndpoint):
    """
    C{POST /session} of the relay alone: reserve a session for a while (section 5.4). The id is
    the whole body; C{session=} in the query string of what is opened later uses it.
    """

    maxBodyBytes = MAX_IGNORED_BODY_BYTES

    def __init__(self, door: RelayDoor, sessions: RelaySessions) -> None:
        super().__init__()
        self._door = door
        self._sessions = sessions

    def render_POST(self, request: AeroRequest) -> int:
        """
        Answer with the id.
        """
        admitted = self._door.admit(request)
        try:
            ident = self._sessions.reserve(admitted.key, address=request.client.ip)
        except RuntimeError:
            self._log.failure("A relay session could not be made")
            raise Refused(500, "internal_error", "failed to allocate session") from None
        return replyText(request, 201, ident, headers=NO_STORE)


class UpgradeRequired(RelayEndpoint):
    """
    What an ordinary request to the path of a WebSocket is told.
    """

    def __init__(self, *, typed: bool = False) -> None:
        """
        @param typed: Whether the body says that it is an error, as C{/udp} does.
        """
        super().__init__()
        self._value = {"code": "bad_message", "message": "websocket upgrade required"}
        if typed:
            self._value = {"type": "error", **self._value}

    def render_GET(self, request: AeroRequest) -> int:
        """
        Answer that it is not a page.
        """
        return replyRelayJSON(request, 400, self._value)


class RelayHealthEndpoint(RelayEndpoint):
    """
    C{GET /healthz} of the relay alone.
    """

    def render_GET(self, request: AeroRequest) -> int:
        """
        Answer that the process answers.
        """
        return replyRelayJSON(request, 200, {"ok": True})


class RelayReadyEndpoint(RelayEndpoint):
    """
    C{GET /readyz} of the relay alone.
    """

    def __init__(self, readiness: Readiness, problem: Callable[[], str] = str) -> None:
        """
        @param problem: Gives what is wrong with the settings, though not so wrong that the
            process does not run; empty where nothing is.
        """
        super().__init__()
        self._readiness = readiness
        self._problem = problem

    def render_GET(self, request: AeroRequest) -> int:
        """
        Answer whether the relay wants work.
        """
        problem = self._problem()
        if problem:
            return replyRelayJSON(request, 503, {"ready": False, "error": problem})
        ready = self._readiness.ready
        return replyRelayJSON(request, 200 if ready else 503, {"ready": ready})


class RelayVersionEndpoint(RelayEndpoint):
    """
    C{GET /version} of the relay alone.
    """

    def __init__(self, commit: str, buildTime: str) -> None:
        super().__init__()
        self._value = {"commit": commit, "buildTime": buildTime}

    def render_GET(self, request: AeroRequest) -> int:
        """
        Answer with both.
        """
        return replyRelayJSON(request, 200, self._value)
