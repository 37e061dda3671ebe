"""
A TCP/IP stack for one guest, without input, output or clock: frames and the time go in, frames
and events come out (docs/architecture.md).
"""
