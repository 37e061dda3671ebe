"""
Metrics of what all clients share: the time of the process, its memory and its sockets.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow

NO_EFFECT = CounterRow(
    "aero_no_effect_closed_total",
    "Connections closed because the client sent too many messages without effect, by kind.",
    ("kind",),
)
TURNS_ENDED = CounterRow(
    "aero_turns_ended_total",
    "Times that messages of a client waited because it had had its share of the process's time.",
)
WAITING_BYTES = GaugeRow(
    "aero_waiting_bytes", "Bytes of memory that tunnels and guests hold or have reserved now."
)
WAITING_REFUSED = CounterRow(
    "aero_waiting_refused_total",
    "Times that a tunnel or guest got no more memory, by whose limit was reached: client or process.",
    ("limit",),
)
SOCKETS = GaugeRow("aero_outside_sockets", "Sockets open for tunnels and guests now.")
SOCKETS_REFUSED = CounterRow(
    "aero_outside_sockets_refused_total",
    "Sockets not opened for tunnels and guests, by whose limit was reached: client or process.",
    ("limit",),
)
