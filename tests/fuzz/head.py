# -*- test-case-name: tests.test_fuzz -*-
"""
The head of an HTTP/1 request.
"""

from __future__ import annotations

from aero.errors import Refused
from aero.http.head import Head, parseHead, validHost, validName, validTarget, validValue

from .explore import main


# Any bytes are a head or a Refused with a status of 4xx or 5xx. A head that was read, written
# plainly, is read as the same head, so that nothing in it can end a line.
def check(data: bytes) -> None:
    try:
        head = parseHead(data, 50)
    except Refused as refused:
        assert 400 <= refused.status < 600
        return
    assert head.target == b"*" or head.target.startswith(b"/")
    assert validTarget(head.target)
    assert all(validName(name) and validValue(value) for name, value in head.headers)
    hosts = [value for name, value in head.headers if name.lower() == b"host"]
    assert len(hosts) == 1 or (not hosts and head.version == b"HTTP/1.0")
    assert all(map(validHost, hosts))
    assert head.length is None or head.length >= 0
    assert _reread(head) == head


def _reread(head: Head) -> Head:
    """
    A head that was taken has to be taken again.
    """
    lines = [b"%b %b %b" % (head.method, head.target, head.version)]
    lines += [b"%b: %b" % header for header in head.headers]
    try:
        return parseHead(b"\r\n".join(lines), 51)
    except Refused as refused:
        raise AssertionError("read once and not again") from refused


if __name__ == "__main__":
    main(check)
