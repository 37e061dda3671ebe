"""
Tests of L{aero.net.dns}.
"""
