"""
Writes what follows from the tables: pages of the documentation and files of C{deploy/}.
"""
