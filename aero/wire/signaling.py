# -*- test-case-name: aero.wire.test.test_signaling -*-
"""
The messages of C{/webrtc/signal} and the bodies of the offer endpoints (relay.md sections 6.3
and 7).

One text frame is one JSON object. Reading is strict: unknown keys at any level, data behind the
object and fields that do not belong to the type are errors, whose text is fit for the peer.
What is written has exactly the keys of the grammar, because browsers' clients refuse others.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Mapping, Sequence

from aero.errors import DecodeError

_TYPES = ("auth", "offer", "answer", "candidate", "close", "error")
_KEYS = frozenset({"type", "sdp", "candidate", "apiKey", "token", "code", "message"})
_TEXTS = ("apiKey", "token", "code", "message")
_CANDIDATE_KEYS = frozenset({"candidate", "sdpMid", "sdpMLineIndex", "usernameFragment"})

#: What each type may hold besides its name.
_ALLOWED: Mapping[str, frozenset[str]] = {
    "auth": frozenset({"apiKey", "token"}),
    "offer": frozenset({"sdp"}),
    "answer": frozenset({"sdp"}),
    "candidate": frozenset({"candidate"}),
    "close": frozenset(),
    "error": frozenset({"code", "message"}),
}


class SignalError(DecodeError):
    """
    A message that does not follow the grammar. Its text is fit for the peer.
    """


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """
    An ICE candidate as browsers make it.

    @ivar candidate: C{candidate:...}; empty for the end of candidates.
    @ivar sdpMid: The section it belongs to, or C{None}.
    @ivar sdpMLineIndex: The number of that section, or C{None}.
    @ivar usernameFragment: The ICE generation it belongs to, or C{None}.
    """

    candidate: str
    sdpMid: str | None = None
    sdpMLineIndex: int | None = None
    usernameFragment: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignalMessage:
    """
    One message.

    @ivar type: C{auth}, C{offer}, C{answer}, C{candidate}, C{close} or C{error}.
    @ivar sdp: The session description of C{offer} and C{answer}.
    @ivar candidate: What C{candidate} carries.
    @ivar apiKey: A credential of C{auth}; both are the same where both are there.
    @ivar token: The other one.
    @ivar code: The machine-readable part of C{error}.
    @ivar message: Its sentence.
    """

    type: str
    sdp: str = ""
    candidate: Candidate | None = None
    apiKey: str = ""
    token: str = ""
    code: str = ""
    message: str = ""

    @property
    def credential(self) -> str:
        """
        The credential of C{auth}, as it was sent.
        """
        return self.apiKey or self.token

    def encode(self) -> str:
        """
        As JSON, with the keys of its type alone.
        """
        value: dict[str, Any] = {"type": self.type}
        if self.type in ("offer", "answer"):
            value["sdp"] = {"type": self.type, "sdp": self.sdp}
        if self.candidate is not None:
            value["candidate"] = {
                name: field
                for name, field in dataclasses.asdict(self.candidate).items()
                if field is not None
            }
        for name in _TEXTS:
            if getattr(self, name):
                value[name] = getattr(self, name)
        return json.dumps(value, separators=(",", ":"))


def parse(text: str) -> SignalMessage:
    """
    Read one message.

    @raise SignalError: It does not follow the grammar.
    """
    value = _object(_json(text), "message", _KEYS)
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise SignalError(f"unknown message type {_shown(kind)}")
    texts = {name: _text(value, name) for name in _TEXTS}
    sdp = _description(value["sdp"], kind) if value.get("sdp") is not None else ""
    raw = value.get("candidate")
    candidate = _candidate(raw) if raw is not None else None
    held = {name for name, field in texts.items() if field}
    if value.get("sdp") is not None:
        held.add("sdp")
    if candidate is not None:
        held.add("candidate")
    for name in sorted(held - _ALLOWED[kind]):
        raise SignalError(f"{kind} message must not have {name}")
    message = SignalMessage(type=kind, sdp=sdp, candidate=candidate, **texts)
    if kind == "auth":
        if not message.credential:
            raise SignalError("auth message needs apiKey or token")
        if message.apiKey and message.token and message.apiKey != message.token:
            raise SignalError("auth message has apiKey and token that differ")
    elif kind in ("offer", "answer") and "sdp" not in held:
        raise SignalError(f"{kind} message needs sdp")
    elif kind == "candidate" and candidate is None:
        raise SignalError("candidate message needs candidate")
    elif kind == "error" and not (message.code and message.message):
        raise SignalError("error message needs code and message")
    return message


def parseOfferBody(body: bytes) -> str:
    """
    Read the body of C{POST /webrtc/offer}: a description, bare or under C{sdp}.

    @return: The session description.
    @raise SignalError: It is neither; the text tells what is wrong.
    """
    value = _json(_decoded(body))
    if isinstance(value, dict) and "sdp" in value and not isinstance(value["sdp"], str):
        value = _object(value, "body", frozenset({"sdp"}))["sdp"]
    description = _object(value, "sdp", frozenset({"type", "sdp"}))
    kind, text = description.get("type"), description.get("sdp")
    if kind == "answer":
        raise SignalError('sdp.type must be "offer"')
    if kind != "offer":
        raise SignalError(f"unsupported sdp type {_shown(kind)}")
    if not isinstance(text, str) or not text:
        raise SignalError("sdp.sdp is missing")
    return text


def parseVersionedOffer(body: bytes) -> str:
    """
    Read the body of C{POST /offer}, which may hold anything besides.

    @return: The session description.
    @raise SignalError: C{unsupported protocol version}, or C{invalid offer}.
    """
    try:
        value, _ = _DECODER.raw_decode(_decoded(body).lstrip(" \t\r\n"))
    except (ValueError, RecursionError):
        raise SignalError("invalid offer") from None
    if not isinstance(value, dict):
        raise SignalError("invalid offer")
    version = value.get("version", 0)
    if type(version) is not int:
        raise SignalError("invalid offer")
    if version != 1:
        raise SignalError("unsupported protocol version")
    offer = value.get("offer")
    if not isinstance(offer, dict) or offer.get("type") != "offer":
        raise SignalError("invalid offer")
    text = offer.get("sdp")
    if not isinstance(text, str) or not text:
        raise SignalError("invalid offer")
    return text


def encodeVersionedAnswer(sdp: str) -> dict[str, Any]:
    """
    The body that C{POST /offer} answers with; clients refuse any other key.
    """
    return {"version": 1, "answer": {"type": "answer", "sdp": sdp}}


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise SignalError("expected JSON in UTF-8") from None


def _json(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise SignalError("expected one JSON object") from None


def _object(value: Any, what: str, keys: frozenset[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SignalError(f"{what} must be an object")
    for name in value:
        if name not in keys:
            raise SignalError(f"{what} has the unknown key {_shown(name)}")
    return value


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise SignalError(f"{name} must be a string")
    return text


def _description(value: Any, kind: str) -> str:
    description = _object(value, "sdp", frozenset({"type", "sdp"}))
    if kind not in ("offer", "answer"):
        return ""
    if description.get("type") != kind:
        raise SignalError(f'sdp.type must be "{kind}"')
    text = description.get("sdp", "")
    if not isinstance(text, str):
        raise SignalError("sdp.sdp must be a string")
    return text


def _candidate(value: Any) -> Candidate:
    fields = _object(value, "candidate", _CANDIDATE_KEYS)
    text = fields.get("candidate", "")
    if not isinstance(text, str):
        raise SignalError("candidate.candidate must be a string")
    index = fields.get("sdpMLineIndex")
    if index is not None and not (type(index) is int and 0 <= index <= 65_535):
        raise SignalError("candidate.sdpMLineIndex must be a number from 0 to 65535")
    mid, fragment = (fields.get(name) for name in ("sdpMid", "usernameFragment"))
    if not all(field is None or isinstance(field, str) for field in (mid, fragment)):
        raise SignalError("candidate.sdpMid and usernameFragment must be strings or null")
    return Candidate(candidate=text, sdpMid=mid, sdpMLineIndex=index, usernameFragment=fragment)


def _shown(value: Any) -> str:
    """
    A value from outside, short enough for a sentence.
    """
    text = value if isinstance(value, str) else type(value).__name__
    shown = json.dumps(text[:40])
    return shown if len(shown) <= 60 else shown[:56] + '..."'


__all__: Sequence[str] = (
    "Candidate",
    "SignalError",
    "SignalMessage",
    "encodeVersionedAnswer",
    "parse",
    "parseOfferBody",
    "parseVersionedOffer",
)
