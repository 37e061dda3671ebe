"""
Tests for L{aero.http.accesslog}.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from ..accesslog import AccessLog
from .door import Door, get


class AccessLogTests(SynchronousTestCase):
    """
    L{AccessLog} says what happened and not to whom.
    """

    def events(self, data: bytes, *, fullAddresses: bool = False) -> list[dict[str, Any]]:
        """
        What is logged for a request.
        """
        door = Door()
        door.exchange(data)
        log = AccessLog(fullAddresses=fullAddresses)
        with capturedLogs() as captured:
            for request in door.routes.seen:
                log.responded(request, request.code, 0.25)
        self.assertEqual({event["log_namespace"] for event in captured}, {"aero.web.access"})
        return list(captured)

    def test_fields(self) -> None:
        """
        An event has method, route, status, bytes, duration, id and network.
        """
        (event,) = self.events(get("/plain/x", "X-Request-Id: r"))
        wanted = ("method", "route", "status", "bytes", "duration", "requestId", "client")
        self.assertEqual(
            [event[name] for name in wanted],
            ["GET", "/plain", 200, 12, 0.25, "r", "192.0.2.0/24"],
        )
        self.assertEqual(event["log_level"], LogLevel.debug)

    def test_secrets(self) -> None:
        """
        Query strings, cookies and tokens are in no event.
        """
        lines = ("Cookie: aero_session=hush", "Authorization: Bearer hush")
        (event,) = self.events(get("/plain?token=hush", *lines))
        self.assertNotIn("hush", formatEvent(event))
        own = {key: value for key, value in event.items() if not key.startswith("log_")}
        self.assertNotIn("hush", repr(own))

    def test_errors(self) -> None:
        """
        Errors of the server are more important.
        """
        (event,) = self.events(get("/raise"))
        self.assertEqual((event["status"], event["log_level"]), (500, LogLevel.info))
        self.flushLoggedErrors(RuntimeError)

    def test_fullAddresses(self) -> None:
        """
        An operator who asks for it gets whole addresses.
        """
        (event,) = self.events(get("/plain"), fullAddresses=True)
        self.assertEqual(event["client"], "192.0.2.7")

    def test_unread(self) -> None:
        """
        What is less important than anybody reads is not logged; errors are, for longer.
        """
        door = Door()
        door.exchange(get("/plain"))
        (request,) = door.routes.seen
        for least, statuses in (
            (LogLevel.debug, [200, 500]),
            (LogLevel.info, [500]),
            (LogLevel.warn, []),
        ):
            log = AccessLog(least=least)
            with capturedLogs() as captured:
                for status in (200, 500):
                    log.responded(request, status, 0.25)
            self.assertEqual([event["status"] for event in captured], statuses)
