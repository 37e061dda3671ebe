# -*- test-case-name: aero.tls.test.test_source -*-
"""
Which source of certificates the settings ask for.
"""

from __future__ import annotations

from typing import Any, Callable

from aero.metrics import Metrics
from aero.settings import isInternalName
from aero.settings.acme import ACMESettings
from aero.settings.server import ServerSettings
from aero.settings.tls import TLSSettings

from .acme.build import acmeSource
from .ca import InternalSource
from .certificates import CertificateSource
from .files import FileSource
from .state import StateDirectory


def certificateSource(
    server: ServerSettings,
    tls: TLSSettings,
    acme: ACMESettings,
    *,
    openState: Callable[[], StateDirectory],
    reactor: Any,
    now: Callable[[], float],
    metrics: Metrics,
) -> CertificateSource | None:
    """
    Make the source of certificates.

    The mode C{auto} uses files where one of them is named, otherwise the internal CA for internal
    names and a public one for the others.

    @param openState: Gives the open state directory; called only where it is needed.
    @param reactor: Provides C{IReactorTime} and C{IReactorFromThreads}.
    @param now: The wall clock, in seconds since 1970.
    @return: C{None} where the process speaks plain HTTP.
    @raise ConfigurationError: The files or the public CA cannot be used.
    @raise StartError: What the state directory holds cannot be used.
    """
    mode = server.tlsMode
    named = bool(tls.certPath or tls.keyPath)
    if mode == "files" or (mode == "auto" and named):
        return FileSource(tls, server.domain, clock=reactor, metrics=metrics)
    if mode == "off":
        return None
    if mode == "acme" or (mode == "auto" and not isInternalName(server.domain)):
        return acmeSource(server, acme, openState(), reactor=reactor, now=now, metrics=metrics)
    return InternalSource(openState(), server.domain, clock=reactor, now=now, metrics=metrics)
