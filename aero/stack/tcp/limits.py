# -*- test-case-name: aero.lan.test.test_buffers -*-
"""
Change the buffers of one connection.
"""

from __future__ import annotations

from dataclasses import replace

from .connection import Connection


def limitBuffers(connection: Connection, receiveBuffer: int, sendBuffer: int) -> None:
    """
    Give a connection other buffers than the settings say. A window that the guest was told
    already is not taken back: it closes as data comes in.
    """
    config = connection.config = replace(
        connection.config, receiveBuffer=receiveBuffer, sendBuffer=sendBuffer
    )
    receiver = connection.receiver
    limit = receiveBuffer if connection.accepted else min(receiveBuffer, config.maxEarly)
    receiver.setLimit(limit, connection.agreement.offer)
    if not connection.wasAnswered():
        receiver.edge = receiver.next + min(limit, 0xFFFF)
    elif not connection.held and connection.finAt < 0 and receiver.isWorthTelling():
        connection.acknowledge()
