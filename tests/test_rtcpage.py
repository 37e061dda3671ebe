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
        Without any setting the list of servers and signalling work, and so do datagrams and a data
        channel, of which the page says that no destination is permitted yet.
        """
        rows = self.rows(edge())
        denied = "all denied"
        self.assertEqual(rows, {"ice": "ok", "signal": "ok", "udp": denied, "datachannel": denied})

    @inBrowserThread
    def test_withTokens(self) -> None:
        """
        With tokens, which the session has for the page, and a permitted network all rows are good.
        """
        server = edge(UDP_RELAY_AUTH_MODE="jwt", ALLOW_UDP_CIDRS="0.0.0.0/0,::/0")
        self.assertEqual(set(self.rows(server).values()), {"ok"})
