from __future__ import annotations

import pytest
from receptorctl_runs import Receptorctl


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("statu", "No such command 'statu'; did you mean 'status'? ('receptorctl --help' explains)"),
        ("work lst", "No such command 'lst'; did you mean 'list'? ('receptorctl work --help' explains)"),
        ("submit", "No such command 'submit'; did you mean 'receptorctl work submit'? ('receptorctl --help' explains)"),
        ("work ping", "No such command 'ping'; did you mean 'receptorctl ping'? ('receptorctl work --help' explains)"),
        (
            "submitt",
            "No such command 'submitt'; did you mean 'receptorctl work submit'? ('receptorctl --help' explains)",
        ),
        ("xyzzy", "No such command 'xyzzy' ('receptorctl --help' explains)"),
        ("--sokcet /s", "No such option '--sokcet'; did you mean '--socket'? ('receptorctl --help' explains)"),
        (
            "work list --nod bar",
            "No such option '--nod'; did you mean '--node'? ('receptorctl work list --help' explains)",
        ),
        (
            "work list --socket /s",
            "No such option '--socket'; it comes before the verb: receptorctl --socket ... work list "
            "('receptorctl work list --help' explains)",
        ),
        (
            "--json status",
            "No such option '--json'; it comes after the verb that it belongs to: receptorctl VERB --json "
            "('receptorctl --help' explains)",
        ),
        ("status --xyzzy", "No such option '--xyzzy' ('receptorctl status --help' explains)"),
        (
            "completion zhs",
            "Invalid value for 'SHELL': 'zhs' is not one of 'bash', 'zsh', 'fish'; did you mean 'zsh'? "
            "('receptorctl completion --help' explains)",
        ),
        (
            "completion",
            "Missing argument 'SHELL'. Choose from: bash, zsh, fish ('receptorctl completion --help' explains)",
        ),
        (
            "work list --node",
            "Option '--node' requires an argument ('receptorctl work list --help' explains)",
        ),
        (
            "ping bar --count many",
            "Invalid value for '--count': 'many' is not a whole number of 0 or more "
            "('receptorctl ping --help' explains)",
        ),
    ],
)
def test_a_mistake_is_told_with_what_was_meant(words: str, complaint: str, ctl: Receptorctl) -> None:
    ran = ctl.bare(*words.split())
    assert (ran.exit_code, ran.output) == (1, b"")
    assert ran.errors == f"ERROR: {complaint}\n"
