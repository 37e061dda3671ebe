"""
Session tokens, cookies and relay tokens: strict codecs over a secret and a given time.
"""
