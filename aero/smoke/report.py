# -*- test-case-name: aero.smoke.test.test_report -*-
"""
What a run of the checks found, for people and for programs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TextIO


class Failed(Exception):
    """
    A check did not find what it should; the text says what it found instead.
    """


class Skipped(Exception):
    """
    A check does not apply here; the text says why.
    """


@dataclass(frozen=True)
class Outcome:
    """
    What came of one check.

    @ivar result: C{ok}, C{FAIL} or C{skip}.
    @ivar name: What is checked, as a statement that should be true.
    @ivar words: What was found, or why it was skipped.
    """

    result: str
    name: str
    words: str = ""


@dataclass
class Report:
    """
    The outcomes, in the order of the checks.

    @ivar stream: Where each line goes as it comes.
    @ivar asJSON: Whether lines are JSON objects.
    """

    stream: TextIO
    asJSON: bool = False
    outcomes: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """
        Note and print one.
        """
        self.outcomes.append(outcome)
        if self.asJSON:
            line = json.dumps(vars(outcome))
        else:
            line = f"{outcome.result:4} {outcome.name}"
            if outcome.words:
                line += f": {outcome.words}"
        print(line, file=self.stream, flush=True)

    def count(self, result: str) -> int:
        """
        How many came out so.
        """
        return sum(outcome.result == result for outcome in self.outcomes)

    def finish(self) -> int:
        """
        Print the sum.

        @return: The exit status: 0 where nothing failed and something was checked, else 1.
        """
        passed, failed, skipped = (self.count(result) for result in ("ok", "FAIL", "skip"))
        if not self.asJSON:
            sum_ = f"{passed} ok, {failed} failed, {skipped} skipped"
            print(sum_, file=self.stream, flush=True)
        return 0 if passed and not failed else 1
