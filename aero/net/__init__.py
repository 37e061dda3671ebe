"""
Twisted sockets: what aero listens on and what it connects to.
"""
