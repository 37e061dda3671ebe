"""
Sockets of the host: listeners, the dialer, the PROXY protocol, UDP sockets, back-pressure.

In: addresses that the policy approved. Out: Twisted transports. The room knows no HTTP, no
WebSocket and no guest.
"""
