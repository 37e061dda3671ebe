"""
Static files and disk images.

In: a request and a path below a root directory. Out: the file, one range of it, or a compressed
form of it, under the conditional rules of RFC 9110. The room reads files and nothing else; it
knows the C{http} room and no service.
"""
