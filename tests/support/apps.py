"""
Composition roots of tests, named with C{--app}.
"""

from __future__ import annotations

from typing import Any, Mapping

from twisted.internet.task import deferLater
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from aero.app import Aero


class Wrong(Aero):
    """
    Aero with resources that do what resources should not.
    """

    def makeResources(self) -> Mapping[str, IResource]:
        """
        See L{Aero.makeResources}.
        """
        return {
            **super().makeResources(),
            "/api/raising": _Raising(),
            "/api/raising-later": _RaisingLater(self.reactor),
            "/api/cut": _Cut(),
            "/api/headers": _Headers(),
        }


class Past(Aero):
    """
    Aero at the moment for which the shared tokens were made.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options | {"now": lambda: 1_700_000_000.0})


class _Raising(Resource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        request.setHeader(b"ETag", b'"of what did not come about"')
        request.addCookie(b"half", b"made")
        raise RuntimeError("a private detail")


class _RaisingLater(Resource):
    isLeaf = True

    def __init__(self, clock: Any) -> None:
        super().__init__()
        self._clock = clock

    def render(self, request: Request) -> object:
        return deferLater(self._clock, 0, _fail)


def _fail() -> None:
    raise RuntimeError("a private detail")


class _Cut(Resource):
    isLeaf = True

    def render(self, request: Request) -> int:
        request.write(b"the beginning")
        raise RuntimeError("after the beginning")


class _Headers(Resource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        request.setHeader(b"Cross-Origin-Opener-Policy", b"unsafe-none")
        request.responseHeaders.addRawHeader(b"cross-origin-embedder-policy", b"unsafe-none")
        request.responseHeaders.addRawHeader(b"Content-Security-Policy", b"default-src *")
        request.setHeader(b"Strict-Transport-Security", b"max-age=1")
        return b"mine"
