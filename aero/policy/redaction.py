# -*- test-case-name: aero.policy.test.test_redaction -*-
"""
What is written to the log of an L2 backend: its address, and what went wrong, without anything
that would let a reader in (relay.md section 13.8).
"""

from __future__ import annotations

import re
from typing import Iterable
from urllib.parse import quote, quote_plus

REDACTED = "<redacted>"

_END = r"[^&\s\"'><)\]};,]*"
_NAMED = re.compile(rf"(token=|apiKey=|aero_session=|aero-l2-token\.){_END}")
_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s\"'@?#]*@")


def redactURL(url: str) -> str:
    """
    A URL without user, query and fragment, also where it is none.
    """
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, separator, rest = bare.partition("://")
    if not separator:
        return bare.rpartition("@")[2]
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def redact(text: str, secrets: Iterable[str | None] = ()) -> str:
    """
    A text without secrets: those that are known, as they are and as a query string has them, and
    whatever follows the names that secrets have.
    """
    for secret in secrets:
        if not secret:
            continue
        for spelling in {secret, quote(secret, safe=""), quote_plus(secret)}:
            text = text.replace(spelling, REDACTED)
    text = _USER.sub(r"\1", text)
    return _NAMED.sub(lambda found: found[1] + REDACTED, text)
