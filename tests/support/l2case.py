"""
Tests of C{/l2}: servers with a few settings, credentials, and waiting for what becomes true soon.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import TYPE_CHECKING, Any, Callable

from .l2 import OPEN, Guest, l2Options
from .metrics import counted, metric
from .server import Aero

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase

    Case = SynchronousTestCase
else:
    Case = object

SECRET = "test-session-secret"
JWT_SECRET = "test-jwt-secret"
KEY = "sekrit"

#: Seconds that something may take on a busy machine.
SOON = 20.0


class L2Case(Case):
    """
    Tests against C{--services l2}.
    """

    def serve(self, **variables: str) -> Aero:
        """
        Start the L2 proxy as the reference's suites do, open to everybody unless told otherwise;
        it is stopped when the test ends.
        """
        server = Aero(*l2Options(), state=None, runDir=None, **OPEN | variables)
        self.addCleanup(server.kill)
        return server

    def closed(self, **variables: str) -> Aero:
        """
        Start it with just these settings.
        """
        server = Aero(*l2Options(), state=None, runDir=None, **variables)
        self.addCleanup(server.kill)
        return server

    def guest(self, server: Aero, *arguments: Any, **options: Any) -> Guest:
        """
        A tunnel that has to be open, closed when the test ends.
        """
        guest = Guest(server, *arguments, **options)
        self.addCleanup(guest.connection.close)
        self.assertTrue(guest.accepted, f"{guest.response} {guest.response.body!r}")
        return guest

    def status(self, server: Aero, *arguments: Any, **options: Any) -> int:
        """
        What a request for a tunnel is answered with; a tunnel is closed again.
        """
        with Guest(server, *arguments, **options) as guest:
            if guest.response.status == 101:
                self.assertTrue(guest.accepted)
                guest.close()
            return guest.response.status

    def eventually(self, holds: Callable[[], bool], what: str, seconds: float = SOON) -> None:
        """
        Wait until something is so.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                self.fail(f"{what}, {seconds:g} s long")
            time.sleep(0.025)

    def grows(
        self, server: Aero, action: Callable[[], object], *names: str, by: int = 1, **labels: str
    ) -> None:
        """
        An action lets counters grow.
        """
        before = [counted(server, name, **labels) for name in names]
        action()
        for name, value in zip(names, before, strict=True):
            self.assertEqual(metric(server, name, **labels), value + by, name)


def sessionToken(sid: str = "sid", *, secret: str = SECRET, ttl: int = 300) -> str:
    """
    A session token, as l2.md section 6.5 describes it.
    """
    payload = _encode(_json({"v": 1, "sid": sid, "exp": int(time.time()) + ttl}))
    return f"{payload}.{_encode(hmac.digest(secret.encode(), payload.encode(), 'sha256'))}"


def cookie(sid: str = "sid", **how: Any) -> str:
    """
    A C{Cookie} header with one.
    """
    return f"aero_session={sessionToken(sid, **how)}"


def jsonWebToken(sid: str = "sid", *, ttl: int = 300, **claims: str) -> str:
    """
    A JSON Web Token, likewise.
    """
    now = int(time.time())
    head = _encode(_json({"alg": "HS256", "typ": "JWT"}))
    body = _encode(_json({"iat": now, "exp": now + ttl, "sid": sid} | claims))
    text = f"{head}.{body}"
    return f"{text}.{_encode(hmac.digest(JWT_SECRET.encode(), text.encode(), 'sha256'))}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
