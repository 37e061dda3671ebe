# -*- test-case-name: aero.tls.test.test_source -*-
"""
The source of certificates from an authority, out of the settings.
"""

from __future__ import annotations

import random
import ssl
from typing import Any, Callable

from twisted.internet.threads import deferToThreadPool

from aero.errors import ConfigurationError
from aero.metrics import Metrics
from aero.net.daemonthreads import DaemonThreadPool
from aero.settings import isInternalName
from aero.settings.acme import DIRECTORIES, ACMESettings
from aero.settings.server import ServerSettings

from ..state import StateDirectory
from .account import Account
from .authority import HTTP_01, CertificateAuthority
from .keeper import Keeper
from .order import Runner
from .source import ACMESource


def acmeSource(
    server: ServerSettings,
    settings: ACMESettings,
    state: StateDirectory,
    *,
    reactor: Any,
    now: Callable[[], float],
    metrics: Metrics,
) -> ACMESource:
    """
    Make the source.

    @param reactor: Provides C{IReactorTime} and C{IReactorFromThreads}.
    @raise ConfigurationError: No authority certifies these names, no challenge can be answered, or
        the file of the authority's roots cannot be used.
    @raise StartError: What the state directory holds cannot be used.
    """
    for name in (server.domain, *settings.names):
        if isInternalName(name) and settings.directory in DIRECTORIES.values():
            raise ConfigurationError(
                "AERO_TLS_MODE",
                "acme",
                f"no public CA certifies {name}; choose --tls internal, or name the directory of a"
                " CA of your own with --acme-directory",
            )
    kinds = tuple(
        kind
        for kind in settings.kinds
        # The answer over HTTP is given by the listener that redirects.
        if kind != HTTP_01 or ("edge" in server.services and server.httpPort)
    )
    if not kinds:
        raise ConfigurationError(
            "AERO_ACME_CHALLENGES",
            ",".join(settings.kinds),
            "http-01 needs --http-port; give one, or allow tls-alpn-01",
        )
    if settings.roots:
        try:
            ssl.create_default_context(cafile=settings.roots)
        except (OSError, ssl.SSLError):
            raise ConfigurationError(
                "AERO_ACME_CA_FILE", settings.roots, "expected a PEM file with certificates"
            ) from None
    if settings.externalID and not settings.externalKey:
        raise ConfigurationError(
            "AERO_ACME_EAB_HMAC_KEY", None, "AERO_ACME_EAB_HMAC_KEY is required as well"
        )

    def makeAuthority(account: Account) -> CertificateAuthority:
        # The library takes its time to be imported, and most sites have no use for it.
        from .client import ACMEClient

        return ACMEClient(
            settings.directory, account, roots=settings.roots, profile=settings.profile, now=now
        )

    keeper = Keeper(state, settings)
    return ACMESource(
        settings,
        server.domain,
        keeper,
        keeper.turn(),
        kinds=kinds,
        makeAuthority=makeAuthority,
        run=inOneThread(reactor),
        clock=reactor,
        now=now,
        randomness=random.SystemRandom().random,
        metrics=metrics,
    )


def inOneThread(reactor: Any) -> Runner:
    """
    What runs blocking functions one after the other, in a thread that does nothing else.
    """
    pool = DaemonThreadPool(0, 1, "acme")
    pool.start()
    return lambda function, *arguments: deferToThreadPool(reactor, pool, function, *arguments)
