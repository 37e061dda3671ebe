"""
aero: one Twisted process that gives browser-based PC emulators and WebAssembly VMs a server.

Start at L{aero.app.Aero}, the composition root, and C{docs/architecture.md}.
"""

__version__ = "0.1.0"
