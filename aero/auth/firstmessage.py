# -*- test-case-name: aero.auth.test.test_firstmessage -*-
"""
The first message of a C{/udp} WebSocket whose request showed no credential (relay.md sections
4.3 and 12.3)::

    {"type": "auth", "token": "..."}   or   {"type": "auth", "apiKey": "..."}

The reading is lenient, as the clients need it: other keys may be there, and both credentials
may as long as they are equal. C{/webrtc/signal} has a stricter grammar of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from aero.errors import DecodeError

from . import strictjson

#: Close codes (RFC 6455 section 7.4.1).
_POLICY_VIOLATION = 1008
_UNSUPPORTED_DATA = 1003


@dataclass(frozen=True, slots=True)
class FirstMessage:
    """
    What a first message says.

    @ivar credential: The credential; C{None} where it has none that can be used.
    @ivar code: In that case the code of the error, C{unauthorized} or C{bad_message}.
    @ivar message: The text of the error, which is the reason of the close as well.
    @ivar closeCode: How to close.
    """

    credential: str | None
    code: str = ""
    message: str = ""
    closeCode: int = _POLICY_VIOLATION


_REQUIRED = FirstMessage(None, "unauthorized", "authentication required")
_MISSING = FirstMessage(None, "unauthorized", "missing credentials")
_DIFFERENT = FirstMessage(None, "bad_message", "invalid auth message")
_NO_TEXT = FirstMessage(None, "bad_message", "invalid auth message", _UNSUPPORTED_DATA)


def parseFirstMessage(payload: bytes) -> FirstMessage:
    """
    Read a first message.

    @param payload: The text message, of a bounded length.
    """
    try:
        value = strictjson.parseObject(payload)
    except DecodeError:
        return _REQUIRED
    if value.get("type") != "auth":
        return _REQUIRED
    credentials: list[str] = []
    for name in ("apiKey", "token"):
        credential = value.get(name)
        if credential is None:
            continue
        if not strictjson.isText(credential):
            return _NO_TEXT
        if credential:
            credentials.append(credential)
    if not credentials:
        return _MISSING
    if credentials[0] != credentials[-1]:
        return _DIFFERENT
    return FirstMessage(credentials[0])


def isAuthMessage(payload: bytes) -> bool:
    """
    Whether a later text message only repeats the credential, which clients may do.
    """
    try:
        return strictjson.parseObject(payload).get("type") == "auth"
    except DecodeError:
        return False
