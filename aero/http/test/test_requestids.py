"""
Tests for L{aero.http.requestids}.
"""

from __future__ import annotations

import random
import uuid

from twisted.trial.unittest import SynchronousTestCase

from ..requestids import RandomIds


class RandomIdsTests(SynchronousTestCase):
    """
    L{RandomIds}.
    """

    def test_uuids(self) -> None:
        """
        Each id is a UUID of version 4 in its usual spelling, and none comes twice, however
        often randomness is fetched.
        """
        ids = RandomIds(random.Random(4).randbytes)
        made = [ids() for _ in range(1_000)]
        self.assertEqual(len(set(made)), 1_000)
        for text in made:
            found = uuid.UUID(text)
            self.assertEqual((str(found), found.version), (text, 4))
            self.assertEqual(found.variant, uuid.RFC_4122)

    def test_random(self) -> None:
        """
        All bits but those of version and variant are random ones.
        """
        self.assertEqual(RandomIds(lambda size: b"\xff" * size)()[14:24], "4fff-bfff-")
        self.assertEqual(RandomIds(bytes)(), "00000000-0000-4000-8000-000000000000")
