from __future__ import annotations

from typing import Annotated

from receptor.config import kinds
from receptor.config.keys import About, Action, keys_of, written


class Shop(Action, frozen=True):
    """An action that has one key of each sort."""

    about = About("shop", "Sells.", "- shop: 1")

    port: Annotated[int, written("port", kinds.PORT, "The door.", main=True)]
    opening_mode: Annotated[int, written("mode", kinds.PERMISSIONS, "Who may enter.")] = 0o600
    owner: Annotated[str | None, written("owner", kinds.NAME, "Who sells.", default="nobody")] = None
    guards: Annotated[frozenset[str], written("guards", kinds.NODE_IDS, "Who looks.")] = frozenset()


def test_keys_know_how_they_are_written_and_what_they_are_otherwise() -> None:
    port, mode, owner, guards = keys_of(Shop)
    assert (port.attribute, port.name, port.main, port.required, port.default) == ("port", "port", True, True, "")
    assert (mode.attribute, mode.name, mode.main, mode.required) == ("opening_mode", "mode", False, False)
    assert [key.default for key in (mode, owner, guards)] == ["0600", "nobody", ""]
    assert [key.required for key in (owner, guards)] == [False, False]
    assert port.kind is kinds.PORT
    assert port.help == "The door."
