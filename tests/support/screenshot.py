"""
Makes the pictures of the page in C{docs/images}, from a real server and with all its checks done::

    PYTHONPATH=$PWD python -m tests.support.screenshot [directory]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .browser import Browser, inBrowserThread
from .server import ROOT, Aero, edgeOptions
from .targets import Target, echo
from .tools import freePort

#: The pictures: name, and what kind of screen each is of.
SCREENS: dict[str, dict[str, Any]] = {
    "page-light.png": {
        "viewport": {"width": 1280, "height": 1400},
        "color_scheme": "light",
    },
    "page-dark.png": {
        "viewport": {"width": 1280, "height": 1400},
        "color_scheme": "dark",
    },
    "page-phone.png": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "color_scheme": "light",
    },
}


def take(browser: Browser, directory: Path) -> None:
    """
    Take every picture of the page after its checks.
    """
    with Target(echo) as target:
        for name, screen in SCREENS.items():
            with browser.open(**screen) as tab:
                tab.goto(f"/#tcpTarget=127.0.0.1:{target.port}")
                tab.page.wait_for_selector("#all:not([data-state=running])")
                tab.page.screenshot(path=directory / name)
                print(f"{directory / name}: {tab.page.inner_text('#tally')}")


@inBrowserThread
def main(directory: Path) -> None:
    """
    Start a server and a browser, take the pictures, stop both.
    """
    directory.mkdir(parents=True, exist_ok=True)
    server = Aero(
        *edgeOptions(),
        TCP_ALLOW_PRIVATE_IPS="1",
        DNS_UPSTREAMS=f"127.0.0.1:{freePort()}",
        ALLOW_UDP_CIDRS="192.0.2.0/24",
    )
    try:
        take(Browser(server), directory)
    finally:
        server.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs" / "images")
