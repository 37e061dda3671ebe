"""
Decisions: values and C{now} in, a verdict out. Nothing is opened, logged or looked up.
"""
