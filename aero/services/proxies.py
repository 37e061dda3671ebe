# -*- test-case-name: aero.test.test_app -*-
"""
Listeners behind proxies that say for whom they connect.
"""

from __future__ import annotations

from twisted.internet.interfaces import IProtocolFactory

from aero.errors import ConfigurationError
from aero.net.proxied import ProxiedFactory

from .parts import Parts


def behindProxies(parts: Parts, factory: IProtocolFactory) -> IProtocolFactory:
    """
    The factory of a listener, with the headers of proxies read before it where that is wanted.

    @raise ConfigurationError: It is wanted, and no proxy is trusted.
    """
    server, http = parts.settings.server, parts.settings.http
    if server.proxyProtocol == "off":
        return factory
    if not server.trustedProxies:
        raise ConfigurationError(
            "AERO_PROXY_PROTOCOL",
            server.proxyProtocol,
            "name the networks of the proxies in AERO_TRUSTED_PROXIES",
        )
    return ProxiedFactory(
        factory,
        believes=parts.clientAddresses.believes,
        required=server.proxyProtocol == "require",
        timeout=http.headerTimeout,
        maxWaiting=http.maxConnections,
        metrics=parts.metrics,
        clock=parts.reactor,
    )
