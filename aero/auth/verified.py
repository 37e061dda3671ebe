# -*- test-case-name: aero.auth.test.test_verified -*-
"""
Session tokens that were verified lately.

A browser sends the same cookie with every request, and checking its signature takes longer
than answering a name from the cache. What is remembered is that a token was signed by us and
what it says; whether it has ended is looked at each time.
"""

from __future__ import annotations

from typing import Sequence

from .tokens import SessionToken, verifyToken

#: The longest token that is remembered. Ours have about 150 characters.
MAX_REMEMBERED_CHARACTERS = 512


class VerifiedTokens:
    """
    Verifies tokens as L{verifyToken} does, and remembers those that were valid. Others are not
    remembered, so strangers can fill no memory and push nothing out.
    """

    def __init__(self, secrets: Sequence[str], maxEntries: int = 4_096) -> None:
        """
        @param secrets: The keys of which one has to have signed a token.
        @param maxEntries: The most tokens that are remembered; beyond it the one that was
            remembered first is forgotten.
        """
        self._secrets = tuple(secrets)
        self._maxEntries = maxEntries
        # A look-up compares hashes that are keyed anew in each process before it compares
        # letters, so its duration tells nothing about the tokens that are in here.
        self._valid: dict[str, SessionToken] = {}

    def __len__(self) -> int:
        return len(self._valid)

    def verify(self, token: str, now: float) -> SessionToken | None:
        """
        Check a token.

        @param now: Seconds since 1970.
        @return: C{None} where it is not valid.
        """
        found = self._valid.get(token)
        if found is not None:
            if found.expires > now:
                return found
            del self._valid[token]
            return None
        found = verifyToken(self._secrets, token, now)
        if found is not None and len(token) <= MAX_REMEMBERED_CHARACTERS:
            if len(self._valid) >= self._maxEntries:
                del self._valid[next(iter(self._valid))]
            self._valid[token] = found
        return found
