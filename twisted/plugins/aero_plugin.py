"""
Makes C{twistd aero} known. Everything is named by string, so that listing the plugins imports
nothing of aero.
"""

from twisted.application.service import ServiceMaker

aero = ServiceMaker(
    "aero",
    "aero.tap",
    "A server for browser-based PC emulators and WebAssembly VMs.",
    "aero",
)
