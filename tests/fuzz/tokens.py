# -*- test-case-name: tests.test_fuzz -*-
"""
Session tokens and relay tokens.
"""

from __future__ import annotations

import hmac
import math

from aero.auth import base64url
from aero.auth.jwt import mintRelayToken, verifyRelayToken
from aero.auth.tokens import mintToken, verifyToken

from .explore import main

_SECRET = "corpus-secret"
_NOW = 1_700_000_000.0
_HEADER = base64url.encode(b'{"alg":"HS256","typ":"JWT"}')


# Any text is a valid token or None, never an error. That goes for claims that are signed as
# well, whatever is in them; what is valid has a session and an end to come, and can be minted.
def check(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    _session(text)
    _relay(text)
    claims = base64url.encode(data)
    _session(_signed(claims))
    _relay(_signed(f"{_HEADER}.{claims}"))
    # The claims of the examples, under a header that a stranger wrote.
    header, line, rest = data.partition(b"\n")
    if line:
        _relay(_signed(f"{base64url.encode(header)}.{base64url.encode(rest)}"))


def _signed(text: str) -> str:
    signature = hmac.digest(_SECRET.encode(), text.encode(), "sha256")
    return f"{text}.{base64url.encode(signature)}"


def _session(text: str) -> None:
    token = verifyToken(["", _SECRET], text, _NOW)
    if token is None:
        return
    assert token.sid and token.expires > _NOW and math.isfinite(token.expires)
    assert verifyToken([_SECRET + "x"], text, _NOW) is None
    assert verifyToken([_SECRET], text, token.expires) is None
    again = verifyToken([_SECRET], mintToken(_SECRET, token.sid, math.ceil(token.expires)), _NOW)
    assert again is not None and again.sid == token.sid


def _relay(text: str) -> None:
    token = verifyRelayToken(_SECRET, text, _NOW)
    if token is None:
        return
    assert token.sid and token.expires > _NOW
    assert verifyRelayToken(_SECRET + "x", text, _NOW) is None
    assert verifyRelayToken(_SECRET, text, token.expires) is None
    minted, _ = mintRelayToken(_SECRET, token.sid, now=_NOW, ttl=60, origin=token.origin)
    again = verifyRelayToken(_SECRET, minted, _NOW)
    assert again is not None and again.sid == token.sid


if __name__ == "__main__":
    main(check)
