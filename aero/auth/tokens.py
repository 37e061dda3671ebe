# -*- test-case-name: aero.auth.test.test_tokens -*-
"""
Session tokens: who a browser is, signed, with nothing to look up (gateway.md section 4).

A token is C{payload.signature}. The signature is over the encoded text and is checked before
anything in it is believed; the checks before it look at lengths and letters only.
"""

from __future__ import annotations

import dataclasses
import hmac
import math
from typing import Sequence

from aero.errors import DecodeError

from . import base64url, strictjson

MAX_PAYLOAD_CHARACTERS = 16_384
SIGNATURE_CHARACTERS = 43
MAX_TOKEN_CHARACTERS = MAX_PAYLOAD_CHARACTERS + 1 + SIGNATURE_CHARACTERS


@dataclasses.dataclass(frozen=True, slots=True)
class SessionToken:
    """
    What a valid token says.

    @ivar sid: The session.
    @ivar expires: When it ends, in seconds since 1970.
    """

    sid: str
    expires: float


def mintToken(secret: str, sid: str, expires: int) -> str:
    """
    Make a token.

    @raise ValueError: The secret or the session is empty, or the session is too long.
    """
    if not secret or not sid:
        raise ValueError("expected a secret and a session")
    payload = base64url.encode(strictjson.dump({"v": 1, "sid": sid, "exp": expires}))
    if len(payload) > MAX_PAYLOAD_CHARACTERS:
        raise ValueError("Session token payload too long")
    return f"{payload}.{base64url.encode(_sign(secret, payload))}"


def verifyToken(secrets: Sequence[str], token: str, now: float) -> SessionToken | None:
    """
    Check a token.

    @param secrets: The keys of which one has to have signed it. An empty one signs nothing.
    @param now: Seconds since 1970.
    @return: C{None} where it is not valid; why is nobody's business.
    """
    if len(token) > MAX_TOKEN_CHARACTERS:
        return None
    payload, dot, signature = token.partition(".")
    if not dot or not payload or not signature or "." in signature:
        return None
    if len(payload) > MAX_PAYLOAD_CHARACTERS or len(signature) != SIGNATURE_CHARACTERS:
        return None
    try:
        given = base64url.decode(signature)
        if not payload.isascii() or not _isSigned(secrets, payload, given):
            return None
        claims = strictjson.parseObject(base64url.decode(payload))
    except DecodeError:
        return None
    version, sid, expires = claims.get("v"), claims.get("sid"), _finite(claims.get("exp"))
    if isinstance(version, bool) or version != 1 or not sid or not strictjson.isText(sid):
        return None
    if expires is None or expires <= now:
        return None
    return SessionToken(sid, expires)


def _isSigned(secrets: Sequence[str], payload: str, given: bytes) -> bool:
    """
    Compare with the signatures of all keys, always all of them.
    """
    signed = False
    for secret in secrets:
        if secret:
            signed |= hmac.compare_digest(_sign(secret, payload), given)
    return signed


def _sign(secret: str, payload: str) -> bytes:
    return hmac.digest(secret.encode("utf-8"), payload.encode("ascii"), "sha256")


def _finite(value: object) -> float | None:
    """
    Read a number as other languages do, in which C{True} is none and C{1e400} is infinite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
