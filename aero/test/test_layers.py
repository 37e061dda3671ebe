"""
The shape of the package: who may import whom, and how large a module may be.

The table is the one of C{docs/architecture.md}. A module imports only from levels below its
own; packages on one level are strangers to each other.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Iterator

from twisted.trial.unittest import SynchronousTestCase

PACKAGE = Path(__file__).parents[1]

#: The rows of the house, from the bottom. A room imports from rows below its own only; the rooms
#: of one row do not import each other. The last row holds what starts, documents and checks.
ROWS = (
    ("errors", "interfaces"),
    ("log", "metrics"),
    ("wire", "policy", "auth"),
    ("settings",),
    ("stack",),
    ("net",),
    ("dns", "tls", "fleet"),
    ("lan",),
    ("http", "tunnel", "_launch"),
    ("web", "files", "ws", "rtc", "_page", "_process"),
    ("services", "usage", "_reactor"),
    ("app", "docs", "smoke"),
    ("tap",),
)

LEVELS = {room: level for level, row in enumerate(ROWS) for room in row}

#: Rooms that decide and encode only: no Twisted, no clock, no randomness, no I/O of their own.
PURE = {"wire", "policy", "auth", "metrics", "settings", "stack"}
FORBIDDEN_IN_PURE = {"twisted", "autobahn", "aiortc", "socket", "asyncio", "time", "logging"}

#: Libraries that only some rooms may know.
RESERVED = {
    "autobahn": {"ws"},
    "txaio": {"ws"},
    "aiortc": {"rtc"},
    "aioice": {"rtc"},
    "uvloop": {"_reactor"},
    "prometheus_client": {"metrics"},
    "redis": {"fleet"},
    "acme": {"tls"},
    "josepy": {"tls"},
    "requests": {"tls"},
}

MOST_LINES = 600


@cache
def modules() -> tuple[tuple[Path, str, ast.Module], ...]:
    """
    Production modules: path, room, syntax tree. They are parsed once for all tests.
    """
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        if "test" in relative.parts[:-1] or relative.parts[0] == "testing":
            continue
        room = relative.parts[0].removesuffix(".py")
        found.append((path, room, ast.parse(path.read_text("utf-8"))))
    return tuple(found)


@cache
def imports(tree: ast.AST) -> tuple[tuple[ast.stmt, int, str], ...]:
    """
    The imports of a module, anywhere in it: statement, relative level, dotted name.
    """
    return tuple(_imports(tree))


def _imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, 0, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield node, node.level, base
            if base in ("aero", "twisted", "twisted.internet"):
                for alias in node.names:
                    yield node, node.level, f"{base}.{alias.name}"


class LayerTests(SynchronousTestCase):
    """
    Each module stays on its level.
    """

    def test_everyPartHasALevel(self) -> None:
        """
        A new room is put into a row before it can be used.
        """
        parts = {part for _, part, _ in modules()} - {"__init__"}
        self.assertEqual(parts - set(LEVELS), set())

    def test_importsGoDown(self) -> None:
        """
        A module imports only from parts below its own.
        """
        wrong = []
        for path, part, tree in modules():
            for node, level, name in imports(tree):
                if level or not name.startswith("aero."):
                    continue
                target = name.split(".")[1]
                if target not in LEVELS:
                    continue
                if target == part or LEVELS[target] < LEVELS.get(part, 9):
                    continue
                wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno} imports {name}")
        self.assertEqual(wrong, [])

    def test_insideRelativeAcrossAbsolute(self) -> None:
        """
        A layer crossing is visible: imports inside a part are relative, all others absolute.
        """
        wrong = []
        for path, part, tree in modules():
            inPackage = path.parent != PACKAGE
            for node, level, name in imports(tree):
                across = level > len(path.relative_to(PACKAGE).parts) - 1
                inside = inPackage and level == 0 and (name + ".").startswith(f"aero.{part}.")
                if across or inside:
                    wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno} imports {name}")
        self.assertEqual(wrong, [])

    def test_purePartsTouchNothing(self) -> None:
        """
        Codecs and decisions know no Twisted, no socket and no clock.
        """
        wrong = [
            f"{path.relative_to(PACKAGE)}:{node.lineno} imports {name}"
            for path, part, tree in modules()
            if part in PURE
            for node, level, name in imports(tree)
            if level == 0 and name.split(".")[0] in FORBIDDEN_IN_PURE
        ]
        self.assertEqual(wrong, [])

    def test_reservedLibraries(self) -> None:
        """
        Autobahn stays in the WebSocket layer, WebRTC in its own, and so on.
        """
        wrong = [
            f"{path.relative_to(PACKAGE)}:{node.lineno} imports {name}"
            for path, part, tree in modules()
            for node, level, name in imports(tree)
            if level == 0 and part not in RESERVED.get(name.split(".")[0], {part})
        ]
        self.assertEqual(wrong, [])

    def test_noReactorAtImport(self) -> None:
        """
        Importing a module of aero never chooses a reactor.
        """
        wrong = []
        for path, _, tree in modules():
            for node in tree.body:
                names = [name for _, _, name in imports(node)]
                if isinstance(node, (ast.Import, ast.ImportFrom)) and (
                    "twisted.internet.reactor" in names
                ):
                    wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
        self.assertEqual(wrong, [])

    def test_productionKnowsNoTesting(self) -> None:
        """
        Production code does not lean on the fakes.
        """
        wrong = [
            f"{path.relative_to(PACKAGE)}:{node.lineno}"
            for path, _, tree in modules()
            for node, _, name in imports(tree)
            if name.startswith("aero.testing")
        ]
        self.assertEqual(wrong, [])


class ShapeTests(SynchronousTestCase):
    """
    Modules stay small enough to read.
    """

    def test_noModuleIsTooLong(self) -> None:
        """
        No module has more than 600 lines, tests included.
        """
        long = [
            f"{path.relative_to(PACKAGE)}: {count} lines"
            for path in sorted(PACKAGE.rglob("*.py"))
            if (count := len(path.read_text("utf-8").splitlines())) > MOST_LINES
        ]
        self.assertEqual(long, [])

    def test_modulesSayWhatTheyAre(self) -> None:
        """
        Every module begins with a docstring.
        """
        silent = [
            str(path.relative_to(PACKAGE))
            for path, _, tree in modules()
            if not ast.get_docstring(tree)
        ]
        self.assertEqual(silent, [])

    def test_packagesHoldNoCode(self) -> None:
        """
        An C{__init__} holds a docstring and re-exports, nothing that runs.
        """
        wrong = []
        for path, _, tree in modules():
            if path.name != "__init__.py":
                continue
            for node in tree.body[1:]:
                plain = isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign))
                if not plain:
                    wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
        self.assertEqual(wrong, [])

    def test_pluginDirectoryIsNoPackage(self) -> None:
        """
        Neither C{twisted/} nor C{twisted/plugins/} has an C{__init__}: the first would hide
        Twisted itself, the second the plugin.
        """
        root = PACKAGE.parent
        for name in ("twisted/__init__.py", "twisted/plugins/__init__.py"):
            self.assertFalse((root / name).exists(), name)
