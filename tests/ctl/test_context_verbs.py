from __future__ import annotations

import json

from fake_control import FakeNode, answering
from receptorctl_runs import Receptorctl

from receptor.ctl.contexts import read_contexts


def test_a_context_stands_for_its_options(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering({}), answering({}))
    assert ctl.bare("context", "set", "foo", "--socket", node.path).exit_code == 0
    assert ctl.bare("--context", "foo", "work", "list").output == b"{}\n"
    assert ctl.bare("context", "use", "foo").exit_code == 0
    assert ctl.bare("work", "list").output == b"{}\n"


def test_contexts_are_listed(ctl: Receptorctl) -> None:
    for name in ("foo", "bar"):
        ctl.bare("context", "set", name, "--socket", f"/tmp/{name}.sock")
    ctl.bare("context", "use", "foo")
    assert ctl.bare("context", "list").lines == [
        "CONTEXT  NODE           DEFAULT",
        "bar      /tmp/bar.sock  -",
        "foo      /tmp/foo.sock  yes",
    ]
    assert json.loads(ctl.bare("context", "list", "--json").output) == [
        {"name": "bar", "default": False, "socket": "/tmp/bar.sock"},
        {"name": "foo", "default": True, "socket": "/tmp/foo.sock"},
    ]


def test_without_any_the_next_step_is_told(ctl: Receptorctl) -> None:
    ran = ctl.bare("context", "list")
    assert (ran.exit_code, ran.output) == (0, b"")
    assert "receptorctl context set NAME --socket ADDRESS" in ran.errors


def test_which_node_and_why(ctl: Receptorctl) -> None:
    assert json.loads(ctl.bare("--socket", "/s", "context", "show", "--json").output) == {
        "socket": "/s",
        "origin": "from --socket",
    }
    ctl.bare("context", "set", "lab", "--socket", "tls://lab:1", "--insecureskipverify", "true")
    assert ctl.bare("--context", "lab", "context", "show").lines == [
        "socket:             tls://lab:1",
        "insecureskipverify: true",
        "origin:             from the context lab",
    ]


def test_a_context_that_is_removed(ctl: Receptorctl) -> None:
    ctl.bare("context", "set", "foo", "--socket", "/s")
    assert ctl.bare("context", "remove", "foo").exit_code == 0
    assert read_contexts().by_name == {}


def test_no_default_any_more(ctl: Receptorctl) -> None:
    ctl.bare("context", "set", "foo", "--socket", "/s")
    ctl.bare("context", "use", "foo")
    assert ctl.bare("context", "use", "--none").exit_code == 0
    assert read_contexts().default == ""
    assert "either" in ctl.bare("context", "use").errors
    assert "either" in ctl.bare("context", "use", "foo", "--none").errors


def test_a_context_must_lead_somewhere(ctl: Receptorctl) -> None:
    ran = ctl.bare("context", "set", "foo", "--rootcas", "ca.crt")
    assert ran.exit_code == 1
    assert "needs to know where the node is" in ran.errors


def test_the_environment_is_no_part_of_a_new_context(ctl: Receptorctl) -> None:
    assert "RECEPTORCTL" not in ctl.bare("context", "set", "--help").output.decode()
