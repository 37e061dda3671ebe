"""
End-to-end tests: the real program, real sockets, real browsers and peers.

Run them with C{trial --reactor=asyncio tests}. Each starts what it needs on loopback and stops
it again. A missing tool skips the test, and fails it where C{CI} is set.
"""
