"""
What several processes and machines that are one server have to agree about: limits, locks and
revocations.
"""
