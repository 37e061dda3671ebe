"""
Ethernet tunnels, whatever carries them: one guest on one side, a LAN of its own on the other.
"""
