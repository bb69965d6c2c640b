"""The examples of docs/python.md, run in their order against the nodes that the page describes."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

import pytest
import yaml
from commands import eventually
from receptor_process import Action, NodeProcess, free_port
from receptor_process import node as running_node

from receptor.client import Client, SyncClient

PAGE = Path(__file__).parents[2] / "docs/python.md"
_BLOCK = re.compile(r"(<!-- not run: .+ -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """Kind and content of those that are run, and of what they print."""
    return [(kind, text) for not_run, kind, text in _BLOCK.findall(PAGE.read_text("utf-8")) if not not_run]


def examples() -> Iterator[tuple[str, str]]:
    """Each example, and what it prints."""
    found = blocks()
    for (kind, text), (next_kind, output) in zip(found, [*found[1:], ("", "")], strict=True):
        if kind == "python":
            yield text, output if next_kind == "text" else ""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("m")
    port = str(free_port())
    configurations: list[list[Action]] = [
        yaml.safe_load(text.replace("2222", port).replace("python3", sys.executable))
        for kind, text in blocks()
        if kind == "yaml"
    ]
    foo_has, bar_has = (
        [action for action in actions if not action.keys() & {"node", "control-service"}] for actions in configurations
    )
    with running_node(folder, "foo", *foo_has) as foo, running_node(folder, "bar", *bar_has):
        eventually(lambda: offers_calls(foo) == {"foo", "bar"}, 20)
        yield foo


def offers_calls(node: NodeProcess) -> set[str]:
    with SyncClient(node.socket) as client:
        known = client.status().advertisements
    return {one.node_id for one in known if any(offer.name == "python" for offer in one.work_types)}


def test_the_examples(mesh: NodeProcess, tmp_path: Path) -> None:
    names: dict[str, object] = {"__name__": "page"}
    with asyncio.Runner() as runner:
        for text, output in examples():
            source = text.replace("/tmp/foo.sock", str(mesh.socket)).replace("/tmp/names.txt", f"{tmp_path}/names.txt")
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                run_example(source, names, runner)
            assert said.getvalue() == output, text
        node = names["node"]
        assert isinstance(node, Client)
        node.close()


def run_example(source: str, names: dict[str, object], runner: asyncio.Runner) -> None:
    """Run it as the body of one long ``async def``; what is a program of its own runs without a loop."""
    code: CodeType = compile(source, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, names)
        return

    async def body() -> None:
        await FunctionType(code, names)()

    runner.run(body())


def test_there_are_examples() -> None:
    assert len(list(examples())) > 10
