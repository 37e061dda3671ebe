"""
Tests for L{aero.net.l2}.
"""
