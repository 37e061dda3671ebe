"""
Credentials: session tokens, JWTs, API keys, and the modes that C{/l2} and the relay accept.
"""
