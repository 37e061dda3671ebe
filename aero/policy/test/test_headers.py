"""
Tests for L{aero.policy.headers}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.headers import ResponseHeaders

_EDGE = """\
Cross-Origin-Opener-Policy: same-origin
Cross-Origin-Embedder-Policy: require-corp
Cross-Origin-Resource-Policy: same-origin
Origin-Agent-Cluster: ?1
X-Content-Type-Options: nosniff
Referrer-Policy: no-referrer
Permissions-Policy: camera=(), geolocation=(), microphone=(self), usb=(self)
Content-Security-Policy: default-src 'none'; base-uri 'none'; object-src 'none';\
 frame-ancestors 'none'; script-src 'self' 'wasm-unsafe-eval' blob:; worker-src 'self' blob:;\
 connect-src 'self' blob:; img-src 'self' data: blob:; media-src 'self' blob:; style-src 'self';\
 font-src 'self'
Strict-Transport-Security: max-age=0
"""

_GATEWAY = {
    b"X-Content-Type-Options": b"nosniff",
    b"Referrer-Policy": b"no-referrer",
    b"X-Frame-Options": b"DENY",
    b"Permissions-Policy": b"camera=(), geolocation=(), microphone=(self), usb=(self)",
}

_ISOLATION = {
    b"Cross-Origin-Opener-Policy": b"same-origin",
    b"Cross-Origin-Embedder-Policy": b"require-corp",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Origin-Agent-Cluster": b"?1",
}


class ResponseHeadersTests(SynchronousTestCase):
    """
    L{ResponseHeaders}.
    """

    def test_edge(self) -> None:
        """
        The edge sends the canonical set, to the letter.
        """
        headers = ResponseHeaders.edge(0)
        written = b"".join(name + b": " + value + b"\n" for name, value in headers.pairs)
        self.assertEqual(written.decode("ascii"), _EDGE)

    def test_edgeSettings(self) -> None:
        """
        The age of the TLS promise and the sources to connect to are the operator's.
        """
        sources = ["https://proxy.example.com", "wss://proxy.example.com"]
        values = dict(ResponseHeaders.edge(31_536_000, {"connect-src": sources}).pairs)
        self.assertEqual(values[b"Strict-Transport-Security"], b"max-age=31536000")
        self.assertIn(
            b"; connect-src 'self' blob: https://proxy.example.com wss://proxy.example.com; img-src ",
            values[b"Content-Security-Policy"],
        )

    def test_replacing(self) -> None:
        """
        One header may have another value, whatever its spelling; one that is not there stays away.
        """
        edge = ResponseHeaders.edge(0)
        other = dict(edge.replacing(b"cross-origin-resource-policy", b"same-site").pairs)
        self.assertEqual(other[b"Cross-Origin-Resource-Policy"], b"same-site")
        self.assertEqual(list(other), [name for name, _ in edge.pairs])
        gateway = ResponseHeaders.gateway(False)
        self.assertEqual(
            gateway.replacing(b"Cross-Origin-Resource-Policy", b"same-site").pairs, gateway.pairs
        )

    def test_gateway(self) -> None:
        """
        The gateway alone sends its own set, and isolation where it is asked to.
        """
        self.assertEqual(dict(ResponseHeaders.gateway(False).pairs), _GATEWAY)
        self.assertEqual(dict(ResponseHeaders.gateway(True).pairs), {**_GATEWAY, **_ISOLATION})

    def test_once(self) -> None:
        """
        No set has a header twice, and its names are in lower case.
        """
        for headers in (ResponseHeaders.edge(0), ResponseHeaders.gateway(True)):
            self.assertEqual(len(headers.names), len(headers.pairs))
            self.assertEqual(headers.names, {name.lower() for name, _ in headers.pairs})
