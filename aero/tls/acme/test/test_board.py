"""
Tests for L{aero.tls.acme.board}.
"""

from __future__ import annotations

import json
import os

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import StartError
from aero.tls.state import StateDirectory

from ..authority import HTTP_01, TLS_ALPN_01
from ..board import MAX_ANSWERS, MAX_TEXT, Answer, Board

_GOOD = [HTTP_01, "example.com", "token", "token.thumbprint"]


class BoardTests(SynchronousTestCase):
    """
    Tests for L{Board}.
    """

    def setUp(self) -> None:
        """
        Have an empty board.
        """
        self.state = StateDirectory(self.mktemp())
        self.state.open()
        self.path = self.state.path / "answers.json"
        self.board = Board(self.state, "answers.json")

    def test_posted(self) -> None:
        """
        What is put up is seen through every board, until something else is.
        """
        one = Answer(HTTP_01, "example.com", "a-token", "a-token.thumb_print")
        two = Answer(TLS_ALPN_01, "www.example.com", "other", "other.thumbprint")
        other = Board(self.state, "answers.json")
        for answers in ((one,), (one, two), (two,), ()):
            self.board.post(answers)
            for board in (self.board, other):
                self.assertEqual(list(board.read()), list(answers))
        self.assertFalse(self.path.exists())

    def test_readOnce(self) -> None:
        """
        A flood of questions does not read the file again and again.
        """
        self.board.post((Answer(*_GOOD),))
        first = self.board.read()
        self.assertIs(self.board.read(), first)

    def test_damaged(self) -> None:
        """
        Anything but a list of answers is as good as nothing.
        """
        damaged: list[object] = [
            {},
            [_GOOD] * (MAX_ANSWERS + 1),
            [_GOOD[:3]],
            [_GOOD, None],
            ["http"],
            [[*_GOOD[:3], 7]],
            [["dns-01", *_GOOD[1:]]],
            [[HTTP_01, "exa mple", *_GOOD[2:]]],
            [[HTTP_01, "example.com", "../token", "token.thumbprint"]],
            [[HTTP_01, "example.com", "token", "token.thumb\r\nprint"]],
            [[HTTP_01, "example.com", "token", "t." + "x" * MAX_TEXT]],
        ]
        texts = [json.dumps(value).encode() for value in damaged] + [b"", b"[", b"\xff"]
        for text in texts:
            self.state.writeAtomically("answers.json", text)
            self.assertEqual(list(self.board.read()), [], text)
        self.state.writeAtomically("answers.json", json.dumps([_GOOD]).encode())
        self.assertEqual(list(self.board.read()), [Answer(*_GOOD)])

    def test_noFile(self) -> None:
        """
        Something else in its place is no answer, and is not removed.
        """
        self.path.mkdir()
        self.assertEqual(list(self.board.read()), [])
        self.assertRaises(StartError, self.board.post, ())
        self.path.rmdir()
        os.mkfifo(self.path)
        self.assertEqual(list(self.board.read()), [])
