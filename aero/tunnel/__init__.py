"""
The content of carriers: Ethernet, datagrams, many streams, one stream.

In: messages from a carrier (a WebSocket or a data channel). Out: frames for a LAN, datagrams and
bytes for sockets, and messages back. The room knows the C{lan} and C{net} rooms and never which
carrier brought a message. Limits on the number of tunnels and on silence are here, once for all
carriers.
"""
