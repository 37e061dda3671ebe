"""
Fuzz targets: one module for each parser that reads what strangers send.

A target is a function C{check(data)} that raises, whatever the error, where the promise in the
comment above it is broken. C{python -m tests.fuzz.websocket --executions 100000} looks for such
data by changing the files of C{tests/fuzz/corpus/websocket} at random, the same way for the
same C{--seed}, and puts what it finds among them. L{tests.test_fuzz} goes through every file
each time the tests run, so that what was found once stays mended.
"""
