"""
Tests for L{aero.files.encoding}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.files.encoding import forbidsTransform, preferred, weights
from aero.testing.properties import given, strategies

OFFER = (b"br", b"zstd", b"gzip")


def chosen(*lines: bytes) -> list[bytes]:
    return preferred(weights(lines), OFFER)


class PreferredTests(SynchronousTestCase):
    """
    A client gets the coding it likes best.
    """

    def test_serverBreaksTies(self) -> None:
        """
        Of equal weights the server's favourite comes first.
        """
        self.assertEqual(chosen(b"gzip, deflate, br, zstd"), [b"br", b"zstd", b"gzip"])

    def test_weightsDecide(self) -> None:
        """
        The client's weights come before the server's taste.
        """
        self.assertEqual(chosen(b"zstd;q=0.5, gzip;q=0.9"), [b"gzip", b"zstd"])
        self.assertEqual(chosen(b"gzip ; Q=0.8", b"br;q=0.81"), [b"br", b"gzip"])
        self.assertEqual(chosen(b",gzip ; Q=0.8,, br;q=0.81,"), [b"br", b"gzip"])

    def test_zeroRefuses(self) -> None:
        """
        A weight of zero, and one that makes no sense, is a refusal.
        """
        self.assertEqual(chosen(b"gzip;q=0, br;q=0.000, zstd;q=1.5"), [])
        self.assertEqual(chosen(b"gzip;q=, zstd;q=x"), [])

    def test_wildcard(self) -> None:
        """
        A wildcard asks for nothing in particular.
        """
        self.assertEqual(chosen(b"*"), [])
        self.assertEqual(chosen(b"*;q=0.1, gzip"), [b"gzip"])

    def test_identity(self) -> None:
        """
        Plain bytes win where the client ranks them above; refusing them leaves the codings.
        """
        self.assertEqual(chosen(b"identity"), [])
        self.assertEqual(chosen(b"identity, gzip;q=0.5"), [])
        self.assertEqual(chosen(b"identity;q=0.5, gzip"), [b"gzip"])
        self.assertEqual(chosen(b"identity;q=0, gzip;q=0.1"), [b"gzip"])

    def test_oldName(self) -> None:
        """
        The old name of gzip means gzip (RFC 9110 section 8.4.1.3).
        """
        self.assertEqual(chosen(b"x-gzip"), [b"gzip"])

    def test_tooLong(self) -> None:
        """
        A header that no browser sends is not read.
        """
        self.assertEqual(chosen(b"gzip," + b"x" * 2_000), [])

    @given(strategies.binary(max_size=200))
    def test_anything(self, line: bytes) -> None:
        """
        Whatever a client sends leads to codings that are on offer, each once.
        """
        found = chosen(line)
        self.assertEqual(len(found), len(set(found)))
        self.assertTrue(set(found) <= set(OFFER))


class ForbidsTransformTests(SynchronousTestCase):
    """
    A client may forbid compression.
    """

    def test_directives(self) -> None:
        """
        The directive counts wherever it stands, and only whole.
        """
        self.assertTrue(forbidsTransform([b"no-transform"]))
        self.assertTrue(forbidsTransform([b"no-cache", b"max-age=0, No-Transform"]))
        self.assertFalse(forbidsTransform([b"no-transformers", b"x=no-transform"]))
        self.assertFalse(forbidsTransform([]))
