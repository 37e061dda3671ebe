"""
Floods against a server of their own, run by hand. Each is measured by a well-behaved neighbour.
"""
