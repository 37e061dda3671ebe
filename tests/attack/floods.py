"""
All floods, by name.
"""

from __future__ import annotations

from . import guests, http1, http2, mux, offers, websockets
from .flood import Flood

FLOODS: dict[str, Flood] = {
    flood.name: flood
    for family in (http2, http1, mux, websockets, guests, offers)
    for flood in family.FLOODS
}
