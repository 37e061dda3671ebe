"""
One TCP connection (RFC 9293), without input, output or clock.
"""
