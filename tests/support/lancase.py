"""
Tests with guests on the LAN behind C{/l2}.
"""

from __future__ import annotations

from typing import Any

import dns.message

from .l2case import L2Case
from .server import Aero
from .station import Station
from .targets import Behaviour, Target

#: What guests dial; where it leads is a setting of each test.
PLACE = "203.0.113.10"


class LANCase(L2Case):
    """
    Guests that end with their test.
    """

    def station(self, server: Aero, lease: bool = True, **handshake: Any) -> Station:
        """
        A guest on a tunnel of its own.

        @param lease: Whether it has an address already.
        @param handshake: What its tunnel is opened with.
        """
        guest = Station(server, **handshake)
        self.addCleanup(guest.leave)
        if lease:
            guest.lease()
        return guest

    def target(self, behaviour: Behaviour) -> int:
        """
        The port of a TCP server of the test's.
        """
        target = Target(behaviour)
        self.addCleanup(target.__exit__)
        return target.port

    def ask(
        self, guest: Station, name: str, rtype: str = "A", *, to: str = "10.0.2.2", **how: Any
    ) -> Any:
        """
        Ask for a name over UDP, and give the answer.
        """
        query = dns.message.make_query(name, rtype, **how)
        guest.datagrams.clear()
        guest.sendDatagram(5_300, to, 53, query.to_wire())
        guest.until(lambda: guest.datagrams, f"told about {name}")
        self.assertEqual(guest.datagrams[0].source, (to, 53))
        answer = dns.message.from_wire(guest.datagrams[0].data)
        self.assertTrue(query.is_response(answer), answer)
        return answer

    def addresses(self, guest: Station, name: str) -> list[str]:
        """
        The addresses of a name.
        """
        answer = self.ask(guest, name)
        return [str(item) for rrset in answer.answer for item in rrset if rrset.rdtype == 1]
