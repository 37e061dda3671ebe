# -*- test-case-name: tests.test_fuzz -*-
"""
What proxies say about their clients.
"""

from __future__ import annotations

import ipaddress

from aero.errors import DecodeError
from aero.wire.proxyprotocol import MAX_V1, MAX_V2, parseProxyHeader

from .explore import main


# Any bytes are a header within them, not enough of one, or a DecodeError, and never not enough
# beyond the longest header. What is found does not depend on what follows it, and every shorter
# piece is not enough.
def check(data: bytes) -> None:
    try:
        found = parseProxyHeader(data)
    except DecodeError:
        return
    if found is None:
        assert len(data) < max(MAX_V1, MAX_V2)
        return
    assert 0 < found.size <= len(data)
    assert parseProxyHeader(data[: found.size]) == found
    assert parseProxyHeader(data[: found.size] + b"PROXY \r\n") == found
    assert parseProxyHeader(data[: found.size - 1]) is None
    for end in (found.source, found.destination):
        if end is not None:
            assert str(ipaddress.ip_address(end[0])) == end[0]
            assert 0 <= end[1] <= 65_535


if __name__ == "__main__":
    main(check)
