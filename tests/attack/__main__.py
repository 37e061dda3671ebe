"""
Attack a server with one flood after another, and measure what a neighbour notices.

Run by hand from the source tree::

    python -m tests.attack [--only NAME ...] [--seconds 8] [--repeat 1] [--settle 60]
        [--save FILE]       keep the results in a file
        [--markdown]        print the table of docs/security.md as well
        [--before FILE]     with the results of an earlier version before these

Each flood has a server of its own with the defaults of a public domain, attackers in processes of
their own, and a neighbour at another address. Everything is on loopback. The exit status is 1 when
a flood misses an aim: 50 ms for the neighbour's 95th percentile, every request answered, memory back
to within 10 % of what it was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .floods import FLOODS
from .kept import load, save
from .rig import Result, run
from .table import markdown, text, verdict


def typical(results: list[Result]) -> Result:
    """
    The run in the middle, by the neighbour's 95th percentile.
    """
    return sorted(results, key=lambda result: result.attacked.p95)[len(results) // 2]


def main(arguments: list[str]) -> int:
    """
    Run the floods.

    @return: The exit status.
    """
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m tests.attack", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--only", action="append", choices=sorted(FLOODS), metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each flood")
    parser.add_argument("--repeat", type=int, default=1, help="runs; the one in the middle counts")
    parser.add_argument("--settle", type=float, default=60.0, help="seconds for the memory")
    parser.add_argument("--save", type=Path, metavar="FILE")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--before", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{flood.name:16} {flood.title}" for flood in FLOODS.values()))
        return 0
    earlier = load(options.before) if options.before else {}
    results: list[Result] = []
    for name in options.only or FLOODS:
        flood = FLOODS[name]
        runs = [run(flood, options.seconds, options.settle) for _ in range(options.repeat)]
        results.append(typical(runs))
        found = ", ".join(verdict(results[-1])) or "good"
        print(f"{name}: {found}", file=sys.stderr, flush=True)
        if options.save:
            save(options.save, results)
    print(text(results))
    if options.markdown or options.before:
        print("\n" + markdown(results, earlier))
    return 1 if any(map(verdict, results)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
