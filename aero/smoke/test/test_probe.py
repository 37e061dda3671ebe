"""
Tests for the health check of a container.
"""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from aero.settings import load
from aero.smoke.probe import main, ownSite


class ProbeTests(SynchronousTestCase):
    """
    L{ownSite} and L{main}.
    """

    def test_edge(self) -> None:
        """
        The edge is asked over TLS by its own name.
        """
        site = ownSite(load({}, {"AERO_DOMAIN": "example.com"}))
        self.assertEqual(site.url, "https://example.com:443")

    def test_roleAlone(self) -> None:
        """
        A service alone, or one behind an ingress, is asked over plain HTTP.
        """
        for environ in (
            {"AERO_SERVICES": "gateway", "PORT": "9000"},
            {"AERO_TLS_MODE": "off", "PORT": "9000"},
        ):
            self.assertEqual(ownSite(load({}, environ)).url, "http://localhost:9000")

    def test_badSettings(self) -> None:
        """
        Settings that no server starts with are not its health.
        """
        self.assertEqual(main([], {"PORT": "none"}), 2)
        self.assertEqual(main(["nowhere"], {}), 2)

    def test_nobody(self) -> None:
        """
        A server that is not there is not well.
        """
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = str(taken.getsockname()[1])
            environ = {"AERO_TLS_MODE": "off", "PORT": port, "HOST": "127.0.0.1"}
            self.assertEqual(main([], environ), 1)
