"""
Services that the LAN itself offers to its guest: DHCP, DNS, ping.
"""
