"""
Tests for L{aero.net.udp}.
"""
