"""
A resource of one's own: C{GET /whoami} tells a page about its session, and C{DELETE} ends it::

    PYTHONPATH=docs/examples twistd -n aero --app whoami.Server
"""

from __future__ import annotations

from typing import Callable, Mapping

from twisted.web.resource import IResource

from aero.app import Aero
from aero.auth.sessions import Sessions
from aero.http.credentials import requireSession
from aero.http.endpoint import Endpoint
from aero.http.replies import replyEmpty, replyJSON
from aero.http.request import AeroRequest


class Whoami(Endpoint):
    """
    The session of whoever asks.
    """

    def __init__(self, sessions: Sessions, now: Callable[[], float]) -> None:
        super().__init__()
        self._sessions = sessions
        self._now = now

    def render_GET(self, request: AeroRequest) -> int:
        session = requireSession(request, self._sessions, self._now())
        value = {"sid": session.sid, "expires": session.expires, "address": request.client.ip}
        return replyJSON(request, 200, value, headers=[(b"Cache-Control", b"no-store")])

    def render_DELETE(self, request: AeroRequest) -> int:
        now = self._now()
        session = requireSession(request, self._sessions, now)
        self._sessions.end(session.sid, now)
        return replyEmpty(request, 204)


class Server(Aero):
    """
    aero with C{/whoami}.
    """

    def makeResources(self) -> Mapping[str, IResource]:
        return {**super().makeResources(), "/whoami": Whoami(self.sessions, self.now)}
