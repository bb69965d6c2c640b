"""Which part may use which: read from the source, imports within functions and for type checkers included."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

PURE = [
    "receptor.netceptor",
    "receptor.workceptor.status",
    "receptor.workceptor.remote",
    "receptor.workceptor.conversations",
    "receptor.workceptor.pods.log",
    "receptor.workceptor.pods.logic",
    "receptor.workceptor.pods.pod",
    "receptor.control.commands",
    "receptor.identifiers",
    "receptor.durations",
]

WITHOUT_EFFECTS = {
    "__future__", "collections", "contextlib", "dataclasses", "datetime", "enum", "functools", "hashlib", "heapq",
    "itertools", "math", "random", "re", "ssl", "string", "struct", "typing",
    "msgspec", "re2", "qh3._hazmat", "qh3.quic", "qh3.tls",
}  # fmt: skip
"""What pure modules may import: it neither waits nor reads nor writes, and tells no time unless asked to."""

NEVER_USES = {
    "receptor.netceptor": ["backends", "node", "workceptor", "control", "config", "daemon", "cli", "client", "ctl"],
    "receptor.backends": ["node", "workceptor", "control", "config", "daemon", "cli", "client", "ctl"],
    "receptor.node": ["workceptor", "control", "config", "daemon", "cli", "client", "ctl"],
    "receptor.certificates": [
        *("netceptor", "backends", "node", "tls", "workceptor", "control", "config", "daemon", "cli", "client", "ctl"),
    ],
    "receptor.services": ["control", "daemon", "cli", "client", "ctl"],
    "receptor.tls": ["backends", "node", "control", "services", "daemon", "cli", "client", "ctl"],
    "receptor.workceptor": ["control", "daemon", "cli", "client", "ctl"],
    "receptor.control": ["daemon", "cli", "client", "ctl"],
    "receptor.client": ["netceptor", "backends", "node", "workceptor", "control", "config", "daemon", "cli", "ctl"],
    "receptor.ctl": ["netceptor", "backends", "node", "workceptor", "control", "config", "daemon", "cli"],
}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module and package of the program by its dotted name."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text("utf-8"), str(path))
    return found


def imports(tree: ast.Module) -> Iterator[str]:
    """The dotted names that a module imports; ``from a import b`` is ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def members(package: str) -> list[str]:
    """A module, or a package with everything in it."""
    found = [name for name in modules() if is_within(name, package)]
    assert found, f"there is no {package}"
    return found


def with_all_they_import(names: list[str]) -> set[str]:
    """The modules of the program that get loaded with these."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        waiting += [name.rpartition(".")[0]] if "." in name else []
        if name in modules() and name not in found:
            found.add(name)
            waiting += imports(modules()[name])
    return found


def foreign_imports(name: str) -> set[str]:
    """What a module imports from elsewhere that is not known to be without effects."""
    allowed = {"receptor", *WITHOUT_EFFECTS}
    return {found for found in imports(modules()[name]) if not any(is_within(found, one) for one in allowed)}


@pytest.mark.parametrize("part", PURE)
def test_pure_parts_load_nothing_that_waits_reads_writes_or_tells_the_time(part: str) -> None:
    loaded = with_all_they_import(members(part))
    impure = {name: foreign_imports(name) for name in loaded}
    assert {name: found for name, found in impure.items() if found} == {}


@pytest.mark.parametrize("part", PURE)
def test_pure_parts_neither_ask_for_the_time_nor_for_chance_nor_for_files(part: str) -> None:
    found = [
        f"{name}:{node.lineno}"
        for name in with_all_they_import(members(part))
        for node in ast.walk(modules()[name])
        if isinstance(node, ast.Call) and is_impure(node.func)
    ]
    assert found == []


def is_impure(called: ast.expr) -> bool:
    match called:
        case ast.Attribute(attr="now" | "utcnow" | "today"):
            return True
        case ast.Attribute(value=ast.Name("random"), attr=name):
            return name != "Random"
        case ast.Name("open" | "print" | "input" | "exec" | "eval" | "__import__"):
            return True
        case _:
            return False


@pytest.mark.parametrize("part", NEVER_USES)
def test_layers_are_kept(part: str) -> None:
    loaded = with_all_they_import(members(part))
    assert {name for name in loaded for other in NEVER_USES[part] if is_within(name, f"receptor.{other}")} == set()


def test_the_runner_needs_only_the_standard_library() -> None:
    """It is kept small and is started for each unit: nothing else may be loaded with it."""
    names = {name.split(".")[0] for name in imports(modules()["receptor.workceptor.runner"])}
    assert names <= sys.stdlib_module_names


@pytest.mark.parametrize("part", ["receptor.cli", "receptor.ctl", "receptor.client", "receptor.daemon"])
def test_nodes_and_clients_do_not_use_what_is_for_tests(part: str) -> None:
    assert not [name for name in with_all_they_import(members(part)) if is_within(name, "receptor.testing")]


# The checks themselves


def test_all_imports_are_found() -> None:
    source = """
import a, b.c as d
from e.f import g
def later():
    from h import i
if TYPE_CHECKING:
    import j
"""
    assert set(imports(ast.parse(source))) == {"a", "b.c", "e.f.g", "h.i", "j"}


@pytest.mark.parametrize(
    "source", ["datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()", "random.random()", "open('x')"]
)
def test_impure_calls_are_found(source: str) -> None:
    (statement,) = ast.parse(source).body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Call)
    assert is_impure(statement.value.func)


def test_what_is_loaded_is_followed_through_other_modules() -> None:
    loaded = with_all_they_import(["receptor.node.mesh_node"])
    assert {"receptor.netceptor.messages", "receptor.netceptor", "receptor"} <= loaded
    assert foreign_imports("receptor.node.mesh_node") >= {"asyncio", "time", "logging"}
