# -*- test-case-name: aero.auth.test.test_relaymodes -*-
"""
How clients of the relay prove themselves: not at all, with a key, or with a token (relay.md
section 4).

A credential comes in a header or in the query string; on a WebSocket whose request had none,
in the first message (L{aero.auth.firstmessage}). Only the first place that has one counts: a
wrong credential there is not made good by a right one elsewhere.

To add a way, extend L{RelayAuth}; the composition root makes it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Callable, ClassVar, Sequence
from urllib.parse import unquote_to_bytes

from .jwt import verifyRelayToken

#: Gives the lines of a header, unmerged.
HeaderLines = Callable[[bytes], Sequence[bytes]]

#: The most parameters of a query string that are looked at.
_MAX_PARAMETERS = 64


@dataclass(frozen=True, slots=True)
class Admitted:
    """
    Who may have a relay session.

    @ivar key: Sessions with the same key exclude each other; C{None} excludes none.
    @ivar credential: What admitted it, for the backend that L2 is forwarded to; C{None} where
        none was asked for.
    """

    key: str | None = None
    credential: str | None = None


class RelayAuth:
    """
    The mode C{none}: everybody is admitted, whatever they show. Extend it.

    @cvar name: The mode's name.
    @cvar needsCredential: Whether a client has to show something.
    """

    name: ClassVar[str] = "none"
    needsCredential: ClassVar[bool] = False
    _headers: ClassVar[tuple[str, ...]] = ()
    _parameters: ClassVar[tuple[str, ...]] = ()

    def carried(self, lines: HeaderLines, query: str) -> str | None:
        """
        The credential that a request shows.

        @param lines: The header lines of the request.
        @param query: Its query string, still percent-encoded.
        @return: C{None} where it shows none.
        """
        for header in self._headers:
            found = _fromAPIKey(lines) if header == "key" else _fromAuthorization(lines)
            if found:
                return found
        given = _parameters(query) if query and self._parameters else {}
        for name in self._parameters:
            if given.get(name):
                return given[name]
        return None

    def admit(self, credential: str | None, now: float) -> Admitted | None:
        """
        Decide about a credential.

        @param credential: C{None} where none was shown.
        @param now: Seconds since 1970.
        @return: C{None} where it is not good.
        """
        return Admitted()


class KeyAuth(RelayAuth):
    """
    The mode C{api_key}: everybody with the one key.
    """

    name = "api_key"
    needsCredential = True
    _headers = ("key", "authorization")
    _parameters = ("apiKey", "token")

    def __init__(self, key: str) -> None:
        """
        @param key: Not empty, or nobody is admitted.
        """
        self._key = key.encode("utf-8", "surrogateescape")

    def admit(self, credential: str | None, now: float) -> Admitted | None:
        """
        Compare in constant time.
        """
        if not credential or not self._key:
            return None
        given = credential.encode("utf-8", "surrogateescape")
        return Admitted(None, credential) if hmac.compare_digest(given, self._key) else None


class TokenAuth(RelayAuth):
    """
    The mode C{jwt}: everybody with a token that was signed with the secret. The token's C{sid}
    is the key of the session.
    """

    name = "jwt"
    needsCredential = True
    _headers = ("authorization", "key")
    _parameters = ("token", "apiKey")

    def __init__(self, secrets: Sequence[str], *, audience: str = "", issuer: str = "") -> None:
        """
        @param secrets: The one that tokens are signed with, and older ones that are still
            accepted.
        @param audience: What C{aud} has to be where a token has one; empty accepts any.
        @param issuer: The same for C{iss}.
        """
        self._secrets = tuple(secrets)
        self._audience = audience
        self._issuer = issuer

    def admit(self, credential: str | None, now: float) -> Admitted | None:
        """
        Verify; there is no leeway.
        """
        if not credential:
            return None
        for secret in self._secrets:
            token = verifyRelayToken(secret, credential, now)
            if token is None:
                continue
            if self._audience and token.audience is not None and not token.isFor(self._audience):
                return None
            if self._issuer and token.issuer not in (None, self._issuer):
                return None
            return Admitted(token.sid, credential)
        return None


def _fromAPIKey(lines: HeaderLines) -> str:
    return _text(lines(b"X-API-Key"))


def _fromAuthorization(lines: HeaderLines) -> str:
    """
    The value of C{Authorization: Bearer} or C{ApiKey}; any other scheme is no credential.
    """
    scheme, _, value = _text(lines(b"Authorization")).partition(" ")
    return value.strip() if scheme.lower() in ("bearer", "apikey") else ""


def _text(lines: Sequence[bytes]) -> str:
    """
    The first line of a header.
    """
    return lines[0].decode("utf-8", "surrogateescape").strip() if lines else ""


def _parameters(query: str) -> dict[str, str]:
    """
    The parameters of a query string; of repeated ones the first counts. Values are not trimmed.
    A parameter that is not percent-encoded as it should be counts as it is written.
    """
    found: dict[str, str] = {}
    for part in query.split("&", _MAX_PARAMETERS)[:_MAX_PARAMETERS]:
        name, _, value = part.partition("=")
        found.setdefault(_decoded(name), _decoded(value))
    return found


def _decoded(text: str) -> str:
    raw = unquote_to_bytes(text.replace("+", " ").encode("latin-1", "replace"))
    return raw.decode("utf-8", "surrogateescape")
