"""
Reading C{/metrics} as a scraper does.
"""

from __future__ import annotations

import re
import time

from .http import request
from .server import Aero

_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def metric(server: Aero, name: str, /, **labels: str) -> float:
    """
    The sum of the samples of a metric that have these labels; 0 where there are none.
    """
    response = request(server, "GET", "/metrics")
    if response.status != 200:
        raise AssertionError(f"no metrics: {response}")
    total = 0.0
    for line in response.body.decode().splitlines():
        found = _SAMPLE.fullmatch(line)
        if found is None or found[1] != name:
            continue
        there = dict(_LABEL.findall(found[2] or ""))
        if labels.items() <= there.items():
            total += float(found[3])
    return total


def settled(server: Aero, name: str, value: float, /, patience: float = 10.0) -> float:
    """
    A metric, once it has a value that it is about to have.

    @param patience: Seconds that it may take on a busy machine.
    @return: That value, or what it was when patience ran out.
    """
    deadline = time.monotonic() + patience
    while (found := metric(server, name)) != value and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
