"""
Pure codecs: bytes to values and back.
"""
