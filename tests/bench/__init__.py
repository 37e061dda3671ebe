"""
Benchmarks, run by hand. Each measures aero and a peer in one run and prints a table.
"""
