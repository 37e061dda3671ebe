"""
What is under C{deploy/}, by the tools that will read it.
"""

from __future__ import annotations

import configparser
import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from aero.docs.headertemplates import headerTemplates

from .support.server import Aero
from .support.tools import freePort, missing, require

DEPLOY = Path(__file__).parents[1] / "deploy"
CHART = DEPLOY / "helm" / "aero"
KUBERNETES = "1.30.0"


def run(*command: str | Path, **environment: str) -> tuple[int, str]:
    """
    Run a tool in an environment with next to nothing in it.

    @return: Exit status, and all that it printed.
    """
    done = subprocess.run(
        [str(word) for word in command],
        env={"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir()} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@functools.cache
def schemas() -> Path:
    """
    The schemas of one version of Kubernetes, as kubeconform wants them: references are relative
    to the file that they are in.
    """
    found = importlib.util.find_spec("kubernetes_validate")
    if found is None or found.origin is None:
        missing("kubernetes-validate, which brings the schemas, is not installed")
        raise AssertionError
    name = f"v{KUBERNETES}-local-strict"
    source = Path(found.origin).parent / "kubernetes-json-schema" / name
    target = Path(tempfile.mkdtemp(prefix="aero-schemas-"))
    for path in source.glob("*.json"):
        text = path.read_text().replace('"/api/_definitions.json', '"_definitions.json')
        schema = json.loads(text)
        schema.pop("$id", None)
        (target / path.name).write_text(json.dumps(schema))
    return target


class ComposeTests(SynchronousTestCase):
    """
    C{docker-compose.yml}.
    """

    file = DEPLOY / "docker-compose.yml"

    def test_valid(self) -> None:
        """
        It is valid with and without TURN, in an empty environment, without a word of warning.
        """
        compose = require("docker-compose")
        for profile in ((), ("--profile", "turn")):
            found = run(compose, "-f", self.file, *profile, "config", "-q")
            self.assertEqual(found, (0, ""))

    def test_labelled(self) -> None:
        """
        It says that it is the one to use (edge.md section 12.1).
        """
        first = self.file.read_text().splitlines()[0]
        self.assertTrue(first.startswith("# CANONICAL"), first)

    def test_hardened(self) -> None:
        """
        Nothing is writable but the state, no capability is left, and there is no default
        password.
        """
        text = self.file.read_text()
        for line in ("read_only: true", "no-new-privileges:true", "cap_drop:", "stop_grace_period"):
            self.assertIn(line, text)
        self.assertNotIn("latest", text)
        self.assertNotRegex(text, r"(?i)password|user=")

    def test_turnWantsASecret(self) -> None:
        """
        The relay of last resort does not start without a secret, and says which.
        """
        shell = re.search(r"- \|\n(.*?)    ports:", self.file.read_text()[1:], re.DOTALL)
        assert shell is not None
        script = shell[1].replace("$$", "$")
        status, said = run("sh", "-ec", script, TURN_REST_SHARED_SECRET="")
        self.assertEqual(status, 1)
        self.assertIn("set TURN_REST_SHARED_SECRET", said)


class DockerfileTests(SynchronousTestCase):
    """
    C{Dockerfile}.
    """

    def test_lint(self) -> None:
        """
        hadolint has nothing to say.
        """
        self.assertEqual(run(require("hadolint"), DEPLOY / "Dockerfile"), (0, ""))

    def test_copiesWhatItBuilds(self) -> None:
        """
        Every file that it copies is there, and whoever runs it is nobody.
        """
        text = (DEPLOY / "Dockerfile").read_text()
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
            for name in line.split():
                self.assertTrue((DEPLOY.parent / name).exists(), name)
        self.assertIn("\nUSER 10001:10001\n", text)

    def test_extras(self) -> None:
        """
        The image has the client of every service that its settings can name, and each extra that
        a server can use is documented with the command that installs it.
        """
        text = (DEPLOY / "Dockerfile").read_text()
        config = configparser.ConfigParser(interpolation=None)
        config.read(DEPLOY.parent / "setup.cfg")
        extras = set(config["options.extras_require"]) - {"test", "fuzz", "dev"}
        self.assertEqual(extras, {"redis"})
        installed = re.search(r"pip install .*'\.\[([a-z,]+)\]'", text)
        assert installed is not None
        self.assertEqual(set(installed[1].split(",")), extras)
        for name in ("README.md", "docs/operations.md", "docs/configuration.md"):
            for extra in extras:
                self.assertIn(f"aero-edge[{extra}]", (DEPLOY.parent / name).read_text(), name)

    def test_healthCheck(self) -> None:
        """
        The probe of the image finds a server that is well, and one that is gone.
        """
        port = freePort()
        environment = {"AERO_TLS_MODE": "off", "PORT": str(port), "HOST": "127.0.0.1"}
        server = Aero(state=None, runDir=None, **environment)
        self.addCleanup(server.kill)
        command = (sys.executable, "-m", "aero.smoke.probe")
        self.assertEqual(run(*command, **environment), (0, ""))
        server.stop()
        status, said = run(*command, **environment)
        self.assertEqual(status, 1)
        self.assertIn("Connection refused", said)


class HelmTests(SynchronousTestCase):
    """
    The chart, with each of its profiles.
    """

    def template(self, *arguments: str | Path) -> tuple[int, str]:
        return run(
            require("helm"), "template", "aero", CHART, "--kube-version", KUBERNETES, *arguments
        )

    def profiles(self) -> list[Path]:
        return sorted((CHART / "profiles").glob("*.yaml"))

    def test_lint(self) -> None:
        """
        helm has nothing to say about any profile.
        """
        self.assertGreaterEqual(len(self.profiles()), 6)
        for profile in self.profiles():
            status, said = run(require("helm"), "lint", "--strict", CHART, "-f", profile)
            self.assertEqual(status, 0, said)

    def test_conforms(self) -> None:
        """
        Whatever a profile renders is what Kubernetes knows, to the last field.
        """
        kubeconform = require("kubeconform")
        location = f"{schemas()}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
        for profile in self.profiles():
            status, text = self.template("-f", profile)
            self.assertEqual(status, 0, text)
            rendered = Path(tempfile.mkdtemp(prefix="aero-helm-")) / "all.yaml"
            rendered.write_text(text)
            status, said = run(
                kubeconform,
                "-strict",
                "-summary",
                # Definitions of others: there are no schemas of them here.
                "-skip",
                "ServiceMonitor,Certificate,Issuer",
                "-kubernetes-version",
                KUBERNETES,
                "-schema-location",
                location,
                rendered,
            )
            self.assertEqual(status, 0, f"{profile.name}: {said}")
            self.assertRegex(said, r"Valid: [1-9]")

    def test_refusals(self) -> None:
        """
        What would run and be wrong does not render, and says why.
        """
        secret = ("--set", "secrets.sessionSecret=0123456789abcdef0123")
        for arguments, words in (
            ((), "secrets.sessionSecret is required"),
            (("--set", "secrets.sessionSecret=__REPLACE_ME__"), "is a placeholder"),
            (("--set", "secrets.sessionSecret=short"), "shorter than 16"),
            ((*secret, "--set", "defaults.replicas=2"), "need redis"),
            ((*secret, "--set", "roles.l2.enabled=true"), "cannot be enabled beside l2"),
            ((*secret, "--set", "roles.aero.enabled=false"), "no role is enabled"),
            ((*secret, "--set", "udp.mode=nodePort"), "expected off, hostNetwork or perReplica"),
            ((*secret, "--set", "udp.mode=perReplica"), "0 addresses for 1 replicas"),
            ((*secret, "--set", "certManager.createIssuer=true"), "certManager.email is required"),
        ):
            status, said = self.template(*arguments)
            self.assertNotEqual(status, 0, arguments)
            self.assertIn(words, said)

    def test_selectors(self) -> None:
        """
        Redis is no pod of aero: nothing that selects the one selects the other.
        """
        _, text = self.template("-f", CHART / "profiles" / "replicas.yaml")
        services = [part for part in text.split("\n---\n") if "\nkind: Service\n" in part]
        components = [re.findall(r"component: (\S+)", part)[-1] for part in services]
        self.assertEqual(sorted(components), ["aero", "redis"])

    def test_noHeadersInTheIngress(self) -> None:
        """
        The process sends its headers itself, and each exactly once.
        """
        for profile in self.profiles():
            _, text = self.template("-f", profile)
            self.assertNotIn("snippet", text)
            self.assertNotIn("Cross-Origin", text)


class SystemdTests(SynchronousTestCase):
    """
    The units.
    """

    def test_verify(self) -> None:
        """
        systemd has nothing to say about them.
        """
        directory = Path(tempfile.mkdtemp(prefix="aero-units-"))
        names = ("aero.service", "aero.socket", "aero-http.socket")
        for name in names:
            text = (DEPLOY / "systemd" / name).read_text()
            # The program is where it is on this machine.
            (directory / name).write_text(text.replace("/opt/aero/bin/twistd", sys.executable))
        found = run(require("systemd-analyze"), "verify", *(directory / name for name in names))
        self.assertEqual(found, (0, ""))

    def test_socketActivation(self) -> None:
        """
        aero serves on a socket that it did not bind, and says so when it knows no such socket.
        """
        port = freePort()
        state = tempfile.mkdtemp(prefix="aero-activated-")
        twistd = shutil.which("twistd", path=str(Path(sys.executable).parent)) or "twistd"
        activate = [
            require("systemd-socket-activate"),
            f"--listen=127.0.0.1:{port}",
            f"--setenv=AERO_STATE_DIR={state}",
        ]
        for name, served in (("https", True), ("web", False)):
            process = subprocess.Popen(
                [
                    *activate,
                    f"--fdname={name}",
                    twistd,
                    "-n",
                    "--pidfile=",
                    "aero",
                    "--http-port=0",
                ],
                stderr=subprocess.PIPE,
                text=True,
            )
            self.addCleanup(process.kill)
            assert process.stderr is not None
            process.stderr.readline()  # it listens
            status, said = run(
                require("curl"), "-sk", "--max-time", "30", f"https://localhost:{port}/healthz"
            )
            if served:
                self.assertEqual((status, said), (0, '{"ok":true}'))
                process.terminate()
            else:
                self.assertNotEqual(status, 0)
            _, errors = process.communicate(timeout=30)
            if not served:
                self.assertIn("'web', expected one of https", errors)


class ObservationTests(SynchronousTestCase):
    """
    Prometheus and Grafana.
    """

    def test_rules(self) -> None:
        """
        promtool accepts the alert rules.
        """
        rules = DEPLOY / "prometheus" / "alerts.yml"
        status, said = run(require("promtool"), "check", "rules", rules)
        self.assertEqual(status, 0, said)

    def test_alerts(self) -> None:
        """
        Each alert about certificates, ACME, Redis, workers and readiness fires on what it is
        about, and on nothing else.
        """
        after, before = (
            f'aero_tls_certificate_not_{word}_timestamp_seconds{{name="pc"}}'
            for word in ("after", "before")
        )
        day = 86_400
        # Each case lasts three hours from the time 0: series with their values, and the alerts.
        cases: list[tuple[dict[str, float | str], set[str]]] = [
            ({"aero_ready": 1}, set()),
            ({"aero_ready": 0}, {"AeroNotReady"}),
            ({after: 60 * day, before: -30 * day}, set()),
            ({after: 20 * day, before: -70 * day}, {"AeroCertificateExpires"}),
            (
                {after: 2 * day, before: -88 * day},
                {"AeroCertificateExpires", "AeroCertificateExpiresSoon"},
            ),
            # A file for a year, and a certificate of seven days that is about to be renewed.
            ({after: 60 * day, before: -300 * day}, set()),
            ({after: 2 * day, before: -5 * day}, set()),
            ({"aero_acme_placeholder": 1}, {"AeroCertificateMissing"}),
            ({"aero_acme_placeholder": 0, "aero_acme_consecutive_failures": 1}, set()),
            ({"aero_acme_consecutive_failures": 4}, {"AeroACMEFails"}),
            (
                {'aero_tls_certificate_reloads_total{outcome="failure"}': "0+1x200"},
                {"AeroCertificateReloadFails"},
            ),
            ({'aero_tls_certificate_reloads_total{outcome="success"}': "0+1x200"}, set()),
            ({"aero_redis_up": 0, "aero_redis_configured": 1}, {"AeroRedisAway"}),
            ({"aero_redis_up": 0, "aero_redis_configured": 0}, set()),
            ({"aero_redis_up": 1, "aero_redis_configured": 1}, set()),
            ({"aero_workers": 3, "aero_workers_configured": 4}, {"AeroWorkersMissing"}),
            ({"aero_workers": 4, "aero_workers_configured": 4}, set()),
            ({"aero_workers": 0, "aero_workers_configured": 0}, set()),
            ({"aero_worker_restarts_total": "0+1x200"}, {"AeroWorkersRestart"}),
            ({"aero_worker_restarts_total": "1+0x200"}, set()),
        ]
        text = (DEPLOY / "prometheus" / "alerts.yml").read_text()
        names = re.findall(r"- alert: (\w+)", text)
        fired = set().union(*(alerts for _, alerts in cases))
        covered = re.compile(r"Aero(?:Certificate|ACME|Redis|Worker|NotReady)")
        self.assertEqual(fired, {name for name in names if covered.match(name)})
        tests = []
        for series, alerts in cases:
            inputs = [
                {
                    "series": _named(name),
                    "values": value if isinstance(value, str) else f"{value}x200",
                }
                for name, value in series.items()
            ]
            tests.append(
                {
                    "interval": "1m",
                    "input_series": inputs,
                    "promql_expr_test": [
                        {
                            "expr": "count by (alertname)(ALERTS{alertstate='firing'})",
                            "eval_time": "3h",
                            "exp_samples": [
                                {"labels": f'{{alertname="{name}"}}', "value": 1}
                                for name in sorted(alerts)
                            ],
                        }
                    ],
                }
            )
        directory = Path(tempfile.mkdtemp(prefix="aero-alerts-"))
        shutil.copy(DEPLOY / "prometheus" / "alerts.yml", directory)
        # JSON is YAML.
        (directory / "test.yml").write_text(
            json.dumps({"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": tests})
        )
        status, said = run(require("promtool"), "test", "rules", directory / "test.yml")
        self.assertEqual(status, 0, said)


def _named(series: str) -> str:
    """
    A series of one server.
    """
    name, _, labels = series.partition("{")
    return f'{name}{{job="aero",instance="pc"{"," + labels if labels else "}"}'


class HeaderTemplateTests(SynchronousTestCase):
    """
    The header templates, in the programs they are for.
    """

    def test_nginx(self) -> None:
        """
        nginx accepts its file.
        """
        nginx = require("nginx")
        directory = Path(tempfile.mkdtemp(prefix="aero-nginx-"))
        (directory / "headers.conf").write_text(headerTemplates()["nginx/aero-headers.conf"])
        (directory / "nginx.conf").write_text(
            f"pid {directory}/pid; error_log {directory}/error.log; events {{}}\n"
            f"http {{ access_log off; server {{ listen 127.0.0.1:{freePort()};"
            f" include {directory}/headers.conf; }} }}\n"
        )
        status, said = run(nginx, "-t", "-c", directory / "nginx.conf")
        self.assertEqual(status, 0, said)

    def test_caddy(self) -> None:
        """
        Caddy accepts its snippet.
        """
        caddy = require("caddy")
        directory = Path(tempfile.mkdtemp(prefix="aero-caddy-"))
        text = headerTemplates()["caddy/aero-headers.caddy"]
        (directory / "Caddyfile").write_text(f"{text}\n:0 {{\n\timport aero_headers\n}}\n")
        status, said = run(
            caddy, "validate", "--adapter", "caddyfile", "--config", directory / "Caddyfile"
        )
        self.assertEqual(status, 0, said)


class TerraformTests(SynchronousTestCase):
    """
    The module for disk images. C{terraform validate} needs the provider, which no package
    registry has; what can be checked without is its form.
    """

    def test_format(self) -> None:
        """
        Every file parses and is formatted.
        """
        for path in sorted((DEPLOY / "terraform").rglob("*.tf")):
            found = run(require("hclfmt"), "-check", "-require-no-change", path)
            self.assertEqual(found, (0, path.read_text()), str(path))
