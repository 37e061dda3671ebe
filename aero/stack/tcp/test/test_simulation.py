"""
Two stacks over a link that loses, repeats and overtakes, in simulated time.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.tcp.config import TCPConfig
from aero.testing.link import LossyLink
from aero.testing.properties import given, settings
from aero.testing.properties import strategies as st

from .simulation import Side, Simulation, shiftFor

_SECRETS = b"left" * 4, b"right" * 4

#: What a connection may hold: both limits, and the last write beyond the one for sending.
_WRITE = 16_384


def build(
    seed: int,
    *,
    sizes: tuple[int, int],
    starts: tuple[int, int] = (2**32 - 5000, 2**32 - 7000),
    configs: tuple[TCPConfig, TCPConfig] = (TCPConfig(), TCPConfig()),
    links: tuple[LossyLink, LossyLink] | None = None,
    mtu: int = 1500,
    slow: bool = False,
    pauses: float = 0.0,
) -> Simulation:
    """
    A connection from the left to the right.

    @param sizes: Bytes that each side sends.
    @param starts: Initial sequence numbers, four may be added.
    """
    random = Random(seed)
    sides = [
        Side(
            configs[index],
            mtu,
            _SECRETS[index],
            shiftFor(_SECRETS[index], starts[index], active=not index),
            random.randbytes(sizes[index]),
        )
        for index in (0, 1)
    ]
    toRight, toLeft = links or (LossyLink(seed), LossyLink(seed + 1))
    return Simulation(sides[0], sides[1], toRight, toLeft, seed=seed, slow=slow, pauses=pauses)


class PropertyTests(SynchronousTestCase):
    """
    What holds whatever the link does.
    """

    def check(self, simulation: Simulation, most: float) -> None:
        """
        Both streams arrive whole, in bounded time and memory, and nothing is left behind.
        """
        simulation.run(most)
        left, right = simulation.left, simulation.right
        # The last acknowledgment may be lost, and the other end gone when the FIN comes again.
        self.assertIn(
            {left.closed, right.closed}, ({"done"}, {"done", "reset"}), (left.drops, right.drops)
        )
        self.assertTrue(left.ended and right.ended)
        self.assertEqual(bytes(left.received), right.stream)
        self.assertEqual(bytes(right.received), left.stream)
        self.assertLess(simulation.now, most)
        for side in (left, right):
            config = side.config
            self.assertLessEqual(side.most, config.sendBuffer + _WRITE + config.receiveBuffer)
            self.assertLessEqual(side.mostReceived, config.receiveBuffer)
            self.assertEqual(side.table.connections, 0)
            self.assertIsNone(side.table.nextTimeout())
            self.assertFalse(side.table.hasSegments())
            self.assertEqual(side.events, [])

    @settings(max_examples=60)
    @given(
        seed=st.integers(0, 2**32),
        loss=st.sampled_from((0.0, 0.01, 0.05, 0.2)),
        duplicate=st.sampled_from((0.0, 0.05, 0.2)),
        reorder=st.sampled_from((0.0, 0.05, 0.3)),
        sizes=st.tuples(st.integers(0, 60_000), st.integers(0, 120_000)),
        starts=st.tuples(st.integers(2**32 - 70_000, 2**32 - 2), st.integers(0, 2**32 - 2)),
        options=st.tuples(*(st.booleans() for _ in range(6))),
        buffers=st.tuples(*(st.sampled_from((2_000, 9_000, 65_535, 262_144)) for _ in range(4))),
        mtu=st.sampled_from((128, 576, 1500, 9000, 65_535)),
        slow=st.booleans(),
        pauses=st.sampled_from((0.0, 0.02, 0.2)),
    )
    def test_streamsAreEqual(
        self,
        seed: int,
        loss: float,
        duplicate: float,
        reorder: float,
        sizes: tuple[int, int],
        starts: tuple[int, int],
        options: tuple[bool, ...],
        buffers: tuple[int, ...],
        mtu: int,
        slow: bool,
        pauses: float,
    ) -> None:
        """
        Whatever is lost, repeated and overtaken, with whatever options and buffers, wherever
        the sequence numbers wrap, and however often the tunnel takes nothing: both streams arrive, both ends close, no timer and
        nothing in memory is left, and no end ever held more than its limits.
        """
        configs = tuple(
            TCPConfig(
                mss=65_535,
                sack=options[index],
                timestamps=options[2 + index],
                windowScale=options[4 + index],
                receiveBuffer=buffers[index],
                sendBuffer=buffers[2 + index],
                maxEarly=buffers[3 - index],
                userTimeout=600.0,
                finWait2=3600.0,
                handshakeTimeout=3600.0,
            )
            for index in (0, 1)
        )
        links = tuple(
            LossyLink(seed + index, loss=loss, duplicate=duplicate, reorder=reorder)
            for index in (0, 1)
        )
        simulation = build(
            seed,
            sizes=sizes,
            starts=starts,
            configs=(configs[0], configs[1]),
            links=(links[0], links[1]),
            mtu=mtu,
            slow=slow,
            pauses=pauses,
        )
        self.check(simulation, 3600.0)


class SpeedTests(SynchronousTestCase):
    """
    How long a download takes on links that lose, in simulated time. The guest's driver needs 50
    microseconds for a frame.
    """

    def seconds(self, size: int = 3_000_000, delay: float = 0.0005, **faults: Any) -> float:
        """
        How long a download of so many bytes takes.

        @param faults: As for C{LossyLink}.
        """
        simulation = build(
            5,
            sizes=(0, size),
            configs=(TCPConfig(), TCPConfig()),
            links=(
                LossyLink(5, delay=delay),
                LossyLink(6, delay=delay, service=50e-6, **faults),
            ),
        )
        simulation.run(120.0)
        self.assertEqual(bytes(simulation.left.received), simulation.right.stream)
        # The last thing that happens is the end of TIME-WAIT.
        return simulation.now - TCPConfig().timeWait

    def test_window(self) -> None:
        """
        On a link that loses nothing only the driver, or else the window in a round trip, is
        what limits a download.
        """
        self.assertLess(self.seconds(), 1.05 * 3_000_000 / 1448 * 50e-6)
        trips = 6_000_000 / 262_144
        self.assertLess(self.seconds(6_000_000, 0.025), 1.5 * trips * 0.05)

    def test_loss(self) -> None:
        """
        With one frame in a hundred lost a download keeps most of its speed, and with one in
        twenty some of it.
        """
        best = self.seconds()
        shares = [round(best / self.seconds(loss=loss), 2) for loss in (0.01, 0.05)]
        self.assertGreater(shares[0], 0.8, shares)
        self.assertGreater(shares[1], 0.3, shares)

    def test_ring(self) -> None:
        """
        A ring of eight frames costs next to nothing, in a short round trip and a long one.
        """
        for delay, least in ((0.0005, 0.9), (0.005, 0.4), (0.025, 0.9)):
            best = self.seconds(delay=delay)
            share = round(best / self.seconds(delay=delay, ring=8), 2)
            self.assertGreater(share, least, delay)

    def test_ringAtStart(self) -> None:
        """
        What is sent before the first acknowledgment fits a ring of eight frames, however slow
        the driver is.
        """
        toLeft = LossyLink(1, ring=8, service=0.01)
        simulation = build(1, sizes=(0, 11_584), links=(LossyLink(1), toLeft))
        simulation.run(60.0)
        self.assertEqual(bytes(simulation.left.received), simulation.right.stream)
        self.assertEqual(toLeft.overrun, 0)
