# -*- test-case-name: aero.metrics.test.test_whole -*-
"""
Whole numbers in the text format.

C{prometheus_client} writes every number as Go writes a float: C{1.0}, and C{1e+06} from a million
on. The reference services write counters as whole numbers, and some of what reads them takes
nothing else (l2.md section 15).
"""

from __future__ import annotations

import re

#: The value of a sample that may be a whole number in disguise, at the end of its line.
_VALUE = re.compile(rb"^([^#\n].* )([0-9]+)(?:\.([0-9]+))?(?:e\+([0-9]{2}))?$", re.MULTILINE)
#: The bound of a bucket.
_BOUND = re.compile(rb'(?<=le=")([0-9]+)\.0(?=")')


def wholeNumbers(page: bytes) -> bytes:
    """
    Write the whole numbers of an exposition as such; all others stay as they are.
    """
    return _VALUE.sub(_whole, _BOUND.sub(rb"\1", page))


def _whole(match: re.Match[bytes]) -> bytes:
    digits, fraction, exponent = match[2], match[3] or b"", int(match[4] or b"0")
    fraction = fraction.rstrip(b"0")
    if len(fraction) > exponent:
        return match[0]
    number = digits + fraction.ljust(exponent, b"0")
    return match[1] + (number.lstrip(b"0") or b"0")
