"""
Tests for L{aero.policy.redaction}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.redaction import redact, redactURL


class RedactionTests(SynchronousTestCase):
    """
    The examples of relay.md sections 13.8 and 20.11.
    """

    def test_urls(self) -> None:
        """
        User, query and fragment are gone, also from what is no URL.
        """
        for url, expected in (
            ("wss://user:pass@example.com/l2?token=sekrit#frag", "wss://example.com/l2"),
            ("ws://example.com:80/l2", "ws://example.com:80/l2"),
            ("ws://user:pa@ss@example.com", "ws://example.com"),
            ("ws://[::1/x?token=sekrit", "ws://[::1/x"),
            ("user:pass@nothing?x", "nothing"),
        ):
            self.assertEqual(redactURL(url), expected)

    def test_text(self) -> None:
        """
        What follows the names of secrets is gone, up to where it ends.
        """
        for text, expected in (
            ("token=sekrit&foo=bar", "token=<redacted>&foo=bar"),
            ("aero_session=sess123", "aero_session=<redacted>"),
            ("aero-l2-token.sekrit", "aero-l2-token.<redacted>"),
            ('dial "ws://h/?apiKey=k": no', 'dial "ws://h/?apiKey=<redacted>": no'),
            (
                "see ws://user:pass@example.com/l2?token=sekrit.",
                "see ws://example.com/l2?token=<redacted>",
            ),
            ("nothing to hide", "nothing to hide"),
        ):
            self.assertEqual(redact(text), expected)

    def test_knownSecrets(self) -> None:
        """
        A credential is gone as it is and as a query string has it.
        """
        found = redact("bad=secret and bad%3Dsecret", ("bad=secret", None, ""))
        self.assertEqual(found, "<redacted> and <redacted>")
