"""
The attack bench measures: its percentiles, its table, and one short flood from start to end.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from .attack.floods import FLOODS
from .attack.measure import MIB, Sample, Waiting, percentile, slowest, waiting
from .attack.rig import Result, run
from .attack.table import markdown, text, verdict


def result(**changes: object) -> Result:
    """
    A run that missed no aim.
    """
    quiet = Waiting("h1", 0.001, 0.002, 0.003, 0, 100)
    found: dict[str, object] = {
        "name": "h2-ping",
        "title": "HTTP/2: PING",
        "memory": (100 * MIB, 120 * MIB, 101 * MIB),
        "settled": 1.0,
        "quiet": quiet,
        "attacked": quiet,
        "failures": 0,
        "cpu": 0.5,
        "seconds": 4.0,
        "tally": {"bytes": MIB, "GOAWAY 11": 3},
        "alive": True,
    }
    return Result(**(found | changes))  # type: ignore[arg-type]


class MeasureTests(SynchronousTestCase):
    """
    L{tests.attack.measure}.
    """

    def test_percentile(self) -> None:
        """
        The nearest rank: a value of the list that so many percent do not exceed.
        """
        values = [float(each) for each in range(1, 101)]
        self.assertEqual([percentile(values, each) for each in (1, 50, 95, 100)], [1, 50, 95, 100])
        self.assertEqual(percentile([7.0], 95), 7.0)
        self.assertRaises(ValueError, percentile, [], 50)

    def test_waiting(self) -> None:
        """
        Requests count that were due in the time, by their kind, and one without an answer is a
        failure.
        """
        samples = [
            Sample(0.9, "h1", 9.0, True),
            Sample(1.0, "h1", 0.1, True),
            Sample(1.5, "h1", 0.3, False),
            Sample(1.6, "tcp", 0.2, True),
            Sample(2.0, "h1", 9.0, True),
        ]
        found = waiting(samples, 1.0, 2.0)
        self.assertEqual(found["h1"], Waiting("h1", 0.1, 0.3, 0.3, 1, 2))
        self.assertEqual(found["tcp"], Waiting("tcp", 0.2, 0.2, 0.2, 0, 1))
        self.assertEqual(slowest(found).kind, "h1")


class TableTests(SynchronousTestCase):
    """
    L{tests.attack.table}.
    """

    def test_verdict(self) -> None:
        """
        Each aim that was missed is named.
        """
        slow = Waiting("tcp", 0.01, 0.06, 0.2, 0, 100)
        for changes, missed in (
            ({}, []),
            ({"attacked": slow}, ["slow"]),
            ({"failures": 2}, ["2 requests failed"]),
            ({"memory": (100 * MIB, 150 * MIB, 120 * MIB)}, ["memory +20 %"]),
            ({"alive": False}, ["the server ended"]),
        ):
            self.assertEqual(verdict(result(**changes)), missed)

    def test_tables(self) -> None:
        """
        The table for a terminal has the answers; the one for the documentation has an earlier
        version beside this one.
        """
        self.assertIn("3 GOAWAY 11", text([result()]))
        earlier = result(memory=(90 * MIB, 700 * MIB, 650 * MIB))
        row = markdown([result()], {"h2-ping": earlier}).splitlines()[-1]
        self.assertEqual(
            row,
            "| HTTP/2: PING | 2.0 | 2.0, 3.0 ms | 90, 700, 650 | 2.0, 3.0 ms | 100, 120, 101 |",
        )


class FloodTests(SynchronousTestCase):
    """
    Floods against a real server.
    """

    def test_namesAreUnique(self) -> None:
        """
        No flood hides another one.
        """
        self.assertEqual([flood.name for flood in FLOODS.values()], list(FLOODS))

    def test_oneFlood(self) -> None:
        """
        The neighbour is answered while three seconds of PINGs arrive, and the flood is stopped.
        """
        found = run(FLOODS["mux-ping"], 3.0, 1.0)
        self.assertTrue(found.alive)
        self.assertEqual(found.failures, 0)
        self.assertGreater(found.attacked.count, 10)
        self.assertGreater(found.tally["bytes"], 0)
        self.assertIn("close 1008", " ".join(found.tally))
