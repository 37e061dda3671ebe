# -*- test-case-name: aero.stack.tcp.test.test_states -*-
"""
The states of a connection and every legal move between them (RFC 9293 section 3.3.2).

All transitions live here and nowhere else. A move that the table does not have is a mistake of
the program, never of the guest, and raises.
"""

from __future__ import annotations

CLOSED = "CLOSED"
SYN_SENT = "SYN-SENT"
SYN_RECEIVED = "SYN-RECEIVED"
ESTABLISHED = "ESTABLISHED"
FIN_WAIT_1 = "FIN-WAIT-1"
FIN_WAIT_2 = "FIN-WAIT-2"
CLOSE_WAIT = "CLOSE-WAIT"
CLOSING = "CLOSING"
LAST_ACK = "LAST-ACK"
TIME_WAIT = "TIME-WAIT"

#: What happened, to the state it leads to, by the state it happens in.
TRANSITIONS: dict[str, dict[str, str]] = {
    CLOSED: {"active open": SYN_SENT, "passive open": SYN_RECEIVED},
    SYN_SENT: {
        "SYN received": SYN_RECEIVED,
        "SYN+ACK received": ESTABLISHED,
        "over": CLOSED,
    },
    # A FIN on either side waits for the handshake: ours in the queue, the guest's until it comes
    # again with an acknowledgment.
    SYN_RECEIVED: {"SYN acknowledged": ESTABLISHED, "over": CLOSED},
    ESTABLISHED: {"FIN sent": FIN_WAIT_1, "FIN received": CLOSE_WAIT, "over": CLOSED},
    FIN_WAIT_1: {
        "FIN acknowledged": FIN_WAIT_2,
        "FIN received": CLOSING,
        "over": CLOSED,
    },
    FIN_WAIT_2: {"FIN received": TIME_WAIT, "over": CLOSED},
    CLOSE_WAIT: {"FIN sent": LAST_ACK, "over": CLOSED},
    CLOSING: {"FIN acknowledged": TIME_WAIT, "over": CLOSED},
    LAST_ACK: {"FIN acknowledged": CLOSED, "over": CLOSED},
    TIME_WAIT: {"over": CLOSED},
}

#: Where data of the guest is taken.
RECEIVING = frozenset({SYN_RECEIVED, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2})

#: Where the outside may still write.
WRITING = frozenset({SYN_SENT, SYN_RECEIVED, ESTABLISHED, CLOSE_WAIT})

#: Where data or a FIN of ours may be on its way.
TRANSMITTING = frozenset({ESTABLISHED, FIN_WAIT_1, CLOSE_WAIT, CLOSING, LAST_ACK})


def after(state: str, happened: str) -> str:
    """
    The state that something leads to.

    @raise KeyError: It cannot happen in this state.
    """
    return TRANSITIONS[state][happened]
