"""
Tests for L{aero.settings.images}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.settings import load
from aero.settings.images import IMMUTABLE, ImageSettings


class ImageSettingsTests(SynchronousTestCase):
    """
    Tests for L{ImageSettings}.
    """

    def images(self, **options: str) -> ImageSettings:
        """
        The settings for these options.
        """
        return load({f"images-{name}": value for name, value in options.items()}, {}).images

    def test_off(self) -> None:
        """
        There are no images unless a directory is named.
        """
        self.assertEqual(self.images().root, "")

    def test_age(self) -> None:
        """
        The age is seconds or a word.
        """
        self.assertEqual(load({"images-max-age": " Immutable "}, {}).images.maxAge, IMMUTABLE)
        self.assertEqual(load({"images-max-age": "0"}, {}).images.maxAge, 0)
        for value in ("-1", "31536001", "forever"):
            error = self.assertRaises(ConfigurationError, load, {"images-max-age": value}, {})
            self.assertIn("or immutable", str(error))

    def test_origins(self) -> None:
        """
        Origins are whole ones, or a star.
        """
        found = load({"images-cors-origins": "https://a.example, *"}, {}).images.corsOrigins
        self.assertEqual(found, ("https://a.example", "*"))
        for value in ("a.example", "https://a.example/x", "https://*.a.example"):
            self.assertRaises(ConfigurationError, load, {"images-cors-origins": value}, {})

    def test_policy(self) -> None:
        """
        The resource policy is one of three words.
        """
        self.assertEqual(self.images(corp="same-site").resourcePolicy, "same-site")
        self.assertRaises(ConfigurationError, self.images, corp="none")
