# -*- test-case-name: aero.http.test.test_endpoint -*-
"""
The base class of the resources that answer at one path.
"""

from __future__ import annotations

from typing import Any, Coroutine, Union

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource

#: What a C{render_} method may give; see L{Endpoint}.
Rendered = Union[bytes, int, "Deferred[Any]", "Coroutine[Deferred[Any], Any, Any]"]


class Endpoint(Resource):
    """
    A resource at one path, without children.

    Write a method for each HTTP method, C{render_GET} and so on. C{HEAD} follows from
    C{GET}; any other method is a 405 that names those there are. A method ends in one of
    three ways:

      - it gives the body as bytes, or C{NOT_DONE_YET} and answers in its own time; the
        functions of L{aero.http.replies} answer and give that,
      - it gives a C{Deferred} of either, or is an C{async def},
      - it raises L{aero.errors.Refused}, now or in that C{Deferred}.

    The origin guard and the rate limit are behind a request by the time it gets here
    (L{aero.http.gates}). L{aero.http.bodies} reads its body and L{aero.http.credentials} its
    session::

        class Whoami(Endpoint):
            def __init__(self, sessions: Sessions) -> None:
                super().__init__()
                self._sessions = sessions

            async def render_GET(self, request: Request) -> int:
                session = requireSession(request, self._sessions, time.time())
                return replyJSON(request, 200, {"sid": session.sid})

        router.addResource("/whoami", Whoami(sessions))
    """

    isLeaf = True

    #: The most bytes of body it wants; more is a 413 before any of them is kept. The limit of
    #: the site holds besides, and alone where this is C{None}.
    maxBodyBytes: int | None = None

    def __init__(self) -> None:
        Resource.__init__(self)
