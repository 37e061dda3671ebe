"""
WebSocket carriers, on Autobahn: C{/tcp}, C{/tcp-mux}, C{/l2}, C{/udp} and WebRTC signalling.

In: an upgrade request from the router. Out: messages for the C{tunnel} room, and its messages for
the client. The room decides about handshakes, credentials and close codes; it does not look into
the data that it carries.
"""
