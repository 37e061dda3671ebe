"""
The peers that the TURN server of C{deploy/docker-compose.yml} relays to: aero, and nobody else.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import os
import re
import subprocess
import tempfile
import time
from base64 import b64encode
from pathlib import Path

from aioice import stun, turn
from twisted.trial.unittest import SynchronousTestCase

from aero.policy.addresses import CLOUD_NETWORKS, SPECIAL_IPV4, SPECIAL_IPV6

from .support.turn import Turn

COMPOSE = Path(__file__).parents[1] / "deploy" / "docker-compose.yml"
SECRET = "what coturn and aero know"
AERO = ("127.0.0.77", "127.0.0.78")


def options(*, container: str = "", peers: str = "") -> list[str]:
    """
    The options of C{turnserver} that the script of the compose file gives it.

    @param container: The address of aero's container.
    @param peers: The value of C{TURN_PEER_IPS}.
    """
    script = re.search(r"- \|\n(.*?)    ports:", COMPOSE.read_text()[1:], re.DOTALL)
    assert script is not None
    with tempfile.TemporaryDirectory(prefix="aero-compose-") as directory:
        for name, text in (
            ("turnserver", 'printf "%s\\n" "$@"'),
            ("getent", f"printf '%s\\n' {' '.join([f'{container} STREAM aero'] * 3)!r}"),
        ):
            program = Path(directory) / name
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
        done = subprocess.run(
            ["sh", "-ec", script[1].replace("$$", "$")],
            env={
                "PATH": f"{directory}:{os.environ['PATH']}",
                "TURN_REST_SHARED_SECRET": SECRET,
                "TURN_REALM": "aero.test",
                "TURN_EXTERNAL_IP": "127.0.0.1",
                "TURN_PEER_IPS": peers,
            },
            capture_output=True,
            text=True,
            check=True,
        )
    return done.stdout.splitlines()


def values(name: str, given: list[str]) -> list[str]:
    """
    The values of a repeated option.
    """
    return [each.partition("=")[2] for each in given if each.startswith(f"--{name}=")]


class PeerTests(SynchronousTestCase):
    """
    Denied and allowed peers.
    """

    def test_denied(self) -> None:
        """
        Every network that aero's own policy refuses lies in a denied range.
        """
        ranges = [
            tuple(map(ipaddress.ip_address, each.split("-")))
            for each in values("denied-peer-ip", options())
        ]
        for row in (*SPECIAL_IPV4, *SPECIAL_IPV6, *CLOUD_NETWORKS):
            network = ipaddress.ip_network(row[0])
            covered = any(
                first.version == network.version
                and int(first) <= int(network[0])
                and int(network[-1]) <= int(last)
                for first, last in ranges
            )
            self.assertTrue(covered, network)

    def test_allowed(self) -> None:
        """
        Allowed are the container of aero, and the addresses that the operator names.
        """
        given = options(container="172.18.0.2", peers="203.0.113.7,2001:db8::7")
        self.assertEqual(
            values("allowed-peer-ip", given), ["172.18.0.2", "203.0.113.7", "2001:db8::7"]
        )

    def test_coturn(self) -> None:
        """
        A real coturn with these options refuses every peer but those.
        """
        given = options(container=AERO[0], peers=AERO[1])
        rules = [each for each in given if "-peer" in each]
        with Turn("127.0.0.1", SECRET, *rules) as server:
            refused = ("10.0.0.1", "192.168.1.1", "169.254.169.254", "127.0.0.1", "8.8.8.8")
            found = asyncio.run(self.bind(server, [*AERO, *refused]))
        self.assertEqual(found, {**dict.fromkeys(AERO, 0), **dict.fromkeys(refused, 403)})

    async def bind(self, server: Turn, peers: list[str]) -> dict[str, int]:
        """
        Ask for a channel to each peer, and give the error codes; 0 is none.
        """
        name = f"{int(time.time()) + 3_600}:aero:test"
        password = b64encode(hmac.digest(SECRET.encode(), name.encode(), "sha1")).decode()
        transport, _ = await turn.create_turn_endpoint(
            asyncio.DatagramProtocol,
            server_addr=("127.0.0.1", server.port),
            username=name,
            password=password,
        )
        inner = transport._TurnTransport__inner_protocol  # type: ignore[attr-defined]
        found: dict[str, int] = {}
        for number, peer in enumerate(peers, 0x4000):
            try:
                await inner.channel_bind(number, (peer, 5_000))
                found[peer] = 0
            except stun.TransactionFailed as failed:
                found[peer] = failed.response.attributes["ERROR-CODE"][0]
        transport.close()
        return found
