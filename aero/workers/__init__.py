"""
Several processes as one server: a supervisor, and what its workers know of it.
"""
