# -*- test-case-name: aero.services.test.test_l2 -*-
"""
The Ethernet tunnel: C{/l2}, and with C{--services l2} the whole L2 proxy of the reference.
"""

from __future__ import annotations

from typing import Any, Iterable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.resource import IResource

import aero
from aero.auth.l2modes import L2Authenticator
from aero.auth.sessions import Sessions
from aero.errors import ConfigurationError
from aero.policy.origin import Origins, comparedOrigin
from aero.web import bare
from aero.ws.endpoint import WebSocketEndpoint
from aero.ws.l2 import L2Endpoint, L2Protocol
from aero.ws.l2gate import L2Gate

from .parts import Parts
from .role import Role
from .service import Service
from .warnings import l2Warnings

#: The modes that look at cookies, and those that need a key of their own.
_BY_SESSION = ("session", "cookie_or_jwt", "session_or_token", "session_and_token")
_BY_KEY = ("token", "session_and_token")
_BY_JWT = ("jwt", "cookie_or_jwt")

_SECRET = "AERO_GATEWAY_SESSION_SECRET, SESSION_SECRET or AERO_L2_SESSION_SECRET"  # noqa: S105
_PATHS = ("/l2", "/l2/", "/eth", "/eth/")


class L2Service(Service):
    """
    The service C{l2} (l2.md).
    """

    name = "l2"

    _log = Logger(namespace="aero.l2")

    def __init__(self, parts: Parts, *, protocol: type[L2Protocol] = L2Protocol) -> None:
        super().__init__(parts)
        self._protocol = protocol
        self._mode = authMode(parts)

    def endpoints(self) -> Sequence[WebSocketEndpoint]:
        """
        C{/l2} and its other names.
        """
        parts = self.parts
        settings = parts.settings
        server, tcp = settings.server, settings.tcp
        gate = L2Gate(
            settings.l2,
            shared=parts.upgradeGate,
            authenticator=self.authenticator(),
            origins=Origins(allowedOrigins(parts)),
            clients=parts.clientAddresses,
            metrics=parts.metrics,
            wallClock=parts.now,
            stopping=lambda: parts.readiness.draining,
            fullAddresses=server.logFullAddresses,
        )
        return (
            L2Endpoint(
                gate=gate,
                clock=parts.reactor,
                metrics=parts.metrics,
                tunnels=parts.tunnels,
                permits=parts.tunnelPermits,
                pingInterval=tcp.pingInterval,
                pingTimeout=tcp.pingTimeout,
                protocol=self._protocol,
                commons=parts.commons,
            ),
        )

    def role(self) -> Role:
        """
        The reference's L2 proxy.
        """
        parts = self.parts
        settings = parts.settings
        l2 = settings.l2
        host, port = l2.listen
        pages: dict[str, IResource] = {
            "/healthz": bare.healthy(),
            "/readyz": bare.ready(parts.readiness),
            "/version": bare.version(
                l2.proxyVersion or aero.__version__, l2.proxyGitSha, l2.proxyBuiltAt
            ),
            "/metrics": bare.BareEndpoint(parts.metricsPage().render_GET),
        }
        pages |= {path: bare.L2HandshakeEndpoint() for path in _PATHS}
        return Role(
            addresses=(host,) if host else ("0.0.0.0", "::"),  # noqa: S104 (what was asked for)
            port=port,
            option="l2-listen",
            grace=l2.shutdownGrace,
            resources=pages,
            gates=(),
            isBare=True,
            anyHost=True,
            listening=self._listening,
        )

    def notices(self) -> Iterable[str]:
        """
        What lets strangers in, and what is kept of everybody.
        """
        parts = self.parts
        isLocal = parts.isEdge and parts.isInternal
        return l2Warnings(parts.settings, mode=self._mode, isLocal=isLocal)

    def drain(self) -> Deferred[Any]:
        """
        Close every tunnel, whatever carries it, and write the captures.
        """
        return self.parts.tunnels.drain()

    def abort(self) -> None:
        """
        End what is left.
        """
        for tunnel in list(self.parts.tunnels.open):
            tunnel.connectionLost("shutdown")

    def stop(self) -> None:
        """
        Close the sockets of the DNS engine.
        """
        self.parts.dnsEngine.stop()

    def authenticator(self) -> L2Authenticator:
        """
        Decides who may have a tunnel, whatever carries it.
        """
        l2 = self.parts.settings.l2
        sessions: Sessions | None = None
        if self._mode in _BY_SESSION:
            sessions = self.parts.sessions
        return L2Authenticator(
            self._mode,
            normalizeOrigin=comparedOrigin,
            sessions=sessions,
            apiKey=l2.apiKey,
            jwtSecret=l2.jwtSecret,
            audience=l2.jwtAudience,
            issuer=l2.jwtIssuer,
            isOpen=l2.open,
        )

    def _listening(self, host: str, port: int) -> Iterable[str]:
        shown = f"[{host}]" if ":" in host else host
        self._log.info("aero-l2-proxy listening on http://{host}:{port}", host=shown, port=port)
        if self.parts.settings.l2.readyLine:
            yield f"AERO_L2_PROXY_READY ws://{shown}:{port}/l2"


def authMode(parts: Parts) -> str:
    """
    Who may open tunnels (l2.md section 6.2).

    @raise ConfigurationError: Nothing is said where something must be, or a key is missing.
    """
    l2, session = parts.settings.l2, parts.settings.session
    services = parts.settings.server.services
    # Beside the gateway the key of sessions is made when none is given.
    hasSessions = bool(session.secret) or "gateway" in services or parts.isEdge
    mode = l2.authMode or _defaultMode(parts)
    if not mode:
        raise ConfigurationError(
            "AERO_L2_AUTH_MODE",
            None,
            "no L2 authentication is configured: set it, or a session secret"
            f" ({_SECRET}), or AERO_L2_API_KEY; AERO_L2_OPEN=1 together with"
            " AERO_L2_INSECURE_ALLOW_NO_AUTH=1 starts without any",
        )
    if mode in _BY_SESSION and not hasSessions:
        raise ConfigurationError("AERO_L2_AUTH_MODE", mode, f"needs a session secret: {_SECRET}")
    if mode in _BY_KEY and not l2.apiKey:
        raise ConfigurationError("AERO_L2_AUTH_MODE", mode, "needs AERO_L2_API_KEY")
    if mode in _BY_JWT and not l2.jwtSecret:
        raise ConfigurationError("AERO_L2_AUTH_MODE", mode, "needs AERO_L2_JWT_SECRET")
    return mode


def _defaultMode(parts: Parts) -> str:
    """
    The mode where none is named: what the given keys are for, else what is safe here.
    """
    l2 = parts.settings.l2
    if parts.settings.session.secret:
        return "session_or_token"
    if l2.apiKey:
        return "session_or_token" if parts.isEdge else "token"
    if l2.open and l2.allowNoAuth:
        return "none"
    if parts.isEdge:
        return "none" if parts.isInternal else "session"
    return "session" if "gateway" in parts.settings.server.services else ""


def allowedOrigins(parts: Parts) -> tuple[str, ...]:
    """
    The origins that may open tunnels; none stands for that of the request's own host.
    """
    l2 = parts.settings.l2
    base: Sequence[str] = l2.allowedOrigins or parts.settings.session.allowedOrigins
    if not base and parts.isEdge:
        base = parts.allowedOrigins()
    return (*base, *l2.extraOrigins)
