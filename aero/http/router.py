# -*- test-case-name: aero.http.test.test_router -*-
"""
Which resource answers a request.

Paths are case-sensitive, matched whole and after percent-decoding (L{aero.http.paths}).
Every route also exists under the path of the public base URL (gateway.md section 1.1).
With a fallback, the front end gets what no service owns, there as well; the reserved first
segments of edge.md section 3.4 are never its, known or not.

WebSocket handshakes are handed over before the gates, because an endpoint answers its
refusals itself, in an order of its own (gateway.md section 9). A handshake for a path where
nothing speaks WebSocket is a 404. Other offers to upgrade, h2c among them, are ignored, as
RFC 9110 section 7.8 allows.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any, Sequence, cast

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource, getChildForRequest

from aero.errors import Refused
from aero.interfaces import IUpgradable
from aero.policy.headers import NO_FRAMES
from aero.wire.fieldlist import hasToken

from .gates import Gate
from .paths import decodePath, isAmbiguous, upgradePath
from .rendering import allowOf, fail, hasMethods, render
from .replies import replyEmpty, replyError, replyUpgradeRefused
from .request import AeroRequest

#: The first segments that belong to services, whether the service runs or not.
RESERVED = frozenset(
    {
        b"api",
        b"dns-json",
        b"dns-query",
        b"eth",
        b"healthz",
        b"l2",
        b"metrics",
        b"readyz",
        b"session",
        b"tcp",
        b"tcp-mux",
        b"udp-relay",
        b"version",
        b"webrtc",
    }
)

#: Paths that are reserved alone; what is below them is the front end's (edge.md section 3.3).
RESERVED_PATHS = frozenset({b"offer", b"udp"})

#: The C{route} label of requests that no route owns (gateway.md section 8).
UNKNOWN = "unknown"
#: The one of C{OPTIONS}.
ANY = "/*"
#: The one of what the front end answers.
FALLBACK = "static"

#: Whatever a service says is never to be seen inside another page (gateway.md section 3.5).
_NO_FRAMES = (NO_FRAMES[0], [NO_FRAMES[1]])


@dataclass(frozen=True, slots=True)
class Route:
    """
    Where a request goes.

    @ivar template: The C{route} label of metrics, of bounded number.
    @ivar resource: What answers; C{None} where nothing does.
    @ivar prepath: The decoded segments that led here.
    @ivar postpath: The decoded segments that are left for the resource.
    @ivar isTree: Whether the children of the resource are to be looked through.
    @ivar gate: What requests pass in the place of the site's first gate, which answers C{OPTIONS}
        as well; C{None} for the site's own.
    @ivar status: Why nothing answers: 404, or 400 where the path cannot be read.
    """

    template: str
    resource: IResource | None = None
    prepath: tuple[bytes, ...] = ()
    postpath: tuple[bytes, ...] = ()
    isTree: bool = False
    status: int = 404
    gate: Gate | None = None


#: Methods whose bodies mean nothing (RFC 9110 section 9.3.1).
_BODILESS = frozenset((b"GET", b"HEAD", b"OPTIONS"))

_NOT_FOUND = Route(UNKNOWN)
_BAD_PATH = Route(UNKNOWN, status=400)


class Router:
    """
    The routes of one site.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        base: str = "/",
        gates: Sequence[Gate] = (),
        fallback: IResource | None = None,
        isBare: bool = False,
    ) -> None:
        """
        @param base: The path of the public base URL, which all routes exist under as well.
        @param gates: What every request passes in this order; see L{aero.http.gates}.
        @param fallback: The front end. It gets all segments of the path as C{postpath}, and
            WebSocket handshakes too where it provides L{IUpgradable}. Without one, paths
            that nobody owns are a 404.
        @param isBare: Whether errors of routing have no body, and C{OPTIONS} is a method like any
            other.
        """
        self.base = base.rstrip("/")
        self._gates = tuple(gates)
        self._fallback = fallback
        self._isBare = isBare
        self._baseSegments = tuple(decodePath(self.base.encode("utf-8")) or ())
        self._routes: dict[tuple[bytes, ...], Route] = {}
        self._trees: dict[tuple[bytes, ...], Route] = {}
        self._depth = 0
        self._upgrades: dict[bytes, tuple[str, IUpgradable]] = {}
        # The paths of WebSocket endpoints, aliases left out, for clients that miss them.
        self._endpointPaths: list[str] = []

    def addResource(self, path: str, resource: IResource) -> None:
        """
        Answer one path, such as C{/healthz}, with a resource.
        """
        for template, segments in self._spellings(path):
            self._routes[segments] = Route(template, resource, prepath=segments)

    def addTree(self, path: str, resource: IResource, gate: Gate | None = None) -> None:
        """
        Answer a path and everything below it with a resource and its children, as Twisted's
        C{Site} does.

        @param gate: What decides about origins instead of the first of the site's gates. It answers
            C{OPTIONS} by itself.
        """
        for template, segments in self._spellings(path.rstrip("/")):
            self._trees[segments] = Route(
                f"{template}/*", resource, prepath=segments, isTree=True, gate=gate
            )
            self._depth = max(self._depth, len(segments))

    def addUpgrade(self, upgradable: IUpgradable, path: str = "") -> None:
        """
        Hand WebSocket handshakes at the path of an endpoint to it. An ordinary request to
        that path is a 404 (gateway.md section 5.7) unless a resource has it too.

        @param path: Another path than its own.
        """
        if path in ("", upgradable.path):
            self._endpointPaths.append(self.base + upgradable.path)
        for template, _ in self._spellings(path or upgradable.path):
            self._upgrades[template.encode("utf-8")] = (template, upgradable)

    def respond(self, request: AeroRequest) -> None:
        """
        Answer a request, now or later, whatever happens.
        """
        try:
            if self._upgrade(request):
                return
            route = self._find(request.path)
            isFallback = route.template == FALLBACK
            options = request.method == b"OPTIONS" and not self._isBare
            request.route = ANY if options else route.template
            if not isFallback:
                request.responseHeaders.setRawHeaders(*_NO_FRAMES)
            if not self._admitted(request, route):
                return
            if options and not isFallback:
                replyEmpty(request)
            elif self._isBare and request.method == b"OPTIONS" and _answersOptions(route):
                replyEmpty(request, headers=[(b"Allow", allowOf(route.resource))])
            elif route.resource is None:
                self._replyNothing(request, route.status)
            else:
                self._render(request, route, route.resource)
        except Exception:  # noqa: BLE001
            fail(request, Failure())

    def allow(self, request: AeroRequest) -> bytes:
        """
        The C{Allow} of the path of a request.
        """
        return allowOf(self._find(request.path).resource)

    def bodyLimit(self, request: AeroRequest) -> int:
        """
        The most bytes of body that the resource of a request wants
        (L{Endpoint.maxBodyBytes<aero.http.endpoint.Endpoint.maxBodyBytes>}).
        """
        limit = getattr(self._find(request.path).resource, "maxBodyBytes", None)
        return sys.maxsize if limit is None else int(limit)

    def bodyRefused(self, request: AeroRequest, refused: Refused) -> bool:
        """
        Refuse a body that is too large before it is read. The gates decide first, so that pages of
        the origins that they admit may read the answer.

        @return: False where the usual answer is to be given, with the headers set so far.
        """
        route = self._find(request.path)
        request.route = route.template
        if not self._admitted(request, route):
            return True
        refuse = getattr(route.resource, "bodyRefused", None)
        if refuse is None:
            return False
        refuse(request, refused)
        return True

    def _admitted(self, request: AeroRequest, route: Route) -> bool:
        """
        Whether every gate lets a request through; if not, one has answered it.
        """
        gates = self._gates if route.gate is None else (route.gate, *self._gates[1:])
        return all(gate.admits(request) for gate in gates)

    def keepsBody(self, request: AeroRequest) -> bool:
        """
        Whether the resource of a request reads its body. One that has no method for the request
        does not, nor do C{GET}, C{HEAD} and C{OPTIONS}, unless it says C{readsBody}.
        """
        resource = self._find(request.path).resource
        reads = getattr(resource, "readsBody", None)
        if resource is None or reads is not None:
            return bool(reads)
        if request.method in _BODILESS:
            return False
        if not resource.isLeaf or type(resource).render is not Resource.render:
            return True
        return hasattr(resource, "render_" + request.method.decode("latin-1"))

    def _spellings(self, path: str) -> list[tuple[str, tuple[bytes, ...]]]:
        """
        A path as it is and under the base, each with its decoded segments.
        """
        prefixes = [""] if not self.base else ["", self.base]
        spelled = [prefix + path for prefix in prefixes]
        found = []
        for one in spelled:
            segments = decodePath(one.encode("utf-8"))
            if segments is None:
                raise ValueError(f"{one!r} is not a path")
            found.append((one, tuple(segments)))
        return found

    def _find(self, path: bytes) -> Route:
        decoded = decodePath(path)
        if decoded is None:
            return _BAD_PATH
        segments = tuple(decoded)
        exact = self._routes.get(segments)
        if exact is not None:
            return exact
        for depth in range(min(self._depth, len(segments)), 0, -1):
            tree = self._trees.get(segments[:depth])
            if tree is not None:
                return replace(tree, postpath=segments[depth:])
        if self._fallback is None or self._isReserved(segments):
            return _NOT_FOUND
        if isAmbiguous(segments):
            return _BAD_PATH
        return Route(FALLBACK, self._fallback, (), segments, isTree=True)

    def _isReserved(self, segments: tuple[bytes, ...]) -> bool:
        """
        Whether no front end may ever answer a path. Encoded slashes count as slashes here:
        they do not make a route, nor may they hide one.
        """
        parts = tuple(b"/".join(segments).split(b"/"))
        base = self._baseSegments
        if base and parts[: len(base)] == base:
            parts = parts[len(base) :]
            if not parts:
                return False
            if parts[: len(base)] == base:
                return True
        return parts[0] in RESERVED or (len(parts) == 1 and parts[0] in RESERVED_PATHS)

    def _upgrade(self, request: AeroRequest) -> bool:
        """
        Hand over a WebSocket handshake.

        @return: Whether the request is dealt with.
        """
        if not request.isUpgrade():
            return False
        path = upgradePath(request.uri)
        owner = None if path is None else self._upgrades.get(path)
        if owner is not None:
            request.route, upgradable = owner
        elif self._isBare or not hasToken(
            request.requestHeaders.getRawHeaders(b"Upgrade", ()), b"websocket"
        ):
            return False
        elif IUpgradable.providedBy(self._fallback) and self._find(request.path).resource is (
            self._fallback
        ):
            request.route, upgradable = FALLBACK, self._fallback
        else:
            self._refuseUpgrade(request, path)
            return True
        try:
            upgradable.upgradeReceived(request)
        except Exception:  # noqa: BLE001
            self._log.failure("A WebSocket upgrade failed on {route}", route=request.route)
            if request.channel is not None and not request.startedWriting:
                replyUpgradeRefused(request, 500, "WebSocket upgrade failed")
        return True

    def _refuseUpgrade(self, request: AeroRequest, path: bytes | None) -> None:
        if path is None:
            refused = Refused(400, "bad_request", "Invalid request URL", reason="upgrade-url")
        elif self._fallback is None:
            # The text of gateway.md section 9.1.
            refused = Refused(404, "not_found", "Not Found", reason="upgrade-path")
        else:
            there = ", ".join(self._endpointPaths) or "none"
            refused = Refused(
                404,
                "not_found",
                f"No WebSocket endpoint has this path. Endpoints of this server: {there}",
                reason="upgrade-path",
            )
        request.refuse(refused)

    def _replyNothing(self, request: AeroRequest, status: int) -> None:
        if self._isBare:
            replyEmpty(request, status)
        elif status == 404:
            replyError(request, 404, "No such resource")
        else:
            replyError(request, status, "The path of the URL is not valid")

    def _render(self, request: AeroRequest, route: Route, resource: IResource) -> None:
        request.prepath = list(route.prepath)
        request.postpath = list(route.postpath)
        # Twisted's resources may look for it; its Request sets it only when it routes itself.
        cast(Any, request).sitepath = list(route.prepath)
        if route.isTree:
            resource = getChildForRequest(resource, request)
        render(request, resource)


def _answersOptions(route: Route) -> bool:
    """
    Whether a route of a bare router has more methods than the two of the server it replaces.
    """
    return route.resource is not None and hasMethods(route.resource)
