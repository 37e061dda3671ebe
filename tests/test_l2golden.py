"""
The transcript of the reference's stack (C{l2-golden-frames.txt}), every situation of it, played
through C{/l2}: what a guest can tell, and what is asked of the hosts outside, is what it was there,
or something else for a reason.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from .support.golden import Situation, aged, inWords, transcript
from .support.goldenscenes import SCENES, Step
from .support.goldenstage import PLACE, STATIC, Hosts, Stage, serve
from .support.server import Aero


class Instead(NamedTuple):
    """
    What is different, on purpose.

    @ivar why: The reason, with the weakness of l2.md section 21 that is beaten.
    @ivar frames: What comes out here.
    @ivar host: What is asked of the hosts here.
    """

    why: str
    frames: tuple[str, ...] = ()
    host: tuple[str, ...] = ()


def _lease(kind: int) -> tuple[str, str]:
    """
    Both copies of an OFFER or ACK.
    """
    words = (
        f"dhcp 10.0.2.2:67>68 2 10203040 B 10.0.2.15 10.0.2.2 guest message-type={kind}"
        " server_id=10.0.2.2 subnet_mask=255.255.255.0 router=10.0.2.2 name_server=10.0.2.2"
        " lease_time=86400 renewal_time=43200 rebinding_time=75600"
        " broadcast_address=10.0.2.255 interface-mtu=1500"
    )
    return f"to all to 255.255.255.255 {words}", words


def _tcp(port: int, words: str) -> str:
    return f"tcp {PLACE}:80>{port} {words}"


_OPTIONS = "W26: a broadcast address and an MTU as well"
_NODATA = "W32: a name without IPv6 addresses exists all the same"
_STATIC = "W26: a guest with an address of its own needs no DHCP"
_HALF = "W7: the guest's end is not the host's"
_STRANGER = "W13: a segment of no connection is a reset"

DIFFERENT = {
    "DHCPDISCOVER": Instead(_OPTIONS, _lease(2)),
    "DHCPREQUEST": Instead(_OPTIONS, _lease(5)),
    "ARP who-has 10.0.2.3": Instead(
        "images made for slirp have their DNS there",
        ("arp 1 800 6 4 2 10.0.2.3 is gateway for 10.0.2.15 guest",),
    ),
    "DNS AAAA": Instead(_NODATA, ("dns 10.0.2.2 53000 1236 8180 echo.local. 28 1",)),
    "DNS ANY class CH": Instead(
        "W32: the DNS knows the operation, but has nothing to say about that class (REFUSED)",
        ("dns 10.0.2.2 53000 1237 8185 echo.local. 1 3",),
    ),
    "ACK": Instead(
        "W3: what the host said first is not lost", (_tcp(40_001, f"PA +1 5001 {b'220'.hex()}"),)
    ),
    "keepalive probe seq-1 len0": Instead(
        "W15: a guest that asks whether the connection is there is answered (RFC 9293, 3.8.4)",
        (_tcp(40_001, "A +1 5010"),),
    ),
    "host data 65536": Instead(
        "W1: what the host sends arrives, in segments",
        (_tcp(40_001, "PA +16390 5010 42*65536"),),
    ),
    "guest FIN": Instead(_HALF, (_tcp(40_001, "A +81926 5011"),), ("close",)),
    "host data after fin_sent": Instead(
        "W7: the answer to a guest that has ended its side arrives",
        (_tcp(40_001, "PA +81926 5011 6c617465"),),
    ),
    "host closed after FIN": Instead(
        "W7: the host's end is told when it is there", (_tcp(40_001, "FA +81930 5011"),)
    ),
    "stray data on unknown conn": Instead(_STRANGER, (_tcp(40_009, "R 1000009"),)),
    "SYN+ACK on unknown conn": Instead(_STRANGER, (_tcp(40_009, "R 1000009"),)),
    "early FIN (not connected)": Instead(_HALF, (_tcp(40_003, "A +1 105"),)),
    "then connected": Instead(
        "W8: data and end arrive, in this order", (), ("close", "write 474554")
    ),
    "SYN to 10.0.0.1": Instead(
        "W24, W43: why, in an ICMP error (prohibited) before the reset",
        (
            "icmp 10.0.2.2 3/13 00000000 of 6 10.0.2.15:40000>10.0.0.1:80",
            "tcp 10.0.0.1:80>40000 RA 0 1235",
        ),
    ),
    "OOO FIN": Instead(
        "W9: an end beyond what has come is not one yet", (_tcp(40_005, "A +1 101"),)
    ),
    "UDP to 10.0.2.2:123": Instead(
        "W24: nobody listens there, and an ICMP error says so",
        ("icmp 10.0.2.2 3/3 00000000 of 17 10.0.2.15:50000>10.0.2.2:123",),
    ),
    "UDP before DHCP": Instead(_STATIC, (), (f"datagram {PLACE}:9999 6869",)),
    "TCP SYN before DHCP": Instead(_STATIC, (_tcp(40_001, "SA +0 5001"),), (f"dial {PLACE}:80",)),
    "ICMP before DHCP": Instead(_STATIC, ("icmp 10.0.2.2 0/0 1234 1 70696e67",)),
    "DNS AAAA before DHCP": Instead(_NODATA, ("dns 10.0.2.2 53000 1236 8180 echo.local. 28 1",)),
    "DHCPREQUEST for other ip/server": Instead(
        "W26: a guest that takes the offer of another server is let go (RFC 2131, 4.3.2)"
    ),
    "SYN+data retransmit": Instead(
        "W18: data of a SYN is not acknowledged, and does not shift what follows",
        (_tcp(40_001, "SA +0 5001"),),
    ),
    "new SYN diff ISN": Instead(
        "W14: a guest that uses the port again gets a new connection",
        (_tcp(40_001, "SA +0 10000"),),
        (f"dial {PLACE}:80", "reset"),
    ),
    "UDP frag 2": Instead(
        "W22: fragments are put together", (), (f"datagram {PLACE}:9999 {'55' * 100}",)
    ),
    "non-first fragment parsed as header": Instead("W22: a fragment is not taken for a packet"),
    "spoofed src ip": Instead("W21: what is not from the guest's address is dropped"),
    "DNS qdcount=2": Instead(
        "W32: what cannot be read is an error (FORMERR)", ("dns 10.0.2.2 53000 1234 8181",)
    ),
    "DNS opcode=5 (update)": Instead(
        "W32: an update is not a question (NOTIMP)", ("dns 10.0.2.2 53000 1234 a884",)
    ),
    "FIN with data": Instead(
        "W7: one acknowledgment for both, and the guest's end is not the host's",
        (_tcp(40_001, "A +1 5005"),),
        ("close", "write 627965"),
    ),
    "RST out of window": Instead("W16: a reset that cannot be the guest's changes nothing"),
    "host closed before guest ACK": Instead(
        "W3: the host's end waits for the handshake, and is one, not a reset"
    ),
    "overlap from fffffff1 len 30 (10 new)": Instead(
        "W11: what is new beyond 2^32 is taken",
        (_tcp(40_006, "A +1 15"),),
        (f"write {'42' * 10}",),
    ),
    "FUTURE seg: next=5, seq=... pre-wrap future": Instead(
        "W11: which makes this segment an old one", (_tcp(40_006, "A +1 15"),)
    ),
}


@cache
def usual() -> tuple[Aero, Hosts]:
    """
    The server that all scenes share, and what is outside of it.
    """
    hosts = Hosts()
    return serve(hosts), hosts


class GoldenTests(SynchronousTestCase):
    """
    Each scene, in a tunnel of its own.
    """

    maxDiff = None

    def setUp(self) -> None:
        """
        Read the transcript.
        """
        self.situations = transcript()

    def _play(self, name: str) -> None:
        """
        Play a scene.
        """
        server, hosts = usual()
        stage = Stage(server, hosts)
        self.addCleanup(hosts.forget)
        self.addCleanup(stage.close)
        bases: dict[tuple[str, int, int], int] = {}
        for step in SCENES[name]:
            if step.act is not None:
                step.act(stage)
            situations = [self.situations[title] for title in step.titles]
            for frame in (*step.first, *(each for one in situations for each in one.received)):
                stage.send(frame)
            told = self._told(step, situations, bases)
            expected = told if situations else (list(step.out.frames), sorted(step.out.host))
            for title in step.titles:
                if title in DIFFERENT:
                    instead = DIFFERENT[title]
                    expected = list(instead.frames), sorted(instead.host)
                    self.assertNotEqual(expected, told, f"{title!r} is not different any more")
            seen = stage.watch(*expected, since=step.since)
            self.assertEqual(seen, expected, f"scene {name}, {step.titles}")

    def _told(
        self, step: Step, situations: list[Situation], bases: dict[tuple[str, int, int], int]
    ) -> tuple[list[str], list[str]]:
        """
        What the transcript tells of a step: frames and host actions.
        """
        frames = inWords((frame for each in situations for frame in each.sent), bases)
        if step.since is not None:
            frames = [aged(frame, 5, 5.011) for frame in frames]
        # Nobody is asked for a name that is a setting.
        host = [words for each in situations for words in each.host]
        return frames, sorted(words for words in host if words != f"resolve {STATIC}")

    def test_lan(self) -> None:
        """
        DHCP, ARP, names and pings.
        """
        self._play("lan")

    def test_connection(self) -> None:
        """
        A connection from its SYN to its end, and segments of none.
        """
        self._play("connection")

    def test_hostEnd(self) -> None:
        """
        A connection whose host ends first.
        """
        self._play("hostEnd")

    def test_early(self) -> None:
        """
        Data and end of a guest while the host is still being connected to.
        """
        self._play("early")

    def test_refusals(self) -> None:
        """
        Connections that policy or the host refuse.
        """
        self._play("refusals")

    def test_strayEnd(self) -> None:
        """
        A FIN beyond what has come.
        """
        self._play("strayEnd")

    def test_wrap(self) -> None:
        """
        Data across the end of the sequence numbers.
        """
        self._play("wrap")

    def test_udp(self) -> None:
        """
        Datagrams out and in, and those that go nowhere.
        """
        self._play("udp")

    def test_noLease(self) -> None:
        """
        A guest that has not asked DHCP, or has asked it for other things.
        """
        self._play("noLease")

    def test_synData(self) -> None:
        """
        A SYN with data, and another one for the same ports.
        """
        self._play("synData")

    def test_odd(self) -> None:
        """
        Fragments, other protocols, other senders.
        """
        self._play("odd")

    def test_oddNames(self) -> None:
        """
        Questions out of the ordinary.
        """
        self._play("oddNames")

    def test_dataEnd(self) -> None:
        """
        Data and FIN in one segment.
        """
        self._play("dataEnd")

    def test_reset(self) -> None:
        """
        A reset outside the window.
        """
        self._play("reset")

    def test_hostGone(self) -> None:
        """
        A host that ends before the handshake.
        """
        self._play("hostGone")

    def test_probe(self) -> None:
        """
        An ARP probe for the gateway's address.
        """
        self._play("probe")

    def test_wrapOverlap(self) -> None:
        """
        Data that overlaps across the end of the sequence numbers.
        """
        self._play("wrapOverlap")

    def test_wrapFuture(self) -> None:
        """
        Data from beyond the end of the sequence numbers, too early.
        """
        self._play("wrapFuture")

    def test_all(self) -> None:
        """
        Every situation of the transcript is in a scene, every scene has a test, and nothing is
        different that is not there.
        """
        played = {title for scene in SCENES.values() for step in scene for title in step.titles}
        self.assertEqual(len(self.situations), 82)
        self.assertEqual(played, set(self.situations))
        self.assertLessEqual(set(DIFFERENT), played)
        for name in SCENES:
            self.assertTrue(hasattr(self, f"test_{name}"), name)
