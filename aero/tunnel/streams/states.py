# -*- test-case-name: aero.tunnel.streams.test.test_stream -*-
"""
The states of a stream of C{/tcp-mux}.

I{Remote} is the client, I{local} the protocol on this side. A direction counts as ended when its
end is in the queue; the queues themselves are no matter of the state.
"""

from __future__ import annotations

#: States.
OPENING = "opening"
OPENING_ENDED = "opening, remote ended"
OPEN = "open"
REMOTE_ENDED = "remote ended"
LOCAL_ENDED = "local ended"
FINISHED = "finished"
CLOSED = "closed"

#: Events.
CONNECTED = "connected"
REMOTE_END = "remote end"
LOCAL_END = "local end"
DROPPED = "dropped"

#: What each event makes of each state. An event that is not here has no effect.
TRANSITIONS: dict[tuple[str, str], str] = {
    (OPENING, CONNECTED): OPEN,
    (OPENING, REMOTE_END): OPENING_ENDED,
    (OPENING_ENDED, CONNECTED): REMOTE_ENDED,
    (OPEN, REMOTE_END): REMOTE_ENDED,
    (OPEN, LOCAL_END): LOCAL_ENDED,
    (REMOTE_ENDED, LOCAL_END): FINISHED,
    (LOCAL_ENDED, REMOTE_END): FINISHED,
    **{
        (state, DROPPED): CLOSED
        for state in (OPENING, OPENING_ENDED, OPEN, REMOTE_ENDED, LOCAL_ENDED, FINISHED)
    },
}

#: States in which the client may send data, and those in which the protocol may.
REMOTE_OPEN = frozenset((OPENING, OPEN, LOCAL_ENDED))
LOCAL_OPEN = frozenset((OPEN, REMOTE_ENDED))
