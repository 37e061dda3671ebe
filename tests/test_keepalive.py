"""
Idle WebSockets behind a proxy that closes connections with a silent direction.
"""

from __future__ import annotations

import copy
import select
import time

from twisted.trial.unittest import SynchronousTestCase

from .support.idleproxy import IdleProxy
from .support.l2 import PROTOCOL
from .support.server import Aero, shared
from .support.targets import Target, echo
from .support.websocket import PING, PONG, WebSocket

#: Seconds: what the server is told, what the proxy bears, and how long everybody is silent.
INTERVAL, PATIENCE, SILENCE = 2.0, 3.8, 9.0


class IdleProxyTests(SynchronousTestCase):
    """
    The setting is less than the patience of the proxy, and two of it would be more.
    """

    def test_staysOpen(self) -> None:
        """
        A browser answers pings and does nothing else: C{/tcp}, C{/tcp-mux} and C{/l2} stay open.
        """
        server = shared(
            "edge", AERO_WS_PING_INTERVAL_SECONDS=str(int(INTERVAL)), TCP_ALLOW_PRIVATE_IPS="1"
        )
        proxy = IdleProxy(server.port, PATIENCE)
        self.addCleanup(proxy.close)
        through: Aero = copy.copy(server)
        through.port = proxy.port
        origin = ("Origin", f"https://localhost:{server.port}")
        host = ("Host", f"localhost:{server.port}")
        target = Target(echo)
        self.addCleanup(target.__exit__)
        sockets = [
            WebSocket(through, f"/tcp?v=1&host=127.0.0.1&port={target.port}", origin, host),
            WebSocket(
                through, "/tcp-mux", origin, host, ("Sec-WebSocket-Protocol", "aero-tcp-mux-v1")
            ),
            WebSocket(through, "/l2", origin, host, ("Sec-WebSocket-Protocol", PROTOCOL)),
        ]
        for each in sockets:
            self.addCleanup(each.connection.close)
            self.assertTrue(each.accepted, str(each.response))
        pings = dict.fromkeys(sockets, 0)
        end = time.monotonic() + SILENCE
        while (left := end - time.monotonic()) > 0:
            ready = select.select([each.connection.socket for each in sockets], [], [], left)[0]
            for each in sockets:
                if each.connection.socket in ready:
                    opcode, payload = each.receive()
                    self.assertEqual(opcode, PING)
                    each.send(payload, PONG)
                    pings[each] += 1
        self.assertEqual(proxy.cut, 0)
        for count in pings.values():
            self.assertGreaterEqual(count, 3)
