"""
Codecs: bytes in, values out, and back.

No clock, no state, no input or output. Every length is checked before it is used; whatever is
wrong raises one error type, C{ValueError} or its child.
"""
