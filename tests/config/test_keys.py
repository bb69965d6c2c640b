from __future__ import annotations

from dataclasses import dataclass, field

from receptor.config import kinds
from receptor.config.keys import About, Action, keys_of, written


@dataclass(frozen=True, slots=True)
class Shop(Action):
    """An action that has one key of each sort."""

    about = About("shop", "Sells.", "- shop: 1")

    port: int = field(metadata=written("port", kinds.PORT, "The door.", main=True))
    opening_mode: int = field(default=0o600, metadata=written("mode", kinds.PERMISSIONS, "Who may enter."))
    owner: str | None = field(default=None, metadata=written("owner", kinds.NAME, "Who sells.", default="nobody"))
    guards: frozenset[str] = field(default_factory=frozenset, metadata=written("guards", kinds.NODE_IDS, "Who looks."))


def test_keys_know_how_they_are_written_and_what_they_are_otherwise() -> None:
    port, mode, owner, guards = keys_of(Shop)
    assert (port.attribute, port.name, port.main, port.required, port.default) == ("port", "port", True, True, "")
    assert (mode.attribute, mode.name, mode.main, mode.required) == ("opening_mode", "mode", False, False)
    assert [key.default for key in (mode, owner, guards)] == ["0600", "nobody", ""]
    assert [key.required for key in (owner, guards)] == [False, False]
    assert port.kind is kinds.PORT
    assert port.help == "The door."
