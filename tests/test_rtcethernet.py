"""
Ethernet over a data channel: Chromium as a guest of the LAN that C{/l2} leads to.
"""

from __future__ import annotations

import functools
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.browser import inBrowserThread
from .support.guestrig import MIB, REMOTE, blockDigest, services
from .support.metrics import settled
from .support.rtcstreet import HERE, RelayPage, street
from .support.server import Aero
from .support.tools import freePort

KEY = "a key of the tests"


@functools.cache
def server(**variables: str) -> Aero:
    """
    The gateway, the LAN and the relay in one process, without TLS.
    """
    street()
    environment: dict[str, Any] = {
        **services().variables(),
        "WEBRTC_UDP_LISTEN_IP": HERE,
        "UDP_RELAY_AUTH_MODE": "none",
        "ALLOWED_ORIGINS": "*",
        **variables,
    }
    return Aero(
        *("--services", "gateway,l2,relay", "--tls", "off"),
        *("--bind", "0.0.0.0", "--port", str(freePort("0.0.0.0"))),
        **environment,
    )


class EthernetTests(SynchronousTestCase):
    """
    The data channel C{l2} with C{L2_BACKEND_WS_URL=internal}, which is the default.
    """

    @inBrowserThread
    def test_guest(self) -> None:
        """
        DHCP, ARP, DNS, 16 MiB down and the same 16 MiB up again, unchanged; nothing is left
        afterwards.
        """
        with RelayPage(server()) as page:
            page.connect(labels=["l2"])
            found = page.call("transfer", host=REMOTE, name="a.test", size=16 * MIB)
        self.assertEqual(found["pong"], [9])
        self.assertEqual(found["lease"]["address"], [10, 0, 2, 15])
        self.assertEqual(found["lease"]["resolver"], [10, 0, 2, 2])
        self.assertEqual(found["address"], "192.0.2.10")
        self.assertEqual(found["size"], 16 * MIB)
        self.assertEqual(found["digest"], blockDigest(16 * MIB))
        # The tab is gone; that the server knows takes as long as the news of it.
        self.assertEqual(settled(server(), "l2_sessions_active", 0), 0)

    @inBrowserThread
    def test_besideDatagrams(self) -> None:
        """
        Both channels of one connection work, and a closed one may be opened again: a LAN anew.
        """
        with RelayPage(server()) as page:
            page.connect(labels=["udp", "l2"])
            first = page.call("transfer", host=REMOTE, size=MIB)
            page.call("closeChannel", label="l2")
            page.call("closed", label="l2")
            page.call("add", key="again", label="l2", options={"ordered": True})
            second = page.call("transfer", label="again", host=REMOTE, size=MIB)
        self.assertEqual({first["digest"], second["digest"]}, {blockDigest(MIB)})

    @inBrowserThread
    def test_refused(self) -> None:
        """
        A channel that may lose or reorder gets no Ethernet, nor does a second one.
        """
        with RelayPage(server()) as page:
            page.connect(labels=["l2"])
            for key, options in (
                ("a", {"ordered": True, "maxRetransmits": 0}),
                ("b", {"ordered": True, "maxPacketLifeTime": 5}),
                ("c", {"ordered": False}),
                ("d", {"ordered": True}),
            ):
                page.call("add", key=key, label="l2", options=options, open=False)
                page.call("closed", label=key)
            self.assertEqual(page.call("inspect")["channels"]["l2"], "open")

    @inBrowserThread
    def test_sameDecision(self) -> None:
        """
        Who gets no tunnel at C{/l2} gets none over a data channel: without the key the channel is
        closed, with it there is a LAN.
        """
        keyed = server(AERO_L2_AUTH_MODE="token", AERO_L2_API_KEY=KEY, AERO_L2_OPEN="0")
        with RelayPage(keyed) as page:
            page.connect(labels=["l2"], open=False)
            page.call("closed", label="l2")
        relayed = server(
            AERO_L2_AUTH_MODE="token",
            AERO_L2_API_KEY=KEY,
            AERO_L2_OPEN="0",
            UDP_RELAY_AUTH_MODE="api_key",
            UDP_RELAY_API_KEY=KEY,
        )
        with RelayPage(relayed) as page:
            page.connect(labels=["l2"], auth={"apiKey": KEY})
            found = page.call("transfer", host=REMOTE, size=MIB)
            self.assertEqual(found["digest"], blockDigest(MIB))
