"""
The page's own checks of UDP and WebRTC, in a browser that has to come over a network.
"""

from __future__ import annotations

import functools

from twisted.trial.unittest import SynchronousTestCase

from .support.browser import PATIENCE, inBrowserThread
from .support.rtcstreet import HERE, street
from .support.server import Aero
from .support.tools import freePort


@functools.cache
def edge(**variables: str) -> Aero:
    """
    Everything on one origin, C{https://localhost}, which on the other side of the street is here.
    """
    street()
    return Aero(
        *("--https-port", str(freePort("0.0.0.0")), "--http-port", "0", "--bind", "0.0.0.0"),
        state=None,
        runDir=None,
        **({"WEBRTC_UDP_LISTEN_IP": HERE} | variables),
    )


class PageTests(SynchronousTestCase):
    """
    The rows of C{static/smoke/relay.js}.
    """

    def rows(self, server: Aero) -> dict[str, str]:
        """
        What the rows say once the checks are done.
        """
        context = street().chromium.new_context(ignore_https_errors=True)
        try:
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            page.goto(f"https://localhost:{server.port}/")
            page.wait_for_selector("#all:not([data-state=running])")
            names = ("ice", "signal", "udp", "datachannel")
            return {name: page.inner_text(f"#{name}") for name in names}
        finally:
            context.close()

    @inBrowserThread
    def test_withoutConfiguration(self) -> None:
        """
        Without any setting the list of servers, signalling, datagrams and a data channel work.
        """
        self.assertEqual(set(self.rows(edge()).values()), {"ok"})

    @inBrowserThread
    def test_withTokens(self) -> None:
        """
        So they do with tokens, which the session has for the page.
        """
        self.assertEqual(set(self.rows(edge(UDP_RELAY_AUTH_MODE="jwt")).values()), {"ok"})
