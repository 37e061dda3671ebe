"""
curl as the client that nobody doubts, for HTTP/2 and for certificates.
"""

from __future__ import annotations

import subprocess

from .http import Response
from .server import Aero
from .tools import require


def curl(server: Aero, target: str, *options: str, port: int | None = None) -> Response:
    """
    Fetch a target over HTTP/2 with the certificate checked against the server's own root.

    @param options: More options; C{--http1.1} among them gives the other protocol.
    @return: The response; its C{reason} is the protocol version, such as C{2}.
    """
    domain = server.url.partition("//")[2].partition(":")[0]
    port = port or server.port
    result = subprocess.run(
        [
            require("curl"),
            "--silent",
            "--show-error",
            "--include",
            "--path-as-is",
            "--noproxy",
            "*",
            "--http2",
            "--max-time",
            "60",
            "--cacert",
            str(server.rootCertificate),
            "--resolve",
            f"{domain}:{port}:127.0.0.1",
            *options,
            f"https://{domain}:{port}{target}",
        ],
        capture_output=True,
        check=False,
    )
    if result.returncode:
        raise AssertionError(f"curl: {result.stderr.decode()}")
    return parsed(result.stdout)


def parsed(output: bytes) -> Response:
    """
    Read what C{curl --include} prints.
    """
    head, _, body = output.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    version, status = first.removeprefix("HTTP/").split()[:2]
    if 100 <= int(status) < 200:
        return parsed(body)
    lines = [(name, value.strip()) for name, _, value in (line.partition(":") for line in rest)]
    return Response(int(status), version, lines, body)
