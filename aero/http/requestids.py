# -*- test-case-name: aero.http.test.test_requestids -*-
"""
Ids for requests that bring none (gateway.md section 3.4).
"""

from __future__ import annotations

import os
from typing import Callable, Final

#: Random bytes in one id, and those that are fetched at once: asking the system costs as much
#: as fifty ids.
_ID_BYTES: Final = 16
_FETCHED_BYTES: Final = 256 * _ID_BYTES


class RandomIds:
    """
    Random UUIDs (RFC 9562 section 5.4), one for each call.
    """

    def __init__(self, randomness: Callable[[int], bytes] = os.urandom) -> None:
        """
        @param randomness: Gives so many random bytes.
        """
        self._randomness = randomness
        self._fetched = ""

    def __call__(self) -> str:
        """
        A new id.
        """
        if not self._fetched:
            self._fetched = self._randomness(_FETCHED_BYTES).hex()
        text, self._fetched = self._fetched[:32], self._fetched[32:]
        variant = "89ab"[int(text[16], 16) & 3]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
