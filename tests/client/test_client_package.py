from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib import import_module

import pytest
from receptor_process import ENVIRONMENT

import receptor.client


def test_every_name_is_there_under_its_own_module() -> None:
    assert sorted(receptor.client.__all__) == sorted(receptor.client._PLACE_OF)
    for name, module in receptor.client._PLACE_OF.items():
        assert getattr(receptor.client, name) is getattr(import_module(module), name)
        assert name in dir(receptor.client)


def test_public_calls_are_explained_and_name_nothing_private() -> None:
    for name in receptor.client.__all__:
        kind = getattr(receptor.client, name)
        assert kind.__doc__, name
        for call, member in vars(kind).items() if isinstance(kind, type) else ():
            if inspect.isfunction(member) and not call.startswith("_"):
                assert member.__doc__, f"{name}.{call}"
                assert not re.search(r"\b_[A-Za-z]", str(inspect.signature(member))), f"{name}.{call}"


def test_a_name_that_is_none() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Klient'"):
        import_module("receptor.client").Klient  # noqa: B018


@pytest.mark.parametrize(
    ("name", "does_without"),
    [("SyncClient", {"asyncio", "ssl"}), ("ReceptorControl", {"asyncio"}), ("UnitFailed", {"asyncio", "json"})],
)
def test_a_name_loads_only_what_it_needs(name: str, does_without: set[str]) -> None:
    script = f"import sys; from receptor.client import {name}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, timeout=20, check=True
    )
    assert not (does_without | {"yaml", "msgspec", "cryptography"}) & set(done.stdout.split())
