"""
A street with two houses: a network namespace that is joined to this machine's by a pair of virtual
Ethernet devices. The server lives here and a Chromium there, because no browser does WebRTC over
loopback.
"""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .browser import PATIENCE, _playwright, _thread
from .server import Aero
from .tools import freePort, missing, require

#: The addresses of this side and of the other.
HERE, THERE = "198.18.77.1", "198.18.77.2"
HERE_V6, THERE_V6 = "fd77::1", "fd77::2"

_SCRIPTS = [Path(__file__).with_name(name) for name in ("l2guest.js", "rtcpage.js")]

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)


class Street:
    """
    The namespace and what runs in it.

    @ivar namespace: Its name.
    """

    def __init__(self) -> None:
        ip = require("ip")
        if os.geteuid() != 0:
            missing("making network namespaces takes root")
        self.namespace = f"aero-{os.getpid()}"
        near, far = f"ae{os.getpid()}n", f"ae{os.getpid()}f"
        inside = ("-n", self.namespace)
        for command in (
            ("netns", "add", self.namespace),
            ("link", "add", near, "type", "veth", "peer", "name", far),
            ("link", "set", far, "netns", self.namespace),
            ("addr", "add", f"{HERE}/30", "dev", near),
            ("addr", "add", f"{HERE_V6}/64", "dev", near, "nodad"),
            ("link", "set", near, "up"),
            (*inside, "addr", "add", f"{THERE}/30", "dev", far),
            (*inside, "addr", "add", f"{THERE_V6}/64", "dev", far, "nodad"),
            (*inside, "link", "set", far, "up"),
            (*inside, "link", "set", "lo", "up"),
        ):
            done = subprocess.run([ip, *command], capture_output=True, text=True, check=False)
            if done.returncode:
                self.close()
                missing(f"no network namespace could be made: {done.stderr.strip()}")
        atexit.register(self.close)

    def close(self) -> None:
        """
        Take everything away; the devices go with the namespace.
        """
        atexit.unregister(self.close)
        subprocess.run(
            [require("ip"), "netns", "del", self.namespace], capture_output=True, check=False
        )

    @functools.cached_property
    def chromium(self) -> Any:
        """
        A Chromium on the other side. To be used in the browser's thread.
        """
        program = require("chromium", "chromium-browser")
        home = Path(tempfile.mkdtemp(prefix="aero-street-"))
        start = home / "chromium"
        start.write_text(
            f'#!/bin/sh\nexec {require("ip")} netns exec {self.namespace} {program} "$@"\n'
        )
        start.chmod(0o755)
        browser = _playwright().chromium.launch(
            executable_path=str(start),
            args=[*_ARGUMENTS, f"--host-resolver-rules=MAP localhost {HERE}"],
            env={"PATH": os.environ["PATH"], "HOME": str(home)},
        )
        atexit.register(lambda: _thread().run(browser.close))
        return browser


@functools.cache
def street() -> Street:
    """
    The one street of this test run.
    """
    return Street()


def relay(*options: str, **variables: str) -> Aero:
    """
    A relay alone, as the reference's tests start it, that offers this side of the street.
    """
    street()
    environment = {
        "ALLOWED_ORIGINS": "*",
        "DESTINATION_POLICY_PRESET": "dev",
        "ALLOW_PRIVATE_NETWORKS": "true",
        "AUTH_MODE": "none",
        "WEBRTC_UDP_LISTEN_IP": HERE,
    }
    listen = f"0.0.0.0:{freePort('0.0.0.0')}"
    return Aero(
        *("--services", "relay", "--tls", "off", "--relay-listen-addr", listen),
        *options,
        **(environment | variables),  # type: ignore[arg-type]
    )


_shared: dict[tuple[tuple[str, str], ...], Aero] = {}


def sharedRelay(**variables: str) -> Aero:
    """
    A relay that tests with the same settings share; it is stopped when the test run ends.
    """
    key = tuple(sorted(variables.items()))
    if key not in _shared or _shared[key].process.poll() is not None:
        _shared[key] = relay(**variables)
    return _shared[key]


class RelayPage:
    """
    A page of the relay in Chromium, with C{rtcpage.js} at hand. To be used in the browser's
    thread.
    """

    def __init__(self, server: Aero) -> None:
        self.context = street().chromium.new_context()
        self.context.set_default_timeout(PATIENCE)
        for script in _SCRIPTS:
            self.context.add_init_script(path=script)
        self.page = self.context.new_page()
        self.page.goto(f"http://{HERE}:{server.port}/healthz")

    def __enter__(self) -> RelayPage:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.context.close()

    def call(self, name: str, /, **options: Any) -> Any:
        """
        Call a function of the script.
        """
        return self.page.evaluate(f"(options) => rtc.{name}(options)", options)

    def connect(self, **options: Any) -> dict[str, Any]:
        """
        Set up a connection; see C{connect} of the script.
        """
        found: dict[str, Any] = self.call("connect", **options)
        return found

    def send(self, label: str, *messages: bytes, peer: str = "0") -> None:
        """
        Send binary messages.
        """
        self.call("send", peer=peer, label=label, messages=[list(m) for m in messages])

    def receive(self, label: str, *, peer: str = "0", timeout: int = 10_000) -> bytes | None:
        """
        The next message, or C{None} where there is none in so many milliseconds.
        """
        found = self.call("receive", peer=peer, label=label, timeout=timeout)
        return None if found is None else bytes(found)
