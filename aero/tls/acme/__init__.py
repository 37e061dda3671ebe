"""
Certificates from a public CA that speaks ACME (RFC 8555), got and renewed by the server itself.
"""
