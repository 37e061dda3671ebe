"""
Tests for L{aero.auth.firstmessage}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.firstmessage import FirstMessage, isAuthMessage, parseFirstMessage


class FirstMessageTests(SynchronousTestCase):
    """
    The rows of relay.md section 12.3.
    """

    def test_credential(self) -> None:
        """
        Either key is good, both if they are equal, and other keys do not matter.
        """
        for text in (
            '{"type":"auth","apiKey":"k"}',
            '{"type":"auth","token":"k"}',
            '{"type":"auth","token":"k","apiKey":"k"}',
            '{"type":"auth","token":"k","apiKey":null,"v":1}',
            '{"type":"auth","token":"k","apiKey":""}',
            ' {"apiKey" : "k" , "type":"auth"} ',
        ):
            self.assertEqual(parseFirstMessage(text.encode()), FirstMessage("k"), text)

    def test_verbatim(self) -> None:
        """
        A credential is not trimmed.
        """
        self.assertEqual(parseFirstMessage(b'{"type":"auth","token":" k "}').credential, " k ")

    def refusal(self, text: bytes) -> tuple[str, str, int]:
        """
        How a message is refused.
        """
        found = parseFirstMessage(text)
        self.assertIsNone(found.credential)
        return found.code, found.message, found.closeCode

    def test_notAuth(self) -> None:
        """
        What is no auth message asks for one.
        """
        for text in (
            b"",
            b"hello",
            b"[]",
            b"{}",
            b"\xff",
            b'{"type":"offer"}',
            b'{"type":1}',
            b'{"type":"auth"',
            b'{"type":"auth","token":"k"} x',
            b"[" * 10_000,
        ):
            self.assertEqual(
                self.refusal(text), ("unauthorized", "authentication required", 1008), text[:20]
            )

    def test_missing(self) -> None:
        """
        An auth message without a credential misses one.
        """
        for text in (b'{"type":"auth"}', b'{"type":"auth","token":"","apiKey":null}'):
            self.assertEqual(self.refusal(text), ("unauthorized", "missing credentials", 1008))

    def test_different(self) -> None:
        """
        Two credentials that differ are none.
        """
        self.assertEqual(
            self.refusal(b'{"type":"auth","token":"a","apiKey":"b"}'),
            ("bad_message", "invalid auth message", 1008),
        )

    def test_notText(self) -> None:
        """
        A credential that is not text closes with 1003.
        """
        for value in (b"1", b"{}", b"[]", b"true", b'"\\ud800"'):
            self.assertEqual(
                self.refusal(b'{"type":"auth","token":%b}' % value),
                ("bad_message", "invalid auth message", 1003),
            )

    def test_isAuthMessage(self) -> None:
        """
        A repeated auth message is known by its type.
        """
        self.assertTrue(isAuthMessage(b'{"type":"auth","token":5}'))
        for text in (b"", b"[]", b'{"type":"close"}', b'{"type":["auth"]}'):
            self.assertFalse(isAuthMessage(text))
