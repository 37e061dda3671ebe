"""
Tests for what the checks decide, by answers that nobody sent.
"""

from __future__ import annotations

import io

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.headers import ResponseHeaders
from aero.smoke.__main__ import main
from aero.smoke.client import Response, Site
from aero.smoke.context import Context, checks, expectStatus, parsed
from aero.smoke.gateway import question
from aero.smoke.report import Failed, Skipped
from aero.smoke.site import headerFaults


def answer(*changes: tuple[str, str | None]) -> Response:
    """
    A response with the header set of the edge, but for these names.
    """
    pairs = [
        (name.decode().lower(), value.decode())
        for name, value in ResponseHeaders.edge(31_536_000).pairs
    ]
    names = {name for name, _ in changes}
    kept = [pair for pair in pairs if pair[0] not in names]
    return Response(200, kept + [(name, value) for name, value in changes if value], b"")


class HeaderTests(SynchronousTestCase):
    """
    L{headerFaults}.
    """

    def test_theSetOfTheEdge(self) -> None:
        """
        The one table of aero's own headers has no fault.
        """
        self.assertEqual(list(headerFaults(answer(), True)), [])

    def test_missing(self) -> None:
        """
        A header that is not there is named.
        """
        found = list(headerFaults(answer(("origin-agent-cluster", None)), True))
        self.assertEqual(found, ["Origin-Agent-Cluster is missing"])

    def test_twice(self) -> None:
        """
        A header that a proxy added again is no better than none.
        """
        name = "cross-origin-embedder-policy"
        found = list(headerFaults(answer((name, "require-corp"), (name, "require-corp")), True))
        self.assertEqual(found, ["Cross-Origin-Embedder-Policy is there 2 times"])

    def test_wrong(self) -> None:
        """
        A value is compared whole.
        """
        found = list(headerFaults(answer(("x-content-type-options", "sniff")), True))
        self.assertEqual(found, ["X-Content-Type-Options is 'sniff', expected 'nosniff'"])

    def test_policy(self) -> None:
        """
        A policy under which WebAssembly does not run is named by what it lacks.
        """
        found = list(headerFaults(answer(("content-security-policy", "default-src 'self'")), True))
        self.assertEqual(len(found), 3)
        self.assertIn("'wasm-unsafe-eval'", found[1])

    def test_hstsOverTLSOnly(self) -> None:
        """
        Over plain HTTP browsers do not heed HSTS, so it is not asked for.
        """
        bare = answer(("strict-transport-security", None))
        self.assertEqual(list(headerFaults(bare, False)), [])
        self.assertEqual(list(headerFaults(bare, True)), ["Strict-Transport-Security is missing"])


class ContextTests(SynchronousTestCase):
    """
    L{Context} and the small comparisons.
    """

    def setUp(self) -> None:
        self.context = Context(Site("http://example.com/base/"))

    def test_site(self) -> None:
        """
        Paths go below the base path once, and the origin has none.
        """
        site = self.context.site
        self.assertEqual(site.origin, "http://example.com")
        self.assertEqual(site.path("/tcp"), "/base/tcp")
        self.assertEqual(site.path("/base/tcp"), "/base/tcp")
        self.assertEqual(site.path("/baseless"), "/base/baseless")

    def test_noSite(self) -> None:
        """
        What is no URL of a site is refused in words.
        """
        for text in ("example.com", "ftp://example.com", "https://"):
            error = self.assertRaises(ValueError, Site, text)
            self.assertIn("expected a URL", str(error))

    def test_relayElsewhere(self) -> None:
        """
        The checks of a relay are for the one of this site.
        """
        self.assertRaises(Skipped, self.context.needRelay)
        self.context.session = {"udpRelay": {"baseUrl": "https://elsewhere.example"}}
        skipped = self.assertRaises(Skipped, self.context.needRelay)
        self.assertIn("elsewhere.example", str(skipped))
        self.context.session = {"udpRelay": {"baseUrl": "http://example.com/base/"}}
        self.assertEqual(self.context.needRelay(), self.context.session["udpRelay"])

    def test_status(self) -> None:
        """
        A wrong status is told with the beginning of the body.
        """
        failed = self.assertRaises(Failed, expectStatus, Response(502, [], b"Bad Gateway"), 200)
        self.assertEqual(str(failed), "status is 502, expected 200: 'Bad Gateway'")

    def test_parsed(self) -> None:
        """
        Only objects are JSON objects.
        """
        self.assertEqual(parsed(Response(200, [], b'{"a": 1}')), {"a": 1})
        for body in (b"[]", b"<html>", b""):
            self.assertRaises(Failed, parsed, Response(200, [], body))

    def test_question(self) -> None:
        """
        The DNS query is the one of RFC 1035, in bytes that another encoder made.
        """
        self.assertEqual(
            question("example.com", 255).hex(),
            "5a1701000001000000000000076578616d706c6503636f6d0000ff0001",
        )

    def test_statements(self) -> None:
        """
        No two checks state the same.
        """
        statements = [statement for statement, _ in checks()]
        self.assertEqual(len(statements), len(set(statements)))


class MainTests(SynchronousTestCase):
    """
    The command line.
    """

    def test_noSite(self) -> None:
        """
        A URL that is none is a mistake of the command, not a failed check.
        """
        self.assertEqual(main(["example.com"], io.StringIO()), 2)
