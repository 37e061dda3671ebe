# -*- test-case-name: aero.smoke.test.test_checks -*-
"""
The command line of the checks: C{python -m aero.smoke URL}.
"""

from __future__ import annotations

import argparse
import sys
from typing import Sequence, TextIO

# The modules of checks register what they have, in the order in which it is to run.
from . import gateway, l2, relay, site
from .client import Site
from .context import Context, checks
from .report import Failed, Outcome, Report, Skipped

#: The modules whose checks run.
MODULES = (site, gateway, relay, l2)


def main(arguments: Sequence[str], stream: TextIO) -> int:
    """
    Run every check.

    @return: The exit status: 0 where all is well, 1 where something is not; argparse itself
        exits with 2 where the arguments make no sense.
    """
    options = _parser().parse_args(arguments)
    try:
        deployment = Site(
            options.url,
            verify=not options.insecure,
            ca=options.cacert,
            address=options.connect_to,
        )
    except (ValueError, OSError) as error:
        print(f"aero.smoke: {error}", file=sys.stderr)
        return 2
    context = Context(
        deployment,
        redirectPort=options.http_port,
        echo=options.udp_echo,
        target=options.tcp_target,
        asset=options.asset,
        apiKey=options.api_key,
        private=options.private,
    )
    return run(context, Report(stream, options.json))


def run(context: Context, report: Report) -> int:
    """
    Run the checks one after the other; what one learns, later ones use.
    """
    for statement, function in checks():
        try:
            report.add(Outcome("ok", statement, function(context) or ""))
        except Skipped as skipped:
            report.add(Outcome("skip", statement, str(skipped)))
        except (Failed, OSError, ValueError) as error:
            report.add(Outcome("FAIL", statement, str(error) or repr(error)))
    return report.finish()


def _hostPort(value: str) -> tuple[str, int]:
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, not {value!r}")
    return host.strip("[]"), int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aero.smoke",
        description="Check a running deployment from the outside. Exit status 0 where all is well.",
    )
    parser.add_argument("url", help="the base URL, such as https://example.com/")
    parser.add_argument("--insecure", "-k", action="store_true", help="trust any certificate")
    parser.add_argument("--cacert", metavar="FILE", help="trust this root certificate")
    parser.add_argument("--connect-to", default="", metavar="ADDRESS", help="instead of the name's")
    parser.add_argument("--http-port", type=int, help="the port that redirects plain HTTP")
    parser.add_argument("--api-key", default="", help="a key of the relay")
    parser.add_argument("--asset", default="", metavar="PATH", help="a file below /assets/")
    parser.add_argument(
        "--udp-echo", type=_hostPort, metavar="HOST:PORT", help="a UDP echo server (IPv4)"
    )
    parser.add_argument(
        "--tcp-target",
        type=_hostPort,
        default=("example.com", 80),
        metavar="HOST:PORT",
        help="a TCP server that the gateway may reach (default example.com:80)",
    )
    parser.add_argument(
        "--private", action="store_true", help="the gateway is meant to reach private networks"
    )
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdout))
