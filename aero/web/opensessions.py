# -*- test-case-name: aero.web.test.test_opensessions -*-
"""
C{/session/open}: the sessions that have tunnels open, for operators, who can end them there.

A client is told nothing by it that it does not know, but it is not told of others; so the page
wants a token, and is not there at all until the operator sets one.

Each process of the server summarizes its own tunnels; the one that is asked merges the summaries.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable, Iterable, NamedTuple, Sequence

from twisted.internet.defer import Deferred

from aero.auth.sessions import Sessions
from aero.errors import Refused
from aero.http.credentials import requireBearer
from aero.http.endpoint import Endpoint, Rendered
from aero.http.replies import replyEmpty, replyJSON
from aero.http.request import AeroRequest
from aero.metrics import Metrics
from aero.metrics import sessions as rows

#: The most sessions that are listed, those with the most tunnels first.
MAX_LISTED = 1_000

#: The most lines of one process' summary: sessions, addresses and endpoints.
MAX_LINES = 4_000

_NO_STORE = (b"Cache-Control", b"no-store")


class Tunnel(NamedTuple):
    """
    One open tunnel.

    @ivar sid: The name of its session; empty where it has none.
    @ivar address: Where its client is.
    @ivar endpoint: The name of its endpoint, such as C{tcp-mux}.
    """

    sid: str
    address: str
    endpoint: str


#: Gives the summaries of all processes, this one's included, and whether all of them answered.
Gather = Callable[[], Deferred[tuple[Sequence[Any], bool]]]


class OpenSessions:
    """
    Open tunnels by session. Tunnels without a session are added up by their client's address.
    """

    def __init__(self) -> None:
        self._tunnels: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
        self._unlisted = 0

    def add(self, tunnel: Tunnel, count: int = 1) -> None:
        """
        Add tunnels of one kind.
        """
        sid, address, endpoint = tunnel
        entry = (sid, "" if sid else address)
        self._tunnels.setdefault(entry, Counter())[address, endpoint] += count

    def summary(self) -> dict[str, Any]:
        """
        What another process is told, as plain values: the sessions with the most tunnels, and how
        many there are beside them.
        """
        lines: list[tuple[str, str, str, int]] = []
        listed = 0
        for entry in self._busiest():
            found = self._tunnels[entry]
            if len(lines) + len(found) > MAX_LINES:
                break
            lines += [(entry[0], *where, count) for where, count in found.items()]
            listed += 1
        return {"lines": lines, "unlisted": len(self._tunnels) - listed + self._unlisted}

    def merge(self, summary: Any) -> None:
        """
        Add the summary of a process.

        @raise ValueError: It is none; the process may run another version.
        """
        try:
            lines = [
                (Tunnel(str(sid), str(address), str(endpoint)), int(count))
                for sid, address, endpoint, count in summary["lines"]
            ]
            unlisted = int(summary["unlisted"])
        except (KeyError, TypeError) as error:
            raise ValueError("expected a summary of open sessions") from error
        for tunnel, count in lines:
            self.add(tunnel, count)
        self._unlisted += unlisted

    def page(self) -> dict[str, Any]:
        """
        The page's content: C{count}, and C{sessions} with the most tunnels first.
        """
        sessions = []
        for sid, address in self._busiest():
            tunnels: Counter[str] = Counter()
            addresses = set()
            for (where, endpoint), count in self._tunnels[sid, address].items():
                addresses.add(where)
                tunnels[endpoint] += count
            sessions.append(
                {"sid": sid or None, "addresses": sorted(addresses), "tunnels": tunnels}
            )
        return {"count": len(self._tunnels) + self._unlisted, "sessions": sessions}

    def _busiest(self) -> Sequence[tuple[str, str]]:
        return sorted(self._tunnels, key=lambda each: (-self._tunnels[each].total(), each))[
            :MAX_LISTED
        ]


def summaryOf(tunnels: Iterable[Tunnel]) -> dict[str, Any]:
    """
    The summary of some tunnels.
    """
    found = OpenSessions()
    for tunnel in tunnels:
        found.add(tunnel)
    return found.summary()


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
        gather: Gather,
        token: str,
    ) -> None:
        """
        @param now: The current time in seconds since the epoch.
        @param gather: Gives what is open now.
        @param token: The bearer token that the operator has.
        @raise ValueError: The token is empty, so everybody would have it.
        """
        if not token:
            raise ValueError("expected a token")
        super().__init__()
        self._sessions = sessions
        self._ended = metrics.counter(rows.SESSIONS_ENDED, "operator")
        self._now = now
        self._gather = gather
        self._token = token

    def render_GET(self, request: AeroRequest) -> Rendered:
        """
        List the sessions: C{{"count": n, "complete": true, "sessions": [{"sid", "addresses",
        "tunnels"}]}}; C{complete} is false where a process of the server did not answer.

        @raise Refused: 401, without the token.
        """
        requireBearer(request, self._token, "sessions")
        return self._gather().addCallback(self._reply, request)

    def _reply(self, gathered: tuple[Sequence[Any], bool], request: AeroRequest) -> int:
        summaries, complete = gathered
        found = OpenSessions()
        for summary in summaries:
            try:
                found.merge(summary)
            except ValueError:
                complete = False
        value = {**found.page(), "complete": complete}
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
