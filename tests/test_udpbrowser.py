"""
C{/udp} from a page in a real browser: datagrams, and sessions that follow each other without a
pause (relay.md sections 20.4 and 20.9, what is marked E).
"""

from __future__ import annotations

import base64
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.browser import Tab, browserFor, inBrowserThread
from .support.relay import JWT_SECRET, UDPTarget, relayServer, token, v1
from .support.server import Aero

#: What a page does: open C{/udp}, wait for C{ready}, keep what comes.
CLIENT_JS = """
() => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const text = (data) => btoa(String.fromCharCode(...new Uint8Array(data)));
  window.openUDP = (query, first) => {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/udp${query}`);
    socket.binaryType = "arraybuffer";
    const client = { socket, datagrams: [], texts: [], waiting: [] };
    client.closed = new Promise((resolve) => {
      socket.onclose = ({ code, reason }) => {
        client.waiting.splice(0).forEach((wake) => wake());
        resolve([code, reason]);
      };
    });
    socket.onopen = () => first && socket.send(JSON.stringify(first));
    socket.onmessage = ({ data }) => {
      typeof data === "string" ? client.texts.push(JSON.parse(data)) : client.datagrams.push(text(data));
      client.waiting.splice(0).forEach((wake) => wake());
    };
    client.until = async (done) => {
      while (!done() && socket.readyState < 2) {
        await new Promise((wake) => client.waiting.push(wake));
      }
    };
    client.ready = async () => {
      await client.until(() => client.texts.length);
      return client.texts[0]?.type;
    };
    client.ask = async (message) => {
      const had = client.datagrams.length;
      socket.send(bytes(message));
      await client.until(() => client.datagrams.length > had);
      return client.datagrams[had];
    };
    return client;
  };
}
"""

#: Every message comes back as it was sent.
ECHO_JS = """
async (messages) => {
  const session = await (await fetch("/session", { method: "POST" })).json();
  const client = openUDP(`?token=${session.udpRelay.token}`);
  if ((await client.ready()) !== "ready") return client.texts;
  const answers = [];
  for (const message of messages) answers.push(await client.ask(message));
  client.socket.close();
  return [answers, await client.closed];
}
"""

#: One session after the other with one token, no close waited for.
SERIES_JS = """
async ([ways, message]) => {
  const answers = [];
  for (const [query, first] of ways) {
    const client = openUDP(query, first);
    answers.push(await client.ready(), await client.ask(message));
    client.socket.close();
  }
  return answers;
}
"""

#: A second one is refused while there is a first, and not once that is closed.
DUPLICATE_JS = """
async ([query, first]) => {
  const one = openUDP(query, first);
  await one.ready();
  const two = openUDP(query, first);
  const refused = await two.closed;
  one.socket.close();
  await one.closed;
  const three = openUDP(query, first);
  const again = await three.ready();
  three.socket.close();
  await three.closed;
  return [two.texts, refused, again];
}
"""

#: What is no way in.
REFUSED_JS = """
async ([query, first, datagram]) => {
  const client = openUDP(query, first);
  if (datagram) client.socket.onopen = () => client.socket.send(new Uint8Array(12));
  const closed = await client.closed;
  return [client.texts.map(({ type, code }) => [type, code]), closed[0]];
}
"""


class UDPFromAPageTests(SynchronousTestCase):
    """
    A page of the edge, which has tokens.
    """

    def server(self) -> Aero:
        """
        An edge whose tokens tests can make too.
        """
        return relayServer("edge", AUTH_MODE="jwt", JWT_SECRET=JWT_SECRET)

    def tab(self) -> Tab:
        """
        A page that can open C{/udp}.
        """
        tab = browserFor(self.server()).open()
        tab.goto("/healthz")
        tab.page.evaluate(CLIENT_JS)
        return tab

    @inBrowserThread
    def test_echo(self) -> None:
        """
        Datagrams of both versions, to IPv4 and IPv6 servers, come back as they were sent.
        """
        with UDPTarget() as four, UDPTarget(host="::1") as six, self.tab() as tab:
            messages = [
                four.v1(45_000, b"\x01\x02\x03\x04\x05"),
                four.v2(45_000, b"two"),
                six.v2(45_000, bytes(1_200)),
            ]
            encoded = [base64.b64encode(message).decode() for message in messages]
            answers, closed = tab.page.evaluate(ECHO_JS, encoded)
        self.assertEqual(answers, encoded)
        self.assertEqual(closed[0], 1005)

    @inBrowserThread
    def test_series(self) -> None:
        """
        Four sessions with one token, each begun right after the last was told to close.
        """
        credential = token("series")
        ways: list[tuple[str, dict[str, str] | None]] = [
            (f"?token={credential}", None),
            (f"?apiKey={credential}", None),
            ("", {"type": "auth", "token": credential}),
            ("", {"type": "auth", "apiKey": credential}),
        ]
        with UDPTarget() as target, self.tab() as tab:
            message = base64.b64encode(target.v1(45_000, b"x")).decode()
            answers = tab.page.evaluate(SERIES_JS, [ways, message])
        self.assertEqual(answers, ["ready", message] * 4)

    @inBrowserThread
    def test_duplicate(self) -> None:
        """
        The error and the close are both seen, and the session is free at once.
        """
        credential = token("duplicate")
        ways: list[Any] = [
            [f"?token={credential}", None],
            ["", {"type": "auth", "token": credential}],
        ]
        for way in ways:
            with self.tab() as tab:
                texts, closed, again = tab.page.evaluate(DUPLICATE_JS, way)
            self.assertEqual([text["code"] for text in texts], ["session_already_active"])
            self.assertEqual(closed, [1013, "session already active"])
            self.assertEqual(again, "ready")

    @inBrowserThread
    def test_refused(self) -> None:
        """
        What is no credential is an error and a close.
        """
        wrong = {"type": "auth", "token": "wrong"}
        differ = {"type": "auth", "token": "a", "apiKey": "b"}
        cases: list[tuple[list[Any], str]] = [
            (["?token=wrong", None, False], "unauthorized"),
            (["", None, True], "unauthorized"),
            (["", wrong, False], "unauthorized"),
            (["", differ, False], "bad_message"),
        ]
        self.assertEqual(len(v1(1, "127.0.0.1", 9, b"four")), 12)
        with self.tab() as tab:
            for how, code in cases:
                self.assertEqual(tab.page.evaluate(REFUSED_JS, how), [[["error", code]], 1008])
