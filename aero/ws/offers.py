# -*- test-case-name: aero.ws.test.test_mux -*-
"""
The subprotocols that a client offers.
"""

from __future__ import annotations

from typing import Sequence

from aero.errors import Refused
from aero.wire.fieldlist import elements

_MAX_OFFER_BYTES, _MAX_OFFERS = 4_096, 32
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def offeredProtocols(lines: Sequence[bytes]) -> list[str]:
    """
    Read C{Sec-WebSocket-Protocol} (section 13.1).

    @param lines: Its lines, unmerged.
    @return: The names offered; none where the header is absent or empty.
    @raise Refused: It is too long, or not a list of tokens.
    """
    if sum(map(len, lines)) > _MAX_OFFER_BYTES:
        names = None
    else:
        names = [name.decode("latin-1") for name in elements(lines)]
    if names is None or len(names) > _MAX_OFFERS or not all(map(_TOKEN.issuperset, names)):
        raise Refused(
            400, "bad_request", "Invalid Sec-WebSocket-Protocol header", reason="subprotocol"
        )
    return names
