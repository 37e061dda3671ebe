"""
The shape of the package: who may import whom, and how large a module may be.

The table is the one of C{docs/architecture.md}. A module imports only from levels below its
own; packages on one level are strangers to each other.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
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

#: Circles of imports that still exist. Entries are only ever removed: a circle may lose modules,
#: and one that is gone is taken out of this list.
CIRCLES: tuple[frozenset[str], ...] = (
    frozenset(
        {
            "aero.lan.lan",
            "aero.lan.nat.tcp",
            "aero.lan.nat.udp",
            "aero.lan.services.dns",
            "aero.lan.services.dnsserver",
            "aero.lan.services.ping",
        }
    ),
    frozenset({"aero.tunnel.streams.owner", "aero.tunnel.streams.stream"}),
    frozenset({"aero.ws.endpoint", "aero.ws.protocol"}),
)

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


def dotted(path: Path) -> str:
    """
    The name that a module is imported by.
    """
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def atModuleLevel(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """
    The imports outside functions, those for the type checker alone included.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from atModuleLevel(child)


def imported(tree: ast.AST, package: str, known: Collection[str]) -> set[str]:
    """
    The modules that a module imports.

    @param package: The package that relative imports begin at.
    @param known: The names of all modules; imports of others are left out.
    """
    names: set[str] = set()
    for node in atModuleLevel(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
            continue
        base = package.split(".")[: 1 - node.level or None] if node.level else []
        source = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            names.add(inner if inner in known else source)
    return names & set(known)


def circlesOf(graph: Mapping[str, Collection[str]]) -> set[frozenset[str]]:
    """
    The groups of modules in which each one imports each other one, directly or through others.
    """
    reached = {}
    for name in graph:
        found: set[str] = set()
        waiting = list(graph[name])
        while waiting:
            target = waiting.pop()
            if target not in found:
                found.add(target)
                waiting.extend(graph[target])
        reached[name] = found
    return {
        frozenset({name, *(other for other in reached[name] if name in reached[other])})
        for name in graph
        if name in reached[name]
    }


@cache
def circles() -> frozenset[frozenset[str]]:
    """
    The circles of imports among the production modules.
    """
    names = {dotted(path): path for path, _, _ in modules()}
    graph = {}
    for path, _, tree in modules():
        name = dotted(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        graph[name] = imported(tree, package, names) - {name}
    return frozenset(circlesOf(graph))


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


class CircleTests(SynchronousTestCase):
    """
    Modules do not import each other in circles.
    """

    def test_noNewCircle(self) -> None:
        """
        Every circle is one that is known, or what is left of it.
        """
        new = [
            sorted(circle)
            for circle in circles()
            if not any(circle <= allowed for allowed in CIRCLES)
        ]
        self.assertEqual(new, [])

    def test_goneCirclesAreNotAllowed(self) -> None:
        """
        A circle that is broken is removed from L{CIRCLES}, so that it cannot come back.
        """
        gone = [
            sorted(allowed)
            for allowed in CIRCLES
            if not any(circle <= allowed for circle in circles())
        ]
        self.assertEqual(gone, [])

    def test_circlesAreFound(self) -> None:
        """
        Two modules that import each other are a circle, and so are three, one after another. A
        module that only leads into a circle, or out of one, is not in it.
        """
        graph = {
            "a": {"b"},
            "b": {"a", "c"},
            "c": {"d"},
            "d": {"e"},
            "e": {"c", "f"},
            "f": set(),
            "g": {"a"},
        }
        self.assertEqual(circlesOf(graph), {frozenset("ab"), frozenset("cde")})

    def test_importsAreFound(self) -> None:
        """
        Imports count wherever they are outside functions, and however they are written.
        """
        source = """
import aero.one
from aero import two
from aero.three import Name
from . import four
from .five import Name
from ..six import Name
if TYPE_CHECKING:
    from .seven import Name
else:
    from .eight import Name
class Owner:
    from .nine import Name
    def method(self):
        from .ten import Name
import twisted.python
"""
        here = ("four", "five", "seven", "eight", "nine", "ten")
        names = {f"aero.{name}" for name in ("one", "two", "three", "six")}
        names |= {f"aero.room.{name}" for name in here}
        self.assertEqual(imported(ast.parse(source), "aero.room", names), names - {"aero.room.ten"})


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
