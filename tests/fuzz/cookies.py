# -*- test-case-name: tests.test_fuzz -*-
"""
The session cookie among whatever else a browser sends.
"""

from __future__ import annotations

from aero.auth.cookies import MAX_VALUE_CHARACTERS, sessionCookie, setCookie

from .explore import main


# Any lines have a cookie or None, never an error. It is of bounded length, and a value that was
# found is found again when it is set; what is set is one line of ASCII.
def check(data: bytes) -> None:
    value = sessionCookie(data.split(b"\n"))
    if value is None:
        return
    assert 0 < len(value) <= MAX_VALUE_CHARACTERS
    line = setCookie(value, maxAge=60, sameSite="Lax", secure=True)
    assert line.isascii() and b"\r" not in line and b"\n" not in line
    assert line.count(b";") == 5
    pair = line.partition(b";")[0]
    if len(pair) <= MAX_VALUE_CHARACTERS:
        assert sessionCookie([pair]) == value


if __name__ == "__main__":
    main(check)
