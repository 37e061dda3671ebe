"""
Tests for L{aero.auth.verified}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.tokens import SessionToken, mintToken, verifyToken
from aero.auth.verified import MAX_REMEMBERED_CHARACTERS, VerifiedTokens
from aero.testing.vectors import load

_NOW = 1_700_000_000


class VerifiedTokensTests(SynchronousTestCase):
    """
    L{VerifiedTokens}.
    """

    def test_again(self) -> None:
        """
        A valid token is valid each time it is shown, until it ends.
        """
        tokens = VerifiedTokens(["secret"])
        token = mintToken("secret", "sid", _NOW + 10)
        for now in (_NOW, _NOW + 9.999):
            self.assertEqual(tokens.verify(token, now), SessionToken("sid", _NOW + 10))
        for _ in range(2):
            self.assertIsNone(tokens.verify(token, _NOW + 10))
        self.assertEqual(len(tokens), 0)

    def test_vectors(self) -> None:
        """
        The answer is that of L{verifyToken} for every vector, at the first time and at the
        next (A45).
        """
        found = load("auth-tokens.json")["sessionTokens"]
        secrets = [found["testSecret"]]
        tokens = VerifiedTokens(secrets)
        for row in [*found["vectors"], *found["vectors"]]:
            now = row["nowMs"] / 1000
            expected = verifyToken(secrets, row["token"], now)
            self.assertEqual(tokens.verify(row["token"], now), expected, row["name"])

    def test_invalid(self) -> None:
        """
        What is not valid takes no room.
        """
        tokens = VerifiedTokens(["secret"])
        for token in ("", "a.b", mintToken("other", "sid", _NOW + 1), mintToken("secret", "s", 1)):
            self.assertIsNone(tokens.verify(token, _NOW))
        self.assertEqual(len(tokens), 0)

    def test_bounded(self) -> None:
        """
        However many tokens there are, only so many are remembered, and no long ones; all of
        them are valid all the same.
        """
        tokens = VerifiedTokens(["secret"], maxEntries=3)
        made = [mintToken("secret", f"sid-{number}", _NOW + 10) for number in range(5)]
        long = mintToken("secret", "s" * MAX_REMEMBERED_CHARACTERS, _NOW + 10)
        for token in [*made, long, *made]:
            self.assertIsNotNone(tokens.verify(token, _NOW))
            self.assertLessEqual(len(tokens), 3)
