# -*- test-case-name: aero.smoke.test.test_probe -*-
"""
The health check of a container: C{python -m aero.smoke.probe [URL]}.

Without a URL it asks the server that the same environment configures, over loopback, whatever
certificate that has.
"""

from __future__ import annotations

import os
import sys
from typing import Mapping, Sequence

from aero.errors import ConfigurationError
from aero.settings import Settings, load

from .client import Site


def ownSite(settings: Settings) -> Site:
    """
    The server that these settings make, by the way that is always open to it.
    """
    server = settings.server
    # Behind a proxy or without the edge there is one listener.
    secure = server.tlsMode != "off"
    port = server.httpsPort if secure and "edge" in server.services else server.port
    scheme = "https" if secure else "http"
    host = f"[{server.domain}]" if ":" in server.domain else server.domain
    wide = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound
    address = server.bind[0]
    return Site(f"{scheme}://{host}:{port}", verify=False, address=wide.get(address, address))


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """
    Ask C{/healthz} once.

    @return: The exit status: 0 where it is well, 1 where it is not, 2 where nobody knows whom to
        ask.
    """
    try:
        site = Site(arguments[0]) if arguments else ownSite(load({}, environ))
    except (ValueError, ConfigurationError) as error:
        print(f"aero.smoke.probe: {error}", file=sys.stderr)
        return 2
    try:
        response = site.request("GET", "/healthz")
    except OSError as error:
        print(f"aero.smoke.probe: {site.url}: {error}", file=sys.stderr)
        return 1
    if response.status != 200:
        print(f"aero.smoke.probe: {site.url}: status {response.status}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
