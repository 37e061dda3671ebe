"""
A check of a running deployment from the outside: C{python -m aero.smoke URL}.

It knows what a client knows and nothing else, so it runs against any server that speaks the
protocols of the reference, whatever stands in front of it.
"""
