"""
The processes of the bench: C{python -m tests.attack.process ROLE ...}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from typing import Any

from tests.support.server import ROOT

from . import neighbour, targets
from .floods import FLOODS
from .site import Site


class Child:
    """
    A process that tells one thing in JSON.

    @ivar process: The process.
    """

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.attack.process", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def line(self) -> Any:
        """
        The next line.

        @raise AssertionError: The process has ended without one.
        """
        assert self.process.stdout
        text = self.process.stdout.readline()
        if not text:
            raise AssertionError(f"{self.process.args!r} ended with {self.process.wait(5)}")
        return json.loads(text)

    def say(self, text: str) -> None:
        """
        Write a line to its standard input.
        """
        assert self.process.stdin
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def hangUp(self) -> None:
        """
        End its standard input, which ends targets and neighbours.
        """
        assert self.process.stdin
        if not self.process.stdin.closed:
            self.process.stdin.close()

    def stop(self) -> None:
        """
        End it.
        """
        self.hangUp()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


def attack(name: str, site: Site, seconds: float) -> None:
    """
    Run one flood as soon as there is a line on standard input, and write what came of it.
    """
    print(json.dumps("ready"), flush=True)
    if not sys.stdin.readline():
        return
    tally: Counter[str] = Counter()
    FLOODS[name].attack(site, time.monotonic() + seconds, tally)
    print(json.dumps(tally), flush=True)


def main(role: str, *arguments: str) -> None:
    """
    Be one of them.
    """
    if role == "attack" or arguments[0] == "floods":
        # The machine's processors belong to the server and the neighbour first.
        os.nice(5)
    if role == "targets":
        targets.main(arguments[0])
    elif role == "neighbour":
        neighbour.main(Site.fromJSON(arguments[0]), hasGuest=arguments[1] == "guest")
    else:
        attack(arguments[0], Site.fromJSON(arguments[1]), float(arguments[2]))


if __name__ == "__main__":
    main(*sys.argv[1:])
