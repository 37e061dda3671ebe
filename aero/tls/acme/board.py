# -*- test-case-name: aero.tls.acme.test.test_board -*-
"""
The answers to open challenges, where every process of a site finds them.

One process orders, but the authority asks whichever accepts its connection: another worker, or
another machine with the same state directory. What it is asked for is looked up in this one
file, so nothing that a stranger sends is ever a part of a path. There are no secrets in it:
whoever asks is told.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple, Sequence

from aero.errors import StartError

from ..state import Stamp, StateDirectory
from .authority import KINDS

#: The answers that a file may hold, and the characters of each part of one.
MAX_ANSWERS, MAX_TEXT = 200, 512

#: A token, and a key authorization, which is a token and a thumbprint (RFC 8555 section 8.1).
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_AUTHORIZATION = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_NAME = re.compile(r"[a-z0-9_.-]+")


class Answer(NamedTuple):
    """
    What to say.

    @ivar kind: C{http-01} or C{tls-alpn-01}.
    @ivar name: The name that is to be proven, in lower case.
    @ivar token: The token of the challenge.
    @ivar keyAuthorization: What the proof consists of.
    """

    kind: str
    name: str
    token: str
    keyAuthorization: str


class Board:
    """
    The file.
    """

    def __init__(self, state: StateDirectory, name: str) -> None:
        """
        @param name: Of the file, in the state directory.
        """
        self._state = state
        self._file = name
        self._stamp: Stamp | None = None
        self._answers: Sequence[Answer] = ()

    def post(self, answers: Sequence[Answer]) -> None:
        """
        Put up these answers, in the place of all others.

        @raise StartError: The file cannot be written.
        """
        if answers:
            data = json.dumps(answers, indent=2).encode() + b"\n"
            self._state.writeAtomically(self._file, data, 0o600)
        else:
            self._state.remove(self._file)

    def read(self) -> Sequence[Answer]:
        """
        What is there now. The file is read once for each time that it was written.
        """
        stamp = self._state.stamp(self._file)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._answers = _parsed(self._state.read(self._file))
            except (StartError, ValueError):
                self._answers = ()
        return self._answers


def _parsed(data: bytes | None) -> Sequence[Answer]:
    """
    @raise ValueError: These are no answers.
    """
    if data is None:
        return ()
    found = json.loads(data)
    if not isinstance(found, list) or len(found) > MAX_ANSWERS:
        raise ValueError("no list of answers")
    answers = []
    for each in found:
        if not isinstance(each, list) or len(each) != 4:
            raise ValueError("no answer")
        if not all(isinstance(text, str) and len(text) <= MAX_TEXT for text in each):
            raise ValueError("no texts")
        answer = Answer(*each)
        if (
            answer.kind not in KINDS
            or not _NAME.fullmatch(answer.name)
            or not _TOKEN.fullmatch(answer.token)
            or not _AUTHORIZATION.fullmatch(answer.keyAuthorization)
        ):
            raise ValueError("not the texts of an answer")
        answers.append(answer)
    return answers
