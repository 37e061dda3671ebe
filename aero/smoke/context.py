# -*- test-case-name: aero.smoke.test.test_checks -*-
"""
What the checks share: the site, what the person who runs them said, and what earlier checks
learnt.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator

from .client import Response, Site, WebSocket
from .report import Failed, Skipped


@dataclass
class Context:
    """
    One run.

    @ivar site: What is checked.
    @ivar redirectPort: The port that redirects plain HTTP; C{None} where none is expected.
    @ivar echo: Host and port of a UDP echo server that the relay reaches.
    @ivar target: Host and port of a TCP server that the gateway reaches.
    @ivar asset: The path of a file below C{/assets/}.
    @ivar apiKey: A key of the relay, where the session gives none.
    @ivar private: Whether the gateway is meant to reach private networks.
    @ivar session: What C{POST /session} told.
    @ivar cookie: The session cookie.
    """

    site: Site
    redirectPort: int | None = None
    echo: tuple[str, int] | None = None
    target: tuple[str, int] = ("example.com", 80)
    asset: str = ""
    apiKey: str = ""
    private: bool = False
    session: dict[str, Any] = field(default_factory=dict)
    cookie: str = ""

    def needSession(self) -> dict[str, Any]:
        """
        The session.

        @raise Skipped: There is none.
        """
        if not self.session:
            raise Skipped("there is no session")
        return self.session

    def needRelay(self) -> dict[str, Any]:
        """
        What the session says of the relay.

        @raise Skipped: It says nothing.
        """
        relay = self.needSession().get("udpRelay")
        if not isinstance(relay, dict):
            raise Skipped("the session names no relay")
        if str(relay.get("baseUrl", "")).rstrip("/") != self.site.url:
            raise Skipped(f"the relay is elsewhere, at {relay.get('baseUrl')}")
        return relay

    def credential(self) -> str:
        """
        What the relay asks for; empty where it asks for nothing.
        """
        relay = self.session.get("udpRelay")
        token = relay.get("token") if isinstance(relay, dict) else None
        return str(token or self.apiKey)

    def browser(self, *, cookie: bool = True, origin: bool = True) -> dict[str, str]:
        """
        The headers of a request from a page of the site.
        """
        headers: dict[str, str] = {}
        if cookie and self.cookie:
            headers["Cookie"] = self.cookie
        if origin:
            headers["Origin"] = self.site.origin
        return headers

    def endpoint(self, name: str, default: str) -> str:
        """
        Where the session says that a service is.
        """
        endpoints = self.session.get("endpoints")
        found = endpoints.get(name) if isinstance(endpoints, dict) else None
        return found if isinstance(found, str) and found else default


#: One check: it returns what it found in words, or raises.
Check = Callable[[Context], "str | None"]

_CHECKS: list[tuple[str, Check]] = []


def check(statement: str) -> Callable[[Check], Check]:
    """
    Register a check under the statement that it checks.
    """

    def register(function: Check) -> Check:
        _CHECKS.append((statement, function))
        return function

    return register


def checks() -> Iterator[tuple[str, Check]]:
    """
    All checks, in the order they were written.
    """
    yield from _CHECKS


def expect(found: object, wanted: object, what: str) -> None:
    """
    Compare.

    @param what: What is compared, to begin the sentence with.
    @raise Failed: They differ.
    """
    if found != wanted:
        raise Failed(f"{what} is {found!r}, expected {wanted!r}")


def expectStatus(response: Response, *wanted: int) -> None:
    """
    @raise Failed: The status is none of these.
    """
    if response.status not in wanted:
        accepted = " or ".join(map(str, wanted))
        raise Failed(f"status is {response.status}, expected {accepted}: {excerpt(response)}")


def expectAccepted(socket: WebSocket, protocol: str | None = None) -> None:
    """
    @param protocol: The subprotocol that has to be chosen.
    @raise Failed: The upgrade was refused, or half understood.
    """
    if socket.response.status != 101:
        expectStatus(socket.response, 101)
    if not socket.accepted:
        raise Failed("Sec-WebSocket-Accept is not the answer to the key")
    if protocol is not None:
        expect(socket.response.one("sec-websocket-protocol"), protocol, "the subprotocol")


def parsed(response: Response) -> dict[str, Any]:
    """
    The body as a JSON object.

    @raise Failed: It is none.
    """
    try:
        value = json.loads(response.body)
    except ValueError:
        raise Failed(f"the body is no JSON: {excerpt(response)}") from None
    if not isinstance(value, dict):
        raise Failed(f"the body is no JSON object: {excerpt(response)}")
    return value


def excerpt(response: Response) -> str:
    """
    The beginning of a body, for people.
    """
    return repr(response.body[:120].decode("utf-8", "replace"))
