"""
Tests for L{aero.testing}.
"""
