"""
Tests of L{aero.services}.
"""
