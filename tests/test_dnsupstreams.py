"""
Upstreams that are asked over encrypted connections: another aero, alone and behind Caddy, which
speaks the HTTP that it is told to; and one that speaks DNS over TLS.
"""

from __future__ import annotations

import ssl

from twisted.trial.unittest import SynchronousTestCase

from .support.caddy import Caddy
from .support.dnsrig import FIRST, DNSRigged, fresh
from .support.metrics import counted, metric
from .support.nameservers import Asked, Scripted
from .support.rigs import USUAL
from .support.server import Aero, shared

#: Types that differ, so that none is answered from the cache.
_TYPES = ("A", "AAAA", "MX", "TXT", "NS", "SOA", "SRV", "CAA")


def _answer(asked: Asked) -> None:
    asked.send(asked.answer(f"100 A {FIRST}").to_wire())


class UpstreamTests(DNSRigged, SynchronousTestCase):
    """
    DNS over HTTPS and over TLS, as seen by who asks aero.
    """

    kind = "gateway"

    def upstream(self) -> Aero:
        """
        An aero that answers everybody, from dnsmasq.
        """
        return shared("edge", **self.real(), AERO_DNS_REQUIRE_SESSION="0")

    def through(self, entry: str, **more: str) -> dict[str, str]:
        """
        The settings of an aero that asks an upstream and trusts the CA of L{upstream}.
        """
        trusted = str(self.upstream().rootCertificate)
        rest = {"DNS_QPS_PER_IP": "0", "DNS_UPSTREAMS": entry, "SSL_CERT_FILE": trusted}
        return USUAL | rest | more

    def caddy(self, protocols: str, newest: str) -> str:
        """
        The URL of Caddy before L{upstream}.

        @param protocols: The versions of HTTP that it offers.
        @param newest: The only one that it then answers to.
        """
        upstream = self.upstream()
        site = (
            f"@other not protocol {newest}\nrespond @other 505\n"
            f"reverse_proxy https://localhost:{upstream.port} {{\n transport http {{\n"
            f"  tls_trusted_ca_certs {upstream.rootCertificate}\n }}\n}}"
        )
        caddy = Caddy(upstream, site, protocols)
        self.addCleanup(caddy.stop)
        return f"{caddy.url}/dns-query"

    def accepted(self, server: Aero, protocol: str) -> float:
        """
        The connections that a server took by a version of HTTP.
        """
        return counted(server, "aero_http_accepted_total", protocol=protocol)

    def test_together(self) -> None:
        """
        Many questions at once are one connection, which speaks HTTP/2.
        """
        upstream = self.upstream()
        settings = self.through(f"{upstream.url}/dns-query")
        self.cookie(self.server(settings))
        before = self.accepted(upstream, "h2")
        found = self.together(
            lambda kind: self.addresses(self.ask("dual.example", kind, settings)), _TYPES
        )
        self.assertEqual(found[:2], [["192.0.2.11"], ["2001:db8::11"]])
        self.assertEqual(len(self.addresses(self.ask("long.example", "TXT", settings))), 12)
        self.assertEqual(self.accepted(upstream, "h2"), before + 1)

    def test_versions(self) -> None:
        """
        Caddy is asked by HTTP/2, and where it speaks nothing but HTTP/1.1 by that.
        """
        for protocols, newest in (("h1 h2", "http/2"), ("h1", "http/1.1")):
            settings = self.through(self.caddy(protocols, newest))
            for kind, data in (("A", "192.0.2.11"), ("AAAA", "2001:db8::11")):
                found = self.addresses(self.ask("dual.example", kind, settings))
                self.assertEqual(found, [data], protocols)
            self.assertEqual(
                counted(self.server(settings), "dns_upstream_errors_total", kind="doh"), 0
            )

    def test_untrusted(self) -> None:
        """
        An upstream whose certificate nobody vouches for is asked nothing.
        """
        settings = self.through(f"{self.upstream().url}/dns-query", SSL_CERT_FILE="/dev/null")
        answer = self.ask("dual.example", "A", settings)
        self.assertEqual(self.addresses(answer), [])
        self.assertEqual(metric(self.server(settings), "dns_upstream_errors_total", kind="doh"), 1)

    def test_overTLS(self) -> None:
        """
        So it is with DNS over TLS, and a question to a trusted one is answered.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.upstream().state / "ca" / "site.pem")
        server = Scripted(_answer, context)
        settings = self.through(f"tls://localhost:{server.port}")
        for _ in range(2):
            self.assertEqual(self.addresses(self.ask(fresh("plain"), "A", settings)), [FIRST])
        self.assertEqual([one.tcp for one in server.asked], [True, True])
        self.assertEqual(len({one.port for one in server.asked}), 1)
        settings = self.through(f"tls://localhost:{server.port}", SSL_CERT_FILE="/dev/null")
        self.assertEqual(self.addresses(self.ask(fresh("plain"), "A", settings)), [])
        self.assertEqual(len(server.asked), 2)
