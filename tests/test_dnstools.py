"""
The resolvers' own tools ask over HTTPS. They have no cookies, so the server answers names
without a session here.
"""

from __future__ import annotations

import subprocess

from twisted.trial.unittest import SynchronousTestCase

from .support.dnsrig import DNSRigged
from .support.tools import require


class ToolTests(DNSRigged, SynchronousTestCase):
    """
    C{dig} and C{kdig}.
    """

    kind = "edge"

    def asked(self, name: str, *arguments: str, session: str = "0") -> str:
        """
        Ask with one of the tools, which trusts the internal CA and nothing else.

        @return: What it prints.
        """
        server = self.server(self.real() | {"AERO_DNS_REQUIRE_SESSION": session})
        done = subprocess.run(
            [
                require(name),
                "@127.0.0.1",
                "-p",
                str(server.port),
                f"+tls-ca={server.rootCertificate}",
                "+tls-hostname=localhost",
                *arguments,
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout + done.stderr

    def test_dig(self) -> None:
        """
        C{dig} gets the addresses of a name, by GET and by POST.
        """
        for option in ("+https=/dns-query", "+https-get=/dns-query"):
            found = self.asked("dig", option, "+short", "dual.example", "A")
            self.assertEqual(found, "192.0.2.11\n")
        found = self.asked("dig", "+https", "+short", "dual.example", "AAAA")
        self.assertEqual(found, "2001:db8::11\n")

    def test_digStatus(self) -> None:
        """
        It is told of a name that is not there, and gets answers that no datagram would hold.
        """
        self.assertIn("status: NXDOMAIN", self.asked("dig", "+https", "no.example", "A"))
        found = self.asked("dig", "+https", "+short", "long.example", "TXT")
        self.assertEqual(len(found.splitlines()), 12)

    def test_kdig(self) -> None:
        """
        C{kdig} gets the addresses of a name, by POST and by GET.
        """
        for option in ("+https", "+https-get"):
            found = self.asked("kdig", "+https", option, "+short", "dual.example", "A")
            self.assertEqual(found, "192.0.2.11\n")

    def test_sessionRequired(self) -> None:
        """
        By default nobody without a session is answered.
        """
        found = self.asked("kdig", "+https", "dual.example", "A", session="1")
        self.assertNotIn("192.0.2.11", found)
        self.assertIn("401", found)
