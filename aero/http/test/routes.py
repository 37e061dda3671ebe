"""
Resources, endpoints and a router to test with.
"""

from __future__ import annotations

from typing import Any

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from zope.interface import implementer

from aero.http.endpoint import Endpoint
from aero.http.gates import Gate
from aero.http.request import AeroRequest
from aero.http.router import Router
from aero.interfaces import IUpgradable
from aero.web.health import HealthEndpoint

UPGRADE = {b"Upgrade": b"websocket", b"Connection": b"keep-alive, Upgrade"}


class Page(Resource):
    """
    A front end that says what it was asked for.
    """

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """
        Answer with the segments.
        """
        return b"page " + b"|".join(request.postpath or [])


class Named(Endpoint):
    """
    An endpoint that answers with its name.
    """

    def __init__(self, name: bytes) -> None:
        super().__init__()
        self.name = name

    def render_GET(self, request: Request) -> bytes:
        """
        Answer with the name.
        """
        return self.name

    def render_POST(self, request: Request) -> bytes:
        """
        Answer with the name, too.
        """
        return b"posted " + self.name


@implementer(IUpgradable)
class Upgraded:
    """
    An endpoint that says that it was reached, instead of switching protocols.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.requests: list[Any] = []

    def upgradeReceived(self, request: Any) -> None:
        """
        Keep the request and answer.
        """
        self.requests.append(request)
        request.setResponseCode(418)
        request.setHeader(b"Content-Length", b"0")
        request.finish()


@implementer(IUpgradable)
class UpgradedPage(Page):
    """
    A front end that takes WebSockets too.
    """

    path = "/"

    def upgradeReceived(self, request: Any) -> None:
        """
        Answer with the path.
        """
        request.setResponseCode(418, request.path)
        request.setHeader(b"Content-Length", b"0")
        request.finish()


class Refusing:
    """
    A gate that lets nobody in and counts who asked.
    """

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.routes: list[str] = []

    def admits(self, request: AeroRequest) -> bool:
        """
        Answer in full unless this gate is open.
        """
        self.routes.append(request.route)
        if not self.answer:
            request.setResponseCode(403)
            request.finish()
        return self.answer


def makeRouter(
    *, base: str = "/", gates: tuple[Gate, ...] = (), fallback: IResource | None = None
) -> Router:
    """
    A router with the routes that these tests ask for.
    """
    router = Router(base=base, gates=gates, fallback=fallback)
    router.addResource("/healthz", HealthEndpoint())
    router.addResource("/session", Named(b"session"))
    router.addResource("/udp-relay/token", Named(b"token"))
    router.addUpgrade(Upgraded("/tcp"))
    return router
