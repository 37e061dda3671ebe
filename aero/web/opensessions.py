# -*- test-case-name: aero.web.test.test_opensessions -*-
"""
C{/session/open}: the sessions that have tunnels open, for operators, who can end them there.

A client is told nothing by it that it does not know, but it is not told of others; so the page
wants a token, and is not there at all until the operator sets one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Callable, Iterable, NamedTuple

from aero.auth.sessions import Sessions
from aero.errors import Refused
from aero.http.credentials import requireBearer
from aero.http.endpoint import Endpoint
from aero.http.replies import replyEmpty, replyJSON
from aero.metrics import Metrics
from aero.metrics import sessions as rows

if TYPE_CHECKING:
    from aero.http.request import AeroRequest

#: The most sessions that are listed, those with the most tunnels first.
MAX_LISTED = 1_000

_NO_STORE = (b"Cache-Control", b"no-store")


class Tunnel(NamedTuple):
    """
    One open tunnel.

    @ivar sid: The name of its session.
    @ivar address: Where its client is.
    @ivar endpoint: The name of its endpoint, such as C{tcp-mux}.
    """

    sid: str
    address: str
    endpoint: str


class OpenSessionsEndpoint(Endpoint):
    """
    C{GET /session/open} lists, C{DELETE /session/open?sid=} ends a session, whether it has
    tunnels or not.
    """

    def __init__(
        self,
        sessions: Sessions,
        metrics: Metrics,
        now: Callable[[], float],
        *,
        tunnels: Callable[[], Iterable[Tunnel]],
        token: str,
    ) -> None:
        """
        @param now: The current time in seconds since the epoch.
        @param tunnels: Gives the tunnels that are open now.
        @param token: The bearer token that the operator has.
        @raise ValueError: The token is empty, so everybody would have it.
        """
        if not token:
            raise ValueError("expected a token")
        super().__init__()
        self._sessions = sessions
        self._ended = metrics.counter(rows.SESSIONS_ENDED, "operator")
        self._now = now
        self._tunnels = tunnels
        self._token = token

    def render_GET(self, request: AeroRequest) -> int:
        """
        List the sessions: C{{"count": n, "sessions": [{"sid", "addresses", "tunnels"}]}}.

        @raise Refused: 401, without the token.
        """
        requireBearer(request, self._token, "sessions")
        addresses: dict[str, set[str]] = {}
        tunnels: dict[str, Counter[str]] = {}
        for sid, address, endpoint in self._tunnels():
            addresses.setdefault(sid, set()).add(address)
            tunnels.setdefault(sid, Counter())[endpoint] += 1
        listed = sorted(tunnels, key=lambda sid: (-tunnels[sid].total(), sid))[:MAX_LISTED]
        found = [
            {"sid": sid, "addresses": sorted(addresses[sid]), "tunnels": tunnels[sid]}
            for sid in listed
        ]
        value = {"count": len(tunnels), "sessions": found}
        return replyJSON(request, 200, value, headers=[_NO_STORE])

    def render_DELETE(self, request: AeroRequest) -> int:
        """
        End the session of the parameter C{sid}. There is no telling whether there ever was
        one of that name.

        @raise Refused: 401, without the token; 400, without exactly one name.
        """
        requireBearer(request, self._token, "sessions")
        named = request.args.get(b"sid", [])
        if len(named) != 1 or not named[0]:
            raise Refused(400, "bad_request", "Exactly one parameter sid is required", reason="sid")
        self._sessions.end(named[0].decode("utf-8", "replace"), self._now(), byOperator=True)
        self._ended.inc()
        return replyEmpty(request, headers=[_NO_STORE])
