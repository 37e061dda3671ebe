# -*- test-case-name: aero.ws.test.test_batches -*-
"""
WebSocket sessions that get the binary messages of one read together.

Where messages are small and many, such as datagrams, a call for each costs more than the
messages. Whoever has them all can also answer them all with one write.
"""

from __future__ import annotations

from typing import Any, Sequence

from twisted.python.failure import Failure

from aero.wire.websocket import BINARY, Event

from .protocol import AeroWebSocketProtocol


class BatchingProtocol(AeroWebSocketProtocol):
    """
    One WebSocket session. Extend L{messagesReceived} instead of C{messageReceived}, which still
    gets text messages.
    """

    def messagesReceived(self, payloads: list[bytes]) -> Any:
        """
        The client sent binary messages; text, if there was any between them, comes in its
        place.

        @param payloads: At least one, in their order.
        """

    def eventsReceived(self, events: Sequence[Event]) -> None:
        """
        Deliver runs of binary messages whole, and the rest as usual.
        """
        batch: list[bytes] = []
        for event in events:
            if event[0] == BINARY:
                batch.append(event[1])
                continue
            if batch:
                self._deliverBatch(batch)
                batch = []
                if self._discarding:
                    return
            super().eventsReceived((event,))
            if self._discarding:
                return
        if batch:
            self._deliverBatch(batch)

    def _deliverBatch(self, payloads: list[bytes]) -> None:
        self.factory.messagesUp.inc(len(payloads))
        self.factory.bytesUp.inc(sum(map(len, payloads)))
        try:
            result = self.messagesReceived(payloads)
        except Exception:  # noqa: BLE001 - a user's hook may raise anything
            self._hookFailed(Failure())
        else:
            if result is not None:
                self._watch(result)
