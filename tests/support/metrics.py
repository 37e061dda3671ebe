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
_SUFFIX = re.compile(r"_(?:bucket|count|sum)")


def metric(server: Aero, name: str, /, **labels: str) -> float:
    """
    The sum of the samples of a metric that have these labels.

    @raise AssertionError: There are none. What has not been counted yet is L{counted}.
    """
    page = exposition(server)
    values = _values(page, name, labels)
    if not values:
        raise AssertionError(f"no sample of {name} with {labels} is in\n{page}")
    return sum(values)


def counted(server: Aero, name: str, /, **labels: str) -> float:
    """
    The same, or 0 where nothing with these labels was counted so far.

    @raise AssertionError: There is no metric of this name.
    """
    page = exposition(server)
    values = _values(page, name, labels)
    if not any(f"# TYPE {known} " in page for known in (name, _SUFFIX.sub("", name))):
        raise AssertionError(f"{name} is not a metric of\n{page}")
    return sum(values)


def exposition(server: Aero) -> str:
    """
    The page.
    """
    response = request(server, "GET", "/metrics")
    if response.status != 200:
        raise AssertionError(f"no metrics: {response}")
    return response.body.decode()


def samples(server: Aero) -> dict[str, float]:
    """
    All samples of one page, by name and labels as they stand there.
    """
    lines = exposition(server).splitlines()
    split = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in split}


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


def _values(page: str, name: str, labels: dict[str, str]) -> list[float]:
    """
    The values of the samples that are meant.
    """
    found = []
    for line in page.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is None or sample[1] != name:
            continue
        if labels.items() <= dict(_LABEL.findall(sample[2] or "")).items():
            found.append(float(sample[3]))
    return found
