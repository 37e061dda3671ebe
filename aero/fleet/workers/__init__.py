"""
The supervisor, its workers, and the pipe between them.
"""
