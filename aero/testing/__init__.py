"""
Fakes and helpers for tests, aero's own and those of its users.
"""
