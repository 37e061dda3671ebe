"""
Tests for L{aero.auth.turnrest}.
"""

from __future__ import annotations

import base64

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.turnrest import TurnSecret


class TurnSecretTests(SynchronousTestCase):
    """
    L{TurnSecret}.
    """

    def test_vector(self) -> None:
        """
        The vector of relay.md section 8.2.
        """
        found = TurnSecret("shared-secret", ttl=3_600).issue(1_700_000_000, "session123")
        self.assertEqual(found.username, "1700003600:aero:session123")
        self.assertEqual(found.password, "7sV7vMb0GsebuVCU0kM0pILAQfc=")

    def test_time(self) -> None:
        """
        The expiry is in whole seconds, and the password is 20 bytes.
        """
        found = TurnSecret("secret", ttl=10).issue(42.9)
        self.assertEqual(found.username.split(":")[0], "52")
        self.assertEqual(len(base64.b64decode(found.password)), 20)

    def test_everyClientItsOwn(self) -> None:
        """
        Two clients at the same time get different names, of 32 digits each.
        """
        secret = TurnSecret("secret", ttl=10, prefix="x")
        names = {secret.issue(1).username for _ in range(5)}
        self.assertEqual(len(names), 5)
        for name in names:
            self.assertRegex(name, "^11:x:[0-9a-f]{32}$")

    def test_never(self) -> None:
        """
        What no TURN server could use is not made.
        """
        for broken in (
            TurnSecret("", ttl=10),
            TurnSecret("secret", ttl=0),
            TurnSecret("secret", ttl=10, prefix="a:b"),
            TurnSecret("secret", ttl=10, prefix=""),
        ):
            self.assertRaises(ValueError, broken.issue, 1.0)
        self.assertRaises(ValueError, TurnSecret("secret", ttl=1).issue, 1.0, "a:b")
