"""
Decisions without effects: origins, hosts, addresses, egress, quotas, who the client is, and
which headers every response carries. Text and numbers in, a decision or
L{aero.errors.Refused} out.
"""
