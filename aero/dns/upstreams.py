# -*- test-case-name: aero.dns.test.test_upstreams -*-
"""
The way to each upstream that the settings name.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import optionsForClientTLS

from aero.errors import ConfigurationError
from aero.metrics import Metrics
from aero.policy.upstreams import Upstream
from aero.settings.dns import DNSSettings

from .addresses import streamEndpoint
from .datagrams import OpenSocket, openSocket
from .exchange import Exchange
from .stream import StreamExchange
from .udp import UDPExchange

#: Makes the exchange of a DNS over HTTPS upstream, which needs an HTTP client.
HTTPSFactory = Callable[[Upstream], Exchange]
#: Makes the TLS options for a host, its certificate being checked.
TLSOptions = Callable[[str], IOpenSSLClientConnectionCreator]


def makeExchanges(
    settings: DNSSettings,
    *,
    reactor: Any,
    metrics: Metrics,
    randomness: Callable[[int], bytes],
    https: HTTPSFactory | None = None,
    tlsOptions: TLSOptions = optionsForClientTLS,
    open: OpenSocket = openSocket,
) -> list[Exchange]:
    """
    One exchange for each upstream, in their order.

    @raise ConfigurationError: One needs an HTTP client and there is none.
    """

    def stream(upstream: Upstream) -> StreamExchange:
        endpoint: Any = streamEndpoint(reactor, upstream.host, upstream.port)
        overTLS = upstream.kind == "tls"
        if overTLS:
            endpoint = wrapClientTLS(tlsOptions(upstream.host), endpoint)
        return StreamExchange(
            upstream.label,
            "dot" if overTLS else "tcp",
            endpoint,
            reactor=reactor,
            randomness=randomness,
            maxSize=settings.maxResponseBytes,
            metrics=metrics,
            padded=overTLS,
        )

    made: list[Exchange] = []
    for upstream in settings.upstreams:
        if upstream.kind == "tls":
            made.append(stream(upstream))
        elif upstream.kind == "udp":
            made.append(
                UDPExchange(
                    upstream,
                    reactor=reactor,
                    stream=stream(upstream),
                    randomness=randomness,
                    caseMixing=settings.caseMixing,
                    maxSize=settings.maxResponseBytes,
                    metrics=metrics,
                    open=open,
                )
            )
        elif https is not None:
            made.append(https(upstream))
        else:
            raise ConfigurationError("DNS_UPSTREAMS", str(upstream), "no HTTP client is at hand")
    return made
