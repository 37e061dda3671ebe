"""
Tests for L{aero.http.endpoint}, as somebody who writes one sees it.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from aero.auth.sessions import Sessions
from aero.http.credentials import requireSession
from aero.http.endpoint import Endpoint
from aero.http.replies import replyJSON
from aero.http.router import Router
from aero.testing.web import WebClient


class Whoami(Endpoint):
    """
    The example of L{Endpoint}.
    """

    def __init__(self, sessions: Sessions, waiting: Deferred[None]) -> None:
        super().__init__()
        self._sessions = sessions
        self._waiting = waiting

    async def render_GET(self, request: Request) -> int:
        """
        Answer with the session, after a while.
        """
        session = requireSession(request, self._sessions, 0)
        await self._waiting
        return replyJSON(request, 200, {"sid": session.sid})


class EndpointTests(SynchronousTestCase):
    """
    Tests for L{Endpoint}.
    """

    def setUp(self) -> None:
        self.sessions = Sessions(["secret"], 60, "Lax")
        self.waiting: Deferred[None] = Deferred()
        router = Router(base="/base")
        router.addResource("/whoami", Whoami(self.sessions, self.waiting))
        self.client = WebClient(router)

    def test_answers(self) -> None:
        """
        An endpoint of one's own is at its path and under the base, and may take its time.
        """
        session, cookie = self.sessions.renew(None, 0, True)
        headers = {b"Cookie": cookie.partition(b";")[0]}
        exchanges = [
            self.client.start(b"GET", target, headers) for target in ("/whoami", "/base/whoami")
        ]
        self.assertEqual([exchange.received for exchange in exchanges], [b"", b""])
        self.waiting.callback(None)
        for exchange in exchanges:
            self.assertEqual(exchange.response().json(), {"sid": session.sid})

    def test_refuses(self) -> None:
        """
        What it raises is the answer.
        """
        response = self.client.request(b"GET", "/whoami")
        self.assertEqual(response.error(), (401, "unauthorized"))

    def test_methods(self) -> None:
        """
        C{HEAD} follows from C{GET}; other methods are a 405.
        """
        self.assertEqual(self.client.request(b"HEAD", "/whoami").status, 401)
        response = self.client.request(b"POST", "/whoami")
        self.assertEqual(response.error(), (405, "method_not_allowed"))
        self.assertEqual(response.header(b"Allow"), b"GET, HEAD, OPTIONS")

    def test_bodyLimit(self) -> None:
        """
        An endpoint may want smaller bodies than the site allows; others keep the site's limit.
        """

        class Small(Endpoint):
            maxBodyBytes: int | None = 3

            def render_POST(self, request: Request) -> bytes:
                return b"taken"

        class Large(Small):
            maxBodyBytes: int | None = None

        router = Router()
        router.addResource("/small", Small())
        router.addResource("/large", Large())
        client = WebClient(router)
        self.assertEqual(client.request(b"POST", "/small", body=b"123").body, b"taken")
        response = client.request(b"POST", "/small", body=b"1234")
        self.assertEqual(response.error(), (413, "payload_too_large"))
        self.assertEqual(client.request(b"POST", "/large", body=b"1" * 1_048_576).status, 200)
        self.assertEqual(client.request(b"POST", "/large", body=b"1" * 1_048_577).status, 413)

    def test_noChildren(self) -> None:
        """
        There is nothing below an endpoint.
        """
        self.assertEqual(self.client.request(b"GET", "/whoami/x").status, 404)
