"""
A guest that shares nothing with this machine: Linux of Debian's cloud kernel in QEMU, with a
virtual NIC whose frames go to C{/l2}. It is emulated (TCG), as slow as in a browser nearly.

The machine has no disk. Its initial RAM disk, made here, holds busybox and the modules of the
NIC, and runs the shell script of the test.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Iterator
from urllib.parse import urlsplit

from .server import ROOT, Aero
from .tools import missing, require

#: In the order they need each other.
_MODULES = (
    *("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"),
    *("failover", "net_failover", "virtio_net"),
)

_DHCP_SCRIPT = """#!/bin/busybox sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev eth0
ip route add default via "$router"
[ -z "$mtu" ] || ip link set eth0 mtu "$mtu"
for each in $dns; do echo "nameserver $each" >> /etc/resolv.conf; done
echo "leased $ip mtu $mtu"
"""

_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
for module in __MODULES__; do insmod "/modules/$module.ko"; done
ip link set lo up
ip link set eth0 up
echo "== booted"
sh /test
echo "== done $?"
poweroff -f
"""


def kernel() -> tuple[Path, Path]:
    """
    The image of a kernel, and its directory of modules.
    """
    for image in sorted(Path("/boot").glob("vmlinuz-*cloud-*"), reverse=True):
        modules = Path("/lib/modules") / image.name.removeprefix("vmlinuz-")
        if modules.is_dir():
            return image, modules
    missing("linux-image-cloud-amd64 is not installed")
    raise AssertionError


def runInQEMU(server: Aero, script: str, *, timeout: float) -> str:
    """
    Boot a machine that is plugged into a server, and run a shell script of busybox in it, which
    may use C{/dhcp} as the script of C{udhcpc}.

    @return: What the script wrote.
    @raise AssertionError: It did not come to its end with success.
    """
    qemu = require("qemu-system-x86_64")
    image, modules = kernel()
    with tempfile.TemporaryDirectory(prefix="aero-qemu-") as name:
        directory = Path(name)
        (directory / "initrd").write_bytes(gzip.compress(_ramDisk(modules, script), 1))
        here, there = directory / "bridge", directory / "machine"
        with (directory / "console").open("w+b") as console:
            machine = subprocess.Popen(
                [
                    qemu,
                    *("-M", "pc,accel=tcg", "-cpu", "qemu64", "-m", "192"),
                    *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
                    *("-kernel", str(image), "-initrd", str(directory / "initrd")),
                    *("-append", "console=ttyS0 quiet panic=-1"),
                    *("-serial", "stdio", "-device", "virtio-net-pci,netdev=cable,romfile="),
                    "-netdev",
                    f"dgram,id=cable,local.type=unix,local.path={there},"
                    f"remote.type=unix,remote.path={here}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
            try:
                _waitFor(there, machine)
                with _Bridge(server, here, there):
                    machine.wait(timeout)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"after {timeout} s: {_said(console.name)}") from None
            finally:
                machine.kill()
                machine.wait()
        output = _said(console.name)
    begin, end = output.find("== booted"), output.find("== done 0")
    if begin < 0 or end < 0:
        raise AssertionError(output)
    return output[begin + len("== booted") : end]


def _said(console: str | int) -> str:
    return Path(str(console)).read_text("utf-8", "replace").replace("\r", "")


def _waitFor(path: Path, machine: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        if machine.poll() is not None or time.monotonic() > deadline:
            raise AssertionError("QEMU did not start")
        time.sleep(0.02)


class _Bridge:
    """
    The bridge between the machine and the server, for as long as a context lasts.
    """

    def __init__(self, server: Aero, here: Path, there: Path) -> None:
        url = urlsplit(server.url)
        options = {"host": "127.0.0.1", "port": url.port, "here": str(here), "there": str(there)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.tapbridge", json.dumps(options)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def __enter__(self) -> None:
        return None

    def __exit__(self, *ignored: object) -> None:
        self._process.communicate()


def _ramDisk(modules: Path, script: str) -> bytes:
    """
    An archive in the format of the kernel's buffer-format.rst ("newc").
    """
    present = {path.name.split(".")[0]: path for path in modules.rglob("*.ko")}
    chosen = [name for name in _MODULES if name in present]
    init = _INIT.replace("__MODULES__", " ".join(chosen))
    entries: list[tuple[str, int, bytes]] = [
        (name, 0o40_755, b"") for name in ("bin", "dev", "etc", "modules", "proc", "sys", "tmp")
    ]
    entries += [
        ("init", 0o100_755, init.encode()),
        ("dhcp", 0o100_755, _DHCP_SCRIPT.encode()),
        ("test", 0o100_755, script.encode()),
        ("bin/busybox", 0o100_755, Path(require("busybox")).read_bytes()),
    ]
    entries += [(f"modules/{name}.ko", 0o100_644, present[name].read_bytes()) for name in chosen]
    return b"".join(_entries(entries))


def _entries(entries: list[tuple[str, int, bytes]]) -> Iterator[bytes]:
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        yield head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
