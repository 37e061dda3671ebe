"""
Tests for the log observers.
"""

from __future__ import annotations

import io
import json

from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python.log import LogPublisher as LegacyPublisher
from twisted.trial.unittest import SynchronousTestCase

from aero.log import blurred, observerFor, withoutCredentials


class ObserverTests(SynchronousTestCase):
    """
    What a log line holds.
    """

    def written(self, form: str, level: str = "info") -> tuple[Logger, io.StringIO]:
        stream = io.StringIO()
        return Logger(namespace="aero.test", observer=observerFor(form, level, stream)), stream

    def test_text(self) -> None:
        """
        Text is one line with the namespace, the level and the message.
        """
        log, stream = self.written("text")
        log.info("opened {count} tunnels", count=3)
        self.assertRegex(stream.getvalue(), r"^\S+ \[aero.test#info\] opened 3 tunnels\n$")

    def test_json(self) -> None:
        """
        JSON is one object a line that keeps the fields of the event.
        """
        log, stream = self.written("json")
        log.warn("closed {why}", why="idle", count=2, hidden=object())
        line = json.loads(stream.getvalue())
        self.assertRegex(line.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(
            line,
            {
                "level": "warn",
                "namespace": "aero.test",
                "message": "closed idle",
                "why": "idle",
                "count": 2,
            },
        )

    def test_transports(self) -> None:
        """
        Twisted's lines about ports and factories are for debugging only: they name classes and
        addresses in memory.
        """
        for form in ("text", "json"):
            for level, count in (("info", 1), ("debug", 6)):
                stream = io.StringIO()
                publisher = LogPublisher(observerFor(form, level, stream))
                legacy = LegacyPublisher(publisher, publishPublisher=publisher)
                legacy.msg("LimitedFactory starting on 8443")
                legacy.msg("(TCP Port 8443 Closed)")
                legacy.msg("(UDP Port 53 Closed)")
                log = Logger(namespace="aero", observer=publisher)
                log.info("Starting factory {factory!r}", factory=self)
                log.info("Stopping factory {factory!r}", factory=self)
                log.info("guest starting on its own")
                self.assertEqual(len(stream.getvalue().splitlines()), count, stream.getvalue())

    def test_traceback(self) -> None:
        """
        An unexpected error brings its traceback in both forms.
        """
        for form in ("text", "json"):
            log, stream = self.written(form)
            try:
                raise RuntimeError("broken")
            except RuntimeError:
                log.failure("it failed")
            self.assertIn("RuntimeError", stream.getvalue())
            self.assertIn("test_traceback", stream.getvalue())

    def test_level(self) -> None:
        """
        Lines below the level are not written, and silence is silent.
        """
        for level, expected in (("warn", 2), ("debug", 4), ("error", 1), ("silent", 0)):
            log, stream = self.written("text", level)
            for name in ("debug", "info", "warn", "error"):
                log.emit(LogLevel.lookupByName(name), "line")
            self.assertEqual(len(stream.getvalue().splitlines()), expected, level)

    def test_credentialsNeverLeave(self) -> None:
        """
        Tokens and query strings are replaced in both forms, in the message and in fields.
        """
        token = (
            "eyJ2IjoxLCJzaWQiOiJzaWQtMTIzNDU2Nzg5MCJ9.zcesNltUxXmW1SpDGWoATMZj1GLX1LMz0TIdVRzO8l8"
        )
        for form in ("text", "json"):
            log, stream = self.written(form)
            log.info("GET /l2?token=sesame Cookie: aero_session={token}", token=token)
            log.info("{line}", line=f"Authorization: Bearer {token}")
            self.assertNotIn("sesame", stream.getvalue())
            self.assertNotIn(token[-20:], stream.getvalue())


class RedactionTests(SynchronousTestCase):
    """
    What counts as a credential.
    """

    def test_replaced(self) -> None:
        """
        Each way a credential can be written is recognised.
        """
        for text in (
            "/udp?apiKey=sesame",
            "/tcp?host=private.example&port=80",
            "token=sesame",
            "aero_session=sesame; Path=/",
            "authorization: sesame",
            "Bearer sesame",
        ):
            shown = withoutCredentials(text)
            self.assertNotIn("sesame", shown)
            self.assertNotIn("private.example", shown)
            self.assertIn("[hidden]", shown)

    def test_kept(self) -> None:
        """
        Ordinary sentences pass unchanged.
        """
        for text in ("is it ready? yes", "/session answered 201", "a bearer of news"[:8]):
            self.assertEqual(withoutCredentials(text), text)


class BlurTests(SynchronousTestCase):
    """
    Addresses in logs tell the network, not the person.
    """

    def test_blurred(self) -> None:
        """
        Addresses keep their network only.
        """
        for address, network in (
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            ("fe80::1%eth0", "fe80::/48"),
            ("/run/socket", "-"),
            ("", "-"),
        ):
            self.assertEqual(blurred(address), network)
