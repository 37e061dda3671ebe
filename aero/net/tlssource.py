# -*- test-case-name: aero.net.test.test_tlssource -*-
"""
Which source of certificates the settings ask for.
"""

from __future__ import annotations

from typing import Callable

from twisted.internet.interfaces import IReactorTime

from aero.errors import ConfigurationError
from aero.metrics import Metrics
from aero.settings import isInternalName
from aero.settings.server import ServerSettings
from aero.settings.tls import TLSSettings

from .ca import InternalSource
from .certificates import CertificateSource
from .state import StateDirectory
from .tlsfiles import FileSource


def certificateSource(
    server: ServerSettings,
    tls: TLSSettings,
    *,
    openState: Callable[[], StateDirectory],
    clock: IReactorTime,
    now: Callable[[], float],
    metrics: Metrics,
) -> CertificateSource | None:
    """
    Make the source of certificates.

    The mode C{auto} uses files where one of them is named, otherwise the internal CA, which is
    for internal names.

    @param openState: Gives the open state directory; called only where it is needed.
    @param now: The wall clock, in seconds since 1970.
    @return: C{None} where the process speaks plain HTTP.
    @raise ConfigurationError: A public name has no certificate, or the files cannot be used.
    @raise StartError: The internal CA cannot be used.
    """
    mode = server.tlsMode
    named = bool(tls.certPath or tls.keyPath)
    if mode == "files" or (mode == "auto" and named):
        return FileSource(tls, server.domain, clock=clock, metrics=metrics)
    if mode == "off":
        return None
    if mode == "auto" and not isInternalName(server.domain):
        raise ConfigurationError(
            "AERO_TLS_MODE",
            mode,
            f"there is no certificate for {server.domain}: give --tls-cert and --tls-key, or choose"
            " --tls internal (a private CA) or --tls off (behind a proxy)",
        )
    return InternalSource(openState(), server.domain, clock=clock, now=now, metrics=metrics)
