# -*- test-case-name: aero.ws.test.test_l2gate -*-
"""
Who gets an Ethernet tunnel: the ordered checks of l2.md section 5, rows 1 to 11.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.logger import Logger

from aero.auth.cookies import sessionCookie
from aero.auth.l2modes import (
    MISSING,
    WRONG_ORIGIN,
    Credentials,
    Denied,
    L2Authenticator,
    offeredProtocols,
    staticToken,
)
from aero.auth.sessions import Session
from aero.errors import Refused
from aero.log import blurred
from aero.metrics import CounterRow, Metrics
from aero.metrics import l2 as rows
from aero.policy.clientaddress import Client, ClientAddresses
from aero.policy.forwarded import forwardedFirst, forwardedFor
from aero.policy.l2upgrade import HostAllowlist, checkHandshake, checkOrigin, hostScheme
from aero.policy.origin import Origins
from aero.settings.l2 import L2Settings
from aero.wire.fieldlist import firstElement
from aero.wire.l2tunnel import SUBPROTOCOL

from .handshake import Accepted, UpgradeGate, parseTarget

_log = Logger(namespace="aero.l2")

#: The most characters of a header that are logged.
_MAX_SHOWN = 200

#: What counts a refusal, by its reason.
_ROWS: dict[str, CounterRow] = {
    "origin_missing": rows.REJECT_ORIGIN_MISSING,
    "origin_invalid": rows.REJECT_ORIGIN_NOT_ALLOWED,
    "origin_not_allowed": rows.REJECT_ORIGIN_NOT_ALLOWED,
    "host_missing": rows.REJECT_HOST_MISSING,
    "host_invalid": rows.REJECT_HOST_INVALID,
    "host_not_allowed": rows.REJECT_HOST_NOT_ALLOWED,
}


class L2Gate:
    """
    The checks, in the place of L{UpgradeGate}, whose order and words are others.

    @ivar draining: Set when the process stops.
    """

    def __init__(
        self,
        settings: L2Settings,
        *,
        shared: UpgradeGate,
        authenticator: L2Authenticator,
        origins: Origins,
        clients: ClientAddresses,
        metrics: Metrics,
        wallClock: Callable[[], float],
        stopping: Callable[[], bool] = lambda: False,
        fullAddresses: bool = False,
    ) -> None:
        """
        @param shared: Has the rate of upgrades and the addresses that get no tunnel.
        @param origins: The origins that may open tunnels; an empty list stands for the host's.
        @param clients: Tells clients from proxies.
        @param wallClock: Seconds since 1970.
        @param stopping: Whether the process said that it stops.
        @param fullAddresses: Whether client addresses are logged whole.
        """
        self.draining = False
        self._shared = shared
        self._authenticator = authenticator
        self._isOpen = settings.open
        self._origins = origins
        self._hosts = HostAllowlist(settings.allowedHosts)
        self._trustsHost = settings.trustProxyHost
        self._clients = clients
        self._metrics = metrics
        self._wallClock = wallClock
        self._stopping = stopping
        self._fullAddresses = fullAddresses
        for reason in rows.AUTH_REASONS:
            metrics.counter(rows.AUTH_REJECT, reason)

    def admit(self, request: Any, *, needsSession: bool = False) -> Accepted:
        """
        Run the checks.

        @param request: The L{aero.http.request.AeroRequest}.
        @param needsSession: Without effect; the mode decides.
        @raise Refused: One of them failed; its message is the body.
        """
        path, query = parseTarget(request.uri)

        def lines(name: bytes) -> list[bytes]:
            found: list[bytes] = request.requestHeaders.getRawHeaders(name, [])
            return found

        key = checkHandshake(request.method, request.clientproto, lines)
        self._checkDraining()
        offered = tuple(lines(b"Sec-WebSocket-Protocol"))
        if SUBPROTOCOL not in offeredProtocols(offered):
            body = f'missing required websocket subprotocol "{SUBPROTOCOL}"'
            raise Refused(400, "bad_request", body, reason="subprotocol")
        client = self._client(request, lines)
        self._shared.limitRate(client.ip)
        session = self._authenticate(
            Credentials(
                cookies=lines(b"Cookie"),
                query=query,
                protocols=offered,
                authorization=lines(b"Authorization"),
                origins=lines(b"Origin"),
            ),
            client,
        )
        origin = self._checkPlace(request, lines, client)
        self._shared.checkAddress(client.ip)
        return Accepted(
            key=key,
            path=path,
            query=query,
            session=session,
            client=client,
            origin=origin,
            offered=offered,
            subprotocol=SUBPROTOCOL,
        )

    def checkAgain(self, accepted: Accepted) -> None:
        """
        @raise Refused: The process is stopping.
        """
        self._checkDraining()

    def _checkDraining(self) -> None:
        if self.draining or self._stopping():
            raise Refused(503, "unavailable", "shutting down", reason="draining")

    def refusedLater(self, refused: Refused, client: Client) -> None:
        """
        Log a refusal of the limits on tunnels, which come after these checks.
        """
        if refused.reason == "ip":
            _log.warn(
                "rejecting l2 upgrade: per-IP connection limit exceeded ({client_ip})",
                client_ip=self._shown(client),
            )
            return
        reason = {"process": "max_connections", "session": "max_connections_per_session"}
        self._logRefusal(f"{reason.get(refused.reason, refused.reason)}_exceeded", client)

    def _authenticate(self, given: Credentials, client: Client) -> Session | None:
        """
        Row 9.
        """
        result = self._authenticator.authenticate(given, self._wallClock())
        if not isinstance(result, Denied):
            return result
        missing = result.reason == MISSING
        row = rows.REJECT_AUTH_MISSING if missing else rows.REJECT_AUTH_INVALID
        for each in (rows.UPGRADE_REJECTED, rows.AUTH_FAILURES, row):
            self._metrics.counter(each).inc()
        self._metrics.counter(rows.AUTH_REJECT, result.reason).inc()
        reason = "auth_missing" if missing else "auth_invalid"
        if result.reason == WRONG_ORIGIN:
            reason = WRONG_ORIGIN
        self._logRefusal(
            reason,
            client,
            f"{result.reason} {result.why}".strip(),
            auth_reject_reason=result.reason,
            token_present=bool(staticToken(given) or given.authorization),
            cookie_present=sessionCookie(given.cookies) is not None,
        )
        raise Refused(401, "unauthorized", result.body, reason=reason)

    def _checkPlace(
        self, request: Any, lines: Callable[[bytes], list[bytes]], client: Client
    ) -> str | None:
        """
        Rows 10 and 11: the origin, and the host.
        """
        origins, hosts = lines(b"Origin"), lines(b"Host")[:1]
        believed = self._trustsHost and self._clients.mayForward(_peerOf(request))
        named, proto = _forwardedHost(lines) if believed else (None, None)
        origin: str | None = None
        try:
            if not self._isOpen:
                # A proxy that rewrites Host says which one the page was loaded from.
                same = hosts if named is None else [*hosts, named]
                origin = checkOrigin(self._origins, origins, same)
            if self._hosts:
                host = named if named is not None else (hosts[0] if hosts else None)
                self._hosts.check(host, hostScheme(proto, origins, client.secure))
        except Refused as refused:
            self._metrics.counter(rows.UPGRADE_REJECTED).inc()
            self._metrics.counter(_ROWS[refused.reason]).inc()
            self._logRefusal(
                refused.reason,
                client,
                origin=_shownOrigin(origins),
                host=_shown(hosts[0]) if hosts else "<missing>",
            )
            raise
        return origin

    def _client(self, request: Any, lines: Callable[[bytes], list[bytes]]) -> Client:
        """
        The client (section 5.1), from C{Forwarded} where that has any address.
        """
        entries = forwardedFor(lines(b"Forwarded"))
        client: Client = request.client
        if not entries:
            return client
        found = self._clients.client(_peerOf(request), client.secure, entries, ())
        return Client(found.ip, client.secure)

    def _logRefusal(
        self, reason: str, client: Client, detail: str = "", **fields: str | bool
    ) -> None:
        _log.warn(
            "rejected l2 websocket upgrade ({reason}{detail})",
            reason=reason,
            detail=f": {detail}" if detail else "",
            auth_mode=self._authenticator.mode,
            client_ip=self._shown(client),
            **fields,
        )

    def _shown(self, client: Client) -> str:
        return client.ip if self._fullAddresses else blurred(client.ip)


def _shownOrigin(lines: list[bytes]) -> str:
    """
    An origin as logs have it.
    """
    if len(lines) > 1:
        return "<multiple>"
    return _shown(lines[0]) if lines else "<missing>"


def _shown(value: bytes) -> str:
    """
    A header of a stranger, as one short word without control characters.
    """
    text = value[:_MAX_SHOWN].decode("latin-1")
    return "".join(char if char.isprintable() else "?" for char in text)


def _peerOf(request: Any) -> str:
    """
    The address of whoever connected.
    """
    return getattr(request.getClientAddress(), "host", "") or ""


def _forwardedHost(lines: Callable[[bytes], list[bytes]]) -> tuple[bytes | None, bytes | None]:
    """
    What a proxy that is believed says about the host and the scheme (section 8).
    """
    forwarded = lines(b"Forwarded")
    host = forwardedFirst(forwarded, b"host")
    proto = forwardedFirst(forwarded, b"proto")
    if host is None:
        host = _firstItem(lines(b"X-Forwarded-Host"))
    if proto is None:
        proto = _firstItem(lines(b"X-Forwarded-Proto"))
    return host, proto


def _firstItem(values: list[bytes]) -> bytes | None:
    return firstElement(values[:1])
