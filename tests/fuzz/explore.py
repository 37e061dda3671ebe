# -*- test-case-name: tests.test_fuzz -*-
"""
Looking for inputs that break the promise of a target.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import signal
import sys
import time
import zlib
from pathlib import Path
from types import FrameType
from typing import Callable, Final, Iterator

from .mutate import Mutator

Check = Callable[[bytes], None]

CORPUS = Path(__file__).parent / "corpus"

#: Seconds of processor time after which one input is a stall.
STALL: Final = 10.0

#: Executions between two lines about how far it is.
_REPORT: Final = 1_000_000


class Stalled(Exception):
    """
    An input took too much of the processor's time.
    """


@contextlib.contextmanager
def watched(check: Check, seconds: float = STALL) -> Iterator[Check]:
    """
    The same check, interrupted with L{Stalled} where one input takes too long.

    @param seconds: Of processor time of this process, so that a busy machine is no stall.
    """

    def expired(number: int, frame: FrameType | None) -> None:
        raise Stalled(f"an input took more than {seconds} s")

    def bounded(data: bytes) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        check(data)

    before = signal.signal(signal.SIGVTALRM, expired)
    try:
        yield bounded
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def examples(name: str) -> list[tuple[str, bytes]]:
    """
    The files of a target's corpus, by name.
    """
    return [(path.name, path.read_bytes()) for path in sorted((CORPUS / name).iterdir())]


def search(check: Check, known: list[bytes], executions: int, seed: int) -> bytes | None:
    """
    Try so many inputs.

    @return: The first that the target does not like, or C{None}.
    """
    mutator = Mutator(seed, known)
    for _ in range(executions):
        data = mutator.next()
        try:
            check(data)
        except Exception:  # noqa: BLE001 - whatever it raises is what is looked for
            return data
    return None


def pieces(data: bytes) -> Iterator[list[bytes]]:
    """
    Ways to cut data into what reads may give: byte by byte (if it is short), and in pieces of
    sizes that look random but depend on nothing but the data.
    """
    if len(data) <= 512:
        yield [data[place : place + 1] for place in range(len(data))]
    state = zlib.crc32(data)
    cut: list[bytes] = []
    place = 0
    while place < len(data):
        state = (state * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        size = 1 + (state >> 16) % (7 if state & 0x8000 else 97)
        cut.append(data[place : place + size])
        place += size
    yield cut


def main(check: Check) -> None:
    """
    The command line of the module that a target is in.
    """
    name = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(prog=f"python -m tests.fuzz.{name}")
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    known = [data for _, data in examples(name)]
    began = time.process_time()
    with watched(check) as bounded:
        for data in known:
            bounded(data)
        found, rounds = None, range(0, options.executions, _REPORT)
        for number, done in enumerate(rounds):
            executions = min(_REPORT, options.executions - done)
            # Every round has a seed of its own, so that one can be run again alone.
            found = search(bounded, known, executions, options.seed + number)
            spent = time.process_time() - began
            print(f"{name}: {done + executions:,} executions, {spent:,.0f} s", flush=True)
            if found is not None:
                break
        else:
            print(f"{name}: {options.executions:,} executions, nothing found")
            return
        path = keep(name, found)
        print(f"{name}: {path} breaks the promise", file=sys.stderr)
        bounded(found)


def keep(name: str, found: bytes) -> Path:
    """
    Put an input into a target's corpus, where CI tries it from now on.
    """
    path = CORPUS / name / f"found-{hashlib.sha256(found).hexdigest()[:12]}"
    path.write_bytes(found)
    return path
