"""
The servers that most tests use: a few sets of settings, each as the gateway alone and behind
the TLS edge, so that one process serves many tests.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from .http import request
from .server import Aero, shared

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase

    Case = SynchronousTestCase
else:
    Case = object

SECRET = "test-session-secret"
JWT_SECRET = "test-jwt-secret"
ORIGIN = "http://localhost"
RELAY = "wss://relay.example.com:8443"

#: Tests come from one address, and from there in floods.
_FLOODS = {"AERO_SESSIONS_PER_MINUTE_PER_IP": "0", "AERO_UPGRADES_PER_MINUTE_PER_IP": "0"}

#: The rig of gateway.md section 18, with a few tunnels for each session.
USUAL = _FLOODS | {
    "ALLOWED_ORIGINS": ORIGIN,
    "SESSION_SECRET": SECRET,
    "TCP_ALLOW_PRIVATE_IPS": "1",
    "TCP_PROXY_MAX_CONNECTIONS": "3",
}

#: Any origin, small limits, a base path, a relay that asks for nothing.
SMALL = _FLOODS | {
    "ALLOWED_ORIGINS": "*",
    "AERO_L2_MAX_CONTROL_PAYLOAD": "321",
    "AERO_L2_MAX_FRAME_PAYLOAD": "9000",
    "PUBLIC_BASE_URL": "https://localhost/base/",
    "TCP_ALLOW_PRIVATE_IPS": "1",
    "TCP_PROXY_MAX_CONNECTIONS_PER_IP": "3",
    "TCP_PROXY_MAX_MESSAGE_BYTES": "300000",
    "TCP_PROXY_MAX_TCP_BUFFER_BYTES": "200000",
    "UDP_RELAY_BASE_URL": f"{RELAY}/",
}

#: Two origins, a strict egress policy, a relay with a key.
STRICT = _FLOODS | {
    "ALLOWED_ORIGINS": "https://example.com,null",
    "TCP_ALLOWED_HOSTS": "127.0.0.1,10.1.2.3,*.example.com,*.invalid,8.8.8.8",
    "TCP_ALLOWED_PORTS": "80,443",
    "TCP_BLOCKED_HOSTS": "blocked.example.com,8.8.8.8",
    "UDP_RELAY_AUTH_MODE": "api_key",
    "UDP_RELAY_API_KEY": "the-relay-key",
    "UDP_RELAY_BASE_URL": "https://relay.example.com",
}

#: One request a minute for each client behind a proxy, isolation, and short timeouts.
PROXIED = _FLOODS | {
    "ALLOWED_ORIGINS": ORIGIN,
    "AERO_TRUSTED_PROXIES": "127.0.0.0/8,::1",
    "CROSS_ORIGIN_ISOLATION": "1",
    "PUBLIC_BASE_URL": "https://localhost/base",
    "RATE_LIMIT_REQUESTS_PER_MINUTE": "1",
    "TCP_ALLOW_PRIVATE_IPS": "1",
    "TCP_PROXY_CONNECT_TIMEOUT_MS": "300",
    "TCP_PROXY_IDLE_TIMEOUT_MS": "700",
    "TCP_REQUIRE_DNS_NAME": "0",
    "TRUST_PROXY": "1",
    "UDP_RELAY_AUDIENCE": "the-relay",
    "UDP_RELAY_AUTH_MODE": "jwt",
    "UDP_RELAY_BASE_URL": "https://relay.example.com",
    "UDP_RELAY_ISSUER": "the-gateway",
    "UDP_RELAY_JWT_SECRET": JWT_SECRET,
    "UDP_RELAY_TOKEN_TTL_SECONDS": "120",
}


class Rigged(Case):
    """
    Tests that hold for the gateway alone and for the edge. A mix-in: each of the two is a
    class of two lines.

    @cvar kind: C{"gateway"} or C{"edge"}.
    """

    kind: ClassVar[str]
    _clients: ClassVar[int] = 0

    def server(self, settings: dict[str, str] | None = None) -> Aero:
        """
        The shared server with these settings; the usual ones by default.
        """
        return shared(self.kind, **(USUAL if settings is None else settings))

    def newClient(self) -> tuple[str, str]:
        """
        A header that gives a client address which nothing came from yet, for L{PROXIED}.
        """
        Rigged._clients += 1
        return "X-Forwarded-For", f"198.51.{Rigged._clients >> 8}.{Rigged._clients & 255}"

    def assertAlive(self, server: Aero) -> None:
        """
        The process is still the same, answers, and has logged no failure of its own.
        """
        self.assertIsNone(server.process.poll())
        self.assertEqual(request(server, "GET", "/healthz").json(), {"ok": True})
        found = [line for line in server.log if re.search(r"Traceback|Unhandled", line)]
        self.assertEqual(found, [], "\n".join(server.log[-60:]))
