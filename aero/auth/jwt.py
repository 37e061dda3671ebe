# -*- test-case-name: aero.auth.test.test_jwt -*-
"""
Relay tokens: JSON Web Tokens that admit a session to the UDP relay (gateway.md section 6.2).

PyJWT signs and compares. Around it stands what it leaves open: one spelling for each token, whole
numbers only, lengths, and the time as an argument. Nothing but HS256 is registered with
it, so no header can choose another algorithm.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from jwt import PyJWS
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import PyJWTError

from aero.errors import DecodeError

from . import base64url, strictjson

MAX_HEADER_CHARACTERS = 4_096
MAX_PAYLOAD_CHARACTERS = 16_384
SIGNATURE_CHARACTERS = 43
MAX_TOKEN_CHARACTERS = MAX_HEADER_CHARACTERS + MAX_PAYLOAD_CHARACTERS + SIGNATURE_CHARACTERS + 2

_ALGORITHM = "HS256"


class _HS256(HMACAlgorithm):
    """
    HS256 with the operator's secret as it is. PyJWT would warn of short ones and look for
    certificates in them with every token; a secret is judged once, when the process starts.
    """

    def __init__(self) -> None:
        super().__init__(HMACAlgorithm.SHA256)

    def prepare_key(self, key: str | bytes) -> bytes:
        return key.encode("utf-8") if isinstance(key, str) else key

    def check_key_length(self, key: bytes) -> str | None:
        return None


def _signer() -> PyJWS:
    signer = PyJWS(algorithms=[])
    signer.register_algorithm(_ALGORITHM, _HS256())
    return signer


_SIGNER = _signer()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RelayToken:
    """
    What a relay token says.

    @ivar sid: The session, never empty.
    @ivar issued: When it was made, in whole seconds since 1970.
    @ivar expires: When it ends, likewise.
    @ivar origin: The origin it was made for; C{None} where it does not say.
    @ivar audience: Whom it is for: one name or several; C{None} where it does not say.
    @ivar issuer: Who made it; C{None} where it does not say.
    """

    sid: str
    issued: int
    expires: int
    origin: str | None = None
    audience: str | tuple[str, ...] | None = None
    issuer: str | None = None

    def isFor(self, audience: str) -> bool:
        """
        Whether the token is for somebody (RFC 7519 section 4.1.3).
        """
        told = self.audience
        return audience == told if isinstance(told, str) else audience in (told or ())


def mintRelayToken(
    secret: str,
    sid: str,
    *,
    now: float,
    ttl: int,
    origin: str | None = None,
    audience: str | None = None,
    issuer: str | None = None,
) -> tuple[str, RelayToken]:
    """
    Make a relay token.

    @param now: Seconds since 1970.
    @param ttl: Seconds that it is valid.
    @param origin: The normalised origin of the request; like the two after it, left out where
        it is empty.
    @return: The token, and what it says.
    @raise ValueError: The secret or the session is empty, or the token would be too long.
    """
    if not secret or not sid:
        raise ValueError("expected a secret and a session")
    issued = int(now)
    claims: dict[str, Any] = {"iat": issued, "exp": issued + ttl, "sid": sid}
    optional = {"origin": origin or None, "aud": audience or None, "iss": issuer or None}
    claims.update((name, value) for name, value in optional.items() if value is not None)
    token = _SIGNER.encode(strictjson.dump(claims), secret, _ALGORITHM)
    if len(token.split(".")[1]) > MAX_PAYLOAD_CHARACTERS:
        raise ValueError("JWT payload too long")
    return token, RelayToken(
        sid=sid,
        issued=issued,
        expires=issued + ttl,
        origin=optional["origin"],
        audience=optional["aud"],
        issuer=optional["iss"],
    )


def verifyRelayToken(secret: str, token: str, now: float) -> RelayToken | None:
    """
    Check a relay token.

    @param now: Seconds since 1970. There is no leeway.
    @return: C{None} where it is not valid. Whether origin, audience and issuer are the right
        ones is for the caller to say.
    """
    if not secret or not _isWellFormed(token):
        return None
    header, payload, _ = token.split(".")
    try:
        fields = strictjson.parseObject(base64url.decode(header))
        if fields.get("alg") != _ALGORITHM or not isinstance(fields.get("typ", ""), str):
            return None
        _SIGNER.decode(token, secret, algorithms=[_ALGORITHM])
        claims = strictjson.parseObject(base64url.decode(payload))
    except (DecodeError, PyJWTError):
        return None
    return _read(claims, int(now))


def _isWellFormed(token: str) -> bool:
    """
    Check lengths and letters, before anything is parsed.
    """
    parts = token.split(".", 3) if len(token) <= MAX_TOKEN_CHARACTERS else []
    return (
        len(parts) == 3
        and 0 < len(parts[0]) <= MAX_HEADER_CHARACTERS
        and 0 < len(parts[1]) <= MAX_PAYLOAD_CHARACTERS
        and len(parts[2]) == SIGNATURE_CHARACTERS
        and all(map(_isCanonical, parts))
    )


def _isCanonical(part: str) -> bool:
    try:
        base64url.decode(part)
    except DecodeError:
        return False
    return True


def _read(claims: dict[str, Any], now: int) -> RelayToken | None:
    sid, audience = claims.get("sid"), claims.get("aud")
    issued, expires = _date(claims.get("iat")), _date(claims.get("exp"))
    notBefore = _date(claims.get("nbf", now))
    if not sid or not strictjson.isText(sid):
        return None
    if issued is None or expires is None or notBefore is None:
        return None
    for name in ("origin", "iss"):
        if name in claims and not strictjson.isText(claims[name]):
            return None
    if isinstance(audience, list):
        audience = tuple(audience)
    if "aud" in claims and not _isAudience(audience):
        return None
    if now >= expires or now < notBefore:
        return None
    return RelayToken(
        sid=sid,
        issued=issued,
        expires=expires,
        origin=claims.get("origin"),
        audience=audience,
        issuer=claims.get("iss"),
    )


def _date(value: object) -> int | None:
    """
    Read a NumericDate (RFC 7519 section 2).

    @param value: What the JSON says. A whole number of seconds may be written with a fraction of
        zero or an exponent, as in C{1700000000.0}. It has at most 64 bits, which other languages
        require.
    @return: C{None} where it is none. A part of a second is refused, as the gateway specification
        has it (gateway.md section 6.2).
    """
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def _isAudience(value: object) -> bool:
    """
    Whether a value is one name, or an array of names (RFC 7519 section 4.1.3).
    """
    return strictjson.isText(value) or (
        isinstance(value, tuple) and all(map(strictjson.isText, value))
    )
