# -*- test-case-name: aero.files.test.test_images -*-
"""
A header set other than the site's own, for the responses of some resources.
"""

from __future__ import annotations

from aero.policy.headers import ResponseHeaders


class HeaderSet:
    """
    The headers that a response has behind its own, in the forms they are sent in. Their names are
    those of the site's set, so that none is ever there twice.

    @ivar block: HTTP/1 lines.
    @ivar fields: HTTP/2 fields.
    """

    __slots__ = ("block", "fields")

    def __init__(self, headers: ResponseHeaders) -> None:
        self.block = b"".join(b"%b: %b\r\n" % pair for pair in headers.pairs)
        self.fields = [(name.lower(), value) for name, value in headers.pairs]
