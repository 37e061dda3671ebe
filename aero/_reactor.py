# -*- test-case-name: aero.test.test_reactor -*-
"""
The choice of the reactor: asyncio, on uvloop where it is installed.

WebRTC needs an asyncio loop, and C{twistd} would pick another reactor as soon as somebody
imports the default one. When C{twistd} builds the plugin's options nothing is chosen yet,
so that is the moment to choose.
"""

from __future__ import annotations

import asyncio
import sys

from aero.errors import StartError


def installReactor() -> None:
    """
    Put the asyncio reactor in place, unless a reactor is there already.

    @raise StartError: Another kind of reactor was asked for.
    """
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor, install

    if "twisted.internet.reactor" not in sys.modules:
        install(_newEventLoop())
    reactor = sys.modules["twisted.internet.reactor"]
    if not isinstance(reactor, AsyncioSelectorReactor):
        raise StartError(
            f"aero runs on the asyncio reactor, not on {type(reactor).__name__}: leave --reactor"
            " out, or say --reactor=asyncio"
        )


def _newEventLoop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
