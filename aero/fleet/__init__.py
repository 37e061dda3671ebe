"""
Several processes as one server: shared counters, claims and revocations; the supervisor and its
workers.

In: claims, rates and revocations of this process. Out: the same, agreed with all workers of this
machine, and with other machines through Redis. Other rooms see L{aero.fleet.store.Store} and
L{aero.fleet.claims.Claims}, and never which store is behind them.
"""
