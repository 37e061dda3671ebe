"""
Tests for L{aero.dns.localnames}.
"""

from __future__ import annotations

import dns.message
from twisted.trial.unittest import SynchronousTestCase

from aero.dns.localnames import isLocal, localAnswer
from aero.wire.dns import RD, encodeName


class LocalNamesTests(SynchronousTestCase):
    """
    Tests for L{isLocal} and L{localAnswer}.
    """

    def test_isLocal(self) -> None:
        """
        C{localhost} and all names below it are local, names that only look like it are not.
        """
        for labels in ([b"localhost"], [b"a", b"localhost"], [b"a", b"b", b"localhost"]):
            self.assertTrue(isLocal(encodeName(labels)))
        for labels in (
            [],
            [b"localhost", b"example"],
            [b"notlocalhost"],
            [b"a.localhost"],
            [b"x\x09localhost"],
        ):
            self.assertFalse(isLocal(encodeName(labels)), labels)

    def test_answers(self) -> None:
        """
        The addresses are those of loopback; there is nothing else.
        """
        name = encodeName([b"a", b"localhost"])
        found = []
        for qtype in (1, 28, 16):
            message = dns.message.from_wire(localAnswer(name, qtype, RD).message)
            found.append([str(record) for rrset in message.answer for record in rrset])
            self.assertEqual(message.rcode(), 0)
        self.assertEqual(found, [["127.0.0.1"], ["::1"], []])
