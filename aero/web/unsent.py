# -*- test-case-name: aero.web.test.test_channel -*-
"""
How much of what was written still waits in this process.

Twisted says when a transport's buffer is full and when it is empty, which is not enough to
tell a slow client from one that takes nothing.
"""

from __future__ import annotations

from typing import Any


def unsentBytes(transport: Any) -> int:
    """
    The bytes that a transport, or the TCP transport under a TLS one, has not yet given to the
    system; 0 where that is not known.
    """
    below = getattr(transport, "transport", None)
    while below is not None:
        transport, below = below, getattr(below, "transport", None)
    waiting = getattr(transport, "_tempDataLen", 0)
    return (
        len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0) + int(waiting)
    )
