# -*- test-case-name: aero.metrics.test.test_catalogue -*-
"""
Every metric of aero, once. C{docs/metrics.md} is written from this table.

Rows live in a module for each area; the ones with the reference's names are its exactly
(gateway.md section 8), new ones begin with C{aero_}.
"""

from __future__ import annotations

from types import ModuleType

from . import (
    acme,
    delivery,
    dns,
    fleet,
    http,
    images,
    l2,
    lan,
    mux,
    relay,
    sessions,
    shares,
    static,
    tcp,
    tls,
    workers,
)
from ._rows import Row


def _rowsIn(module: ModuleType) -> tuple[Row, ...]:
    return tuple(value for value in vars(module).values() if isinstance(value, Row))


#: The rows by area.
AREAS: dict[str, tuple[Row, ...]] = {
    "HTTP": _rowsIn(http),
    "Static files": _rowsIn(static),
    "Disk images": _rowsIn(images),
    "TLS": _rowsIn(tls),
    "ACME": _rowsIn(acme),
    "Sessions": _rowsIn(sessions),
    "Shares of clients": _rowsIn(shares),
    "TCP tunnels": _rowsIn(tcp),
    "TCP streams": _rowsIn(mux),
    "Delivery": _rowsIn(delivery),
    "DNS": _rowsIn(dns),
    "Ethernet tunnel": _rowsIn(l2),
    "Guest LANs": _rowsIn(lan),
    "UDP relay": _rowsIn(relay),
    "Workers": _rowsIn(workers),
    "Shared state": _rowsIn(fleet),
}

#: Every row.
ROWS: tuple[Row, ...] = tuple(row for rows in AREAS.values() for row in rows)
