"""
A web site that only the guest can see: at C{http://10.0.2.2/}, inside of its own network, it
reads what it was given and where it may go::

    PYTHONPATH=docs/examples twistd -n aero --app lansite.Server
"""

from __future__ import annotations

from html import escape
from typing import Iterator

from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from aero.app import Aero
from aero.lan.factory import LANFactory
from aero.lan.lan import LAN
from aero.wire.ethernet import macText
from aero.wire.ipv4 import addressText


class Front(Resource):
    """
    The only page.
    """

    isLeaf = True

    def __init__(self, lan: LAN) -> None:
        Resource.__init__(self)
        self.lan = lan

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        items = "".join(f"<li>{escape(line)}</li>" for line in self.lines())
        return f"<!doctype html><title>Your network</title><ul>{items}</ul>".encode()

    def lines(self) -> Iterator[str]:
        """
        What the guest may want to know.
        """
        lan = self.lan
        if lan.lease is not None:
            left = lan.lease.expires - lan.clock.seconds()
            yield f"Your address is {addressText(lan.lease.address)} for {left:.0f} seconds."
            yield f"Your network card is {macText(lan.lease.hardwareAddress)}."
        yield f"The gateway is {addressText(lan.plan.gateway)}, in {lan.plan.network}."
        yield f"The MTU is {lan.plan.mtu} bytes."
        yield f"You may have {lan.settings.maxConnections} TCP connections."
        yield f"You may have {lan.settings.maxFlows} UDP flows."
        for rule in lan.egress.rules.sentences():
            yield f"You may go: {rule}."


class SiteLANs(LANFactory):
    """
    Puts the site into the LAN of every guest.
    """

    def lanStarted(self, lan: LAN) -> None:
        lan.listenTCP(80, Site(Front(lan), reactor=lan.reactor))


class Server(Aero):
    """
    aero with a site in each guest's network.
    """

    lanFactory = SiteLANs
