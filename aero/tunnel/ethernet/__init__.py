"""
C{/l2}: Ethernet frames of one guest on one side, a LAN of its own on the other.
"""
