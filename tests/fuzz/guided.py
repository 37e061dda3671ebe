# -*- test-case-name: tests.test_fuzz -*-
"""
Looking for inputs that break the promise of a target, led by which branches of C{aero} they
reach: C{python -m tests.fuzz.guided stackframe}. It needs Atheris, of the extra C{fuzz}.

Fewer inputs a second than L{tests.fuzz.explore}, but those that come to something new are kept
and changed further.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from .explore import CORPUS, STALL
from .mutate import MAX_BYTES


def main() -> None:
    """
    The command line. The process ends where libFuzzer ends it: with 0 after so many executions,
    and otherwise with what it found in the target's corpus.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided")
    parser.add_argument("target", choices=sorted(path.name for path in CORPUS.iterdir()))
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a directory for inputs that reach new branches")
    options = parser.parse_args()

    # Only someone who uses this module needs it.
    import atheris

    fuzzer: Any = atheris
    with fuzzer.instrument_imports(include=["aero"]):
        check = import_module(f"tests.fuzz.{options.target}").check

    kept = options.keep or Path(tempfile.mkdtemp(prefix="aero-fuzz-"))
    kept.mkdir(parents=True, exist_ok=True)
    corpus = CORPUS / options.target
    arguments = [
        sys.argv[0],
        f"-runs={options.executions}",
        f"-seed={options.seed}",
        f"-max_len={MAX_BYTES}",
        f"-timeout={STALL:.0f}",
        f"-artifact_prefix={corpus}/found-",
        "-use_value_profile=1",
        str(kept),
        str(corpus),
    ]
    fuzzer.Setup(arguments, check, internal_libfuzzer=True)
    fuzzer.Fuzz()


if __name__ == "__main__":
    main()
