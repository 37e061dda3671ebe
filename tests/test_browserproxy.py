"""
The gateway alone behind a proxy that speaks TLS, as a browser sees it (gateway.md section 18,
A07 and A08).
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.browser import browserFor, inBrowserThread
from .support.caddy import Caddy
from .support.dnsrig import dnsmasq
from .support.server import Aero, gatewayOptions, shared
from .support.targets import Target, echo
from .support.tools import freePort

_PROBE = """
async ([port, query]) => {
  const created = await fetch("/session", { method: "POST" });
  const socket = new WebSocket(`wss://${location.host}/tcp?v=1&host=127.0.0.1&port=${port}`);
  socket.binaryType = "arraybuffer";
  const heard = new Promise((resolve, reject) => {
    socket.onopen = () => socket.send(new TextEncoder().encode("through a proxy"));
    socket.onmessage = ({ data }) => resolve(new TextDecoder().decode(data));
    socket.onerror = () => reject(new Error("no WebSocket"));
  });
  const message = await fetch(`/dns-query?dns=${query}`);
  const json = await fetch("/dns-json?name=dual.example&type=A");
  return {
    created: created.status,
    heard: await heard,
    isolated: crossOriginIsolated,
    memory: typeof SharedArrayBuffer,
    message: [message.status, message.headers.get("content-type"),
              [...new Uint8Array(await message.arrayBuffer())].slice(-4)],
    json: [json.status, (await json.json()).Answer[0].data],
  };
}
"""

#: What C{dual.example} is asked with: id 0, RD, type A.
_QUERY = "AAABAAABAAAAAAAABGR1YWwHZXhhbXBsZQAAAQAB"


class ProxiedTests(SynchronousTestCase):
    """
    Caddy in front, Chromium before that.
    """

    def gateway(self, origin: str, isolation: str) -> Aero:
        """
        A gateway for the pages of one origin.
        """
        server = Aero(
            *gatewayOptions(),
            state=None,
            runDir=None,
            ALLOWED_ORIGINS=origin,
            AERO_TRUSTED_PROXIES="127.0.0.0/8,::1",
            CROSS_ORIGIN_ISOLATION=isolation,
            DNS_UPSTREAMS=f"127.0.0.1:{dnsmasq().port}",
            TCP_ALLOW_PRIVATE_IPS="1",
            TRUST_PROXY="1",
        )
        self.addCleanup(server.kill)
        return server

    @inBrowserThread
    def test_isolation(self) -> None:
        """
        With isolation on a page is isolated, with isolation off it is not, and either way
        sessions, tunnels and names work, with a cookie that stays on TLS.
        """
        edge = shared("edge")
        port = freePort()
        for isolation, isolated in (("1", True), ("0", False)):
            server = self.gateway(f"https://localhost:{port}", isolation)
            caddy = Caddy(edge, f"reverse_proxy 127.0.0.1:{server.port}", port=port)
            try:
                with Target(echo) as target, browserFor(edge).open() as tab:
                    response = tab.page.goto(f"{caddy.url}/healthz")
                    assert response is not None
                    found: dict[str, Any] = tab.page.evaluate(_PROBE, [target.port, _QUERY])
                    (cookie,) = tab.context.cookies()
            finally:
                caddy.stop()
            headers = response.headers
            self.assertEqual(
                headers.get("cross-origin-opener-policy"), "same-origin" if isolated else None
            )
            self.assertEqual(
                headers.get("cross-origin-embedder-policy"), "require-corp" if isolated else None
            )
            self.assertEqual(
                found,
                {
                    "created": 201,
                    "heard": "through a proxy",
                    "isolated": isolated,
                    "memory": "function" if isolated else "undefined",
                    "message": [200, "application/dns-message", [192, 0, 2, 11]],
                    "json": [200, "192.0.2.11"],
                },
            )
            self.assertTrue(cookie["secure"] and cookie["httpOnly"])
