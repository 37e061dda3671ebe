"""
Tests for L{aero.policy.profiles}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.profiles import OPEN, PROFILES, STANDARD, WEB, Profile


class ProfileTests(SynchronousTestCase):
    """
    L{Profile} and the three that there are.
    """

    def test_names(self) -> None:
        """
        Each profile is found by its own name.
        """
        self.assertEqual(set(PROFILES), {"web", "standard", "open"})
        for name, profile in PROFILES.items():
            self.assertEqual(profile.name, name)

    def test_web(self) -> None:
        """
        The web profile is two ports.
        """
        self.assertEqual([port for port in range(65_536) if WEB.allows(port)], [80, 443])

    def test_open(self) -> None:
        """
        The open profile is every port.
        """
        self.assertTrue(all(OPEN.allows(port) for port in range(65_536)))

    def test_standard(self) -> None:
        """
        The standard profile closes mail, Windows networking and doors without a lock, gives a
        reason for each, and leaves what people use.
        """
        refused = {port for port in range(65_536) if not STANDARD.allows(port)}
        self.assertEqual(refused, set(STANDARD.refused))
        self.assertLessEqual({25, 465, 587, 135, 137, 138, 139, 445, 111, 6379, 11_211}, refused)
        self.assertFalse({21, 22, 23, 53, 80, 443, 993, 3389, 5900, 6667, 8080} & refused)
        for reason in STANDARD.refused.values():
            self.assertNotIn("{", reason)

    def test_onlyWins(self) -> None:
        """
        A list of allowed ports is the whole rule.
        """
        profile = Profile("mine", only=frozenset({25}), refused={25: "mail"})
        self.assertTrue(profile.allows(25))
        self.assertFalse(profile.allows(80))
