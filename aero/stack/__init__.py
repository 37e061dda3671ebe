"""
TCP/IP without input and output.

In: frames, commands and C{now}. Out: frames and events. The room imports nothing of Twisted,
reads no clock, opens nothing and logs nothing; it counts drops by reason. C{lan} drives it.
"""
