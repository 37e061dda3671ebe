# -*- test-case-name: aero.auth.test.test_turnrest -*-
"""
Short-lived credentials for TURN servers that share a secret with this one (relay.md section 8.2;
draft-uberti-behave-turn-rest). coturn calls it C{use-auth-secret}.
"""

from __future__ import annotations

import base64
import hmac
import os
from typing import Callable, NamedTuple


class TurnCredential(NamedTuple):
    """
    What one client is given.

    @ivar username: C{expiry:prefix:id}.
    @ivar password: Base64 of the HMAC-SHA1 of that.
    """

    username: str
    password: str


class TurnSecret:
    """
    Makes credentials.
    """

    def __init__(
        self,
        secret: str,
        *,
        ttl: int,
        prefix: str = "aero",
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """
        @param secret: What the TURN servers know too.
        @param ttl: Seconds that a credential is valid.
        @param prefix: What user names have in the middle.
        @param randomness: Gives so many bytes that nobody can guess.
        """
        self._secret = secret.encode("utf-8")
        self._ttl = ttl
        self._prefix = prefix
        self._randomness = randomness

    def issue(self, now: float, ident: str | None = None) -> TurnCredential:
        """
        Make the credential of one client.

        @param now: Seconds since 1970.
        @param ident: What to tell clients apart by; 32 random hexadecimal digits by default.
        @raise ValueError: It would never be valid, or could not be read.
        """
        name = self._randomness(16).hex() if ident is None else ident
        if not self._secret or self._ttl <= 0:
            raise ValueError("expected a secret and a time to live above zero")
        if not self._prefix or ":" in self._prefix or ":" in name:
            raise ValueError("expected a prefix, and no colon in it")
        username = f"{int(now) + self._ttl}:{self._prefix}:{name}"
        digest = hmac.new(self._secret, username.encode("utf-8"), "sha1").digest()
        return TurnCredential(username, base64.b64encode(digest).decode("ascii"))
