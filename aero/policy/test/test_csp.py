"""
Tests for L{aero.policy.csp}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.csp import EXTENSIBLE, contentSecurityPolicy
from aero.policy.headers import ResponseHeaders

HASH = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"


def directives(policy: bytes) -> dict[str, str]:
    """
    The directives of a policy and their sources.
    """
    parts = (part.partition(" ") for part in policy.decode("ascii").split("; "))
    return {name: sources for name, _, sources in parts}


class ContentSecurityPolicyTests(SynchronousTestCase):
    """
    L{contentSecurityPolicy}.
    """

    def test_blobs(self) -> None:
        """
        What a page made itself is a source of scripts, which worklets are, of workers, fetches,
        images and media; of styles, fonts and frames it is not.
        """
        found = directives(contentSecurityPolicy())
        allowing = {name for name, sources in found.items() if "blob:" in sources.split()}
        self.assertEqual(
            allowing, {"script-src", "worker-src", "connect-src", "img-src", "media-src"}
        )
        self.assertNotIn("unsafe-inline", str(found))
        self.assertNotIn("'unsafe-eval'", str(found))
        self.assertNotIn("frame-src", found)

    def test_extra(self) -> None:
        """
        Each directive has the sources that it was given behind its own, and no other changes.
        """
        usual = directives(contentSecurityPolicy())
        for directive in EXTENSIBLE:
            found = directives(contentSecurityPolicy({directive: ["https://a.example", HASH]}))
            own = usual.get(directive)
            added = f"https://a.example {HASH}"
            self.assertEqual(found.pop(directive), f"{own} {added}" if own else added)
            self.assertEqual(found, {k: v for k, v in usual.items() if k != directive})

    def test_refused(self) -> None:
        """
        A source that would end its directive, or the header, is an error, and so is one for a
        directive that is fixed.
        """
        for source in (
            "",
            " ",
            "https://a https://b",
            "https://a;",
            "https://a,b",
            "'unsafe-inline'",
            "'nonce-abc'",
            "'sha1-47DEQpj8HBSa'",
            f"{HASH} 'unsafe-inline'",
            'https://a"',
            "https://a\r\nX: y",
            "https://a\x00",
            "https://\xe4",
        ):
            extra = {"img-src": ["https://a", source]}
            self.assertRaises(ValueError, contentSecurityPolicy, extra)
            self.assertRaises(ValueError, ResponseHeaders.edge, 0, extra)
        for directive in ("default-src", "object-src", "frame-ancestors", "x"):
            self.assertRaises(ValueError, contentSecurityPolicy, {directive: ["https://a"]})

    def test_braces(self) -> None:
        """
        Nothing in a source is taken for a place to put something else.
        """
        self.assertIn(
            b"connect-src 'self' blob: https://{}/{0};",
            contentSecurityPolicy({"connect-src": ["https://{}/{0}"]}),
        )
