# -*- test-case-name: aero.http.test.test_site -*-
"""
The narrow view that requests and connections have of the parts that own them.

L{AeroSite<aero.http.site.AeroSite>} makes connections, and those make requests; each uses some of
its owner's names. These protocols list them, so that an inner module never imports its owner.

C{R} is the type of the requests: L{AeroRequest<aero.http.request.AeroRequest>}. It is a parameter
because the module of the request imports this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.python.failure import Failure

from aero.metrics import Metrics
from aero.policy.clientaddress import Client
from aero.policy.headers import ResponseHeaders
from aero.settings.http import HTTPSettings

from .buffers import Buffers
from .h2frames import Allowances
from .turns import Turns

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


class Respondent(Protocol):
    """
    What answers requests that passed the door: a L{Router<aero.http.router.Router>}.

    It may also have C{bodyLimit(request) -> int}, the most bytes of body it wants for a
    request whose headers are known; the site's own limit holds besides. And
    C{allow(request) -> bytes}, the methods of the path of a request.
    C{keepsBody(request) -> bool}, whether anything reads the body.
    """

    def respond(self, request: Any) -> Any:
        """
        Answer, now or later. A C{Deferred} that fails is answered with 500.
        """


class UpgradeRefusals(Protocol[R_contra]):
    """
    The log of refused upgrades.
    """

    def refused(self, request: R_contra, status: int, reason: str, message: str) -> None:
        """
        An upgrade was refused.
        """


class RequestSite(Protocol[R_contra]):
    """
    A site as its requests use it.

    @ivar router: Answers requests.
    @ivar hosts: The names served, lower case; C{None} serves any.
    @ivar responseHeaders: The set that every response has.
    @ivar ownNames: The names of that set, and of headers that are never sent, as Twisted spells
        them.
    """

    router: Respondent
    settings: HTTPSettings
    clock: IReactorTime
    hosts: frozenset[str] | None
    responseHeaders: ResponseHeaders
    ownNames: frozenset[bytes]

    @property
    def upgradeLog(self) -> UpgradeRefusals[R_contra]:
        """
        The log of refused upgrades.
        """

    def newRequestId(self) -> str:
        """
        A random request id.
        """

    def clientOf(
        self,
        peer: str,
        secure: bool,
        forwardedFor: Sequence[bytes],
        forwardedProto: Sequence[bytes],
    ) -> Client:
        """
        The effective client of a request.
        """

    def date(self) -> bytes:
        """
        The value of C{Date}.
        """

    def allow(self, request: R_contra) -> bytes:
        """
        The C{Allow} of the path of a request.
        """

    def refused(self, reason: str) -> None:
        """
        A request was refused at the door.
        """

    def requestFailed(self, request: R_contra, reason: Failure) -> None:
        """
        A request ended in an error that nobody expected.
        """


class Site(RequestSite[R], Protocol[R]):
    """
    A site as the implementations of HTTP/1.1 and HTTP/2 use it.

    @ivar headerBlock: The set that every response has, as HTTP/1.1 lines.
    @ivar headerFields: The same set, as HTTP/2 fields.
    @ivar controlFrames: How many HTTP/2 control frames each client may send.
    @ivar resets: How many HTTP/2 streams each client may have reset.
    @ivar anyHost: Whether requests with a malformed C{Host}, or none, are taken.
    @ivar draining: Whether the process is about to stop.
    """

    metrics: Metrics
    buffers: Buffers
    turns: Turns
    headerBlock: bytes
    headerFields: list[tuple[bytes, bytes]]
    controlFrames: Allowances
    resets: Allowances
    anyHost: bool
    draining: bool

    @property
    def requestFactory(self) -> Callable[[Any], R]:
        """
        Makes the request that a channel carries.
        """

    def bodyLimit(self, request: R) -> int:
        """
        The most bytes of body that this request may have.
        """

    def keepsBody(self, request: R) -> bool:
        """
        Whether anything reads the body of this request.
        """

    def clientKey(self, transport: ITransport) -> str:
        """
        The address at the other end of a connection, as one client is counted.
        """

    def bufferKey(self, transport: ITransport) -> str | None:
        """
        The client whose bytes wait on a connection; C{None} for one that has many clients.
        """

    def timedOut(self, kind: str) -> None:
        """
        A connection or stream took too long.
        """

    def upgraded(self, request: R) -> None:
        """
        A connection was taken over by another protocol.
        """


class Occupied(Protocol):
    """
    A client connection as the HTTP/1.1 implementation on it uses it.
    """

    def occupy(self, occupant: Any) -> None:
        """
        Give what arrives from now on to another protocol.
        """
