"""
Settings of data that is still to be delivered to a target when its client is gone.
"""

from __future__ import annotations

from ._parsers import integer, milliseconds
from ._table import group, setting


@group
class DeliverySettings:
    """
    Delivery after the client has gone

    What C{/tcp}, C{/tcp-mux} and guests sent, and this server accepted, is delivered after the WebSocket or data channel
    has ended. These limits bound it; beyond them the connection to the target is reset.
    """

    timeout: float = setting(
        variable="AERO_DELIVERY_TIMEOUT_MS",
        option="delivery-timeout-ms",
        default=120.0,
        parse=milliseconds(1),
        shown="120000",
        help="Milliseconds after the end of the client in which a target can still take what the client sent.",
    )
    most: int = setting(
        variable="AERO_DELIVERY_MAX_CONNECTIONS",
        option="delivery-max-connections",
        default=4_096,
        parse=integer(0),
        help="Connections to targets that may stay open after their client has gone; 0 is no limit.",
    )
    mostPerClient: int = setting(
        variable="AERO_DELIVERY_MAX_CONNECTIONS_PER_IP",
        option="delivery-max-connections-per-ip",
        default=1_024,
        parse=integer(0),
        help="The same for one client IPv4 address or IPv6 /64; 0 is no limit.",
    )
    maxBytes: int = setting(
        variable="AERO_DELIVERY_MAX_BYTES",
        option="delivery-max-bytes",
        default=268_435_456,
        parse=integer(0),
        help="Bytes that may wait on all those connections together; 0 is no limit.",
    )
    maxBytesPerClient: int = setting(
        variable="AERO_DELIVERY_MAX_BYTES_PER_IP",
        option="delivery-max-bytes-per-ip",
        default=33_554_432,
        parse=integer(0),
        help="The same for one client IPv4 address or IPv6 /64; 0 is no limit.",
    )
