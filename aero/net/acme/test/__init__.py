"""
Tests of L{aero.net.acme}.
"""
