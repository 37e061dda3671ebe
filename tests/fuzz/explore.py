# -*- test-case-name: tests.test_fuzz -*-
"""
Looking for inputs that break the promise of a target.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import zlib
from pathlib import Path
from typing import Callable, Iterator

from .mutate import Mutator

Check = Callable[[bytes], None]

CORPUS = Path(__file__).parent / "corpus"


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
    for data in known:
        check(data)
    found = search(check, known, options.executions, options.seed)
    if found is None:
        print(f"{name}: {options.executions} executions, nothing found")
        return
    path = CORPUS / name / f"found-{hashlib.sha256(found).hexdigest()[:12]}"
    path.write_bytes(found)
    print(f"{name}: {path} breaks the promise", file=sys.stderr)
    check(found)
