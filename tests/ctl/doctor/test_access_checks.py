from __future__ import annotations

from dataclasses import replace

import pytest
from diagnoses import HEALTHY, lines

from receptor.ctl.doctor.access_checks import check_access, check_environment
from receptor.ctl.doctor.facts import SocketFile, Variable

FILE = SocketFile(
    "/run/foo.sock", True, True, True, mode=0o140660, owner="receptor", group="mesh", who="alice", may_use=True
)


def test_a_socket_in_order() -> None:
    assert lines(check_access(replace(HEALTHY, socket=FILE))) == [
        "ok: alice may use /run/foo.sock (srw-rw---- receptor:mesh)",
        "ok: node foo answers at /tmp/foo.sock",
    ]


@pytest.mark.parametrize(
    ("socket", "said"),
    [
        (
            replace(FILE, exists=False, others=("/tmp/bar.sock",)),
            "problem: there is no socket /run/foo.sock -> start the node, for a first try with 'receptor --node "
            "id=NAME --control-service service=control filename=/run/foo.sock', or use another one: /tmp/bar.sock",
        ),
        (
            replace(FILE, is_socket=False),
            "problem: /run/foo.sock is a file but no socket -> give the filename that the node's control-service has",
        ),
        (
            replace(FILE, folder_is_open=False, exists=False),
            "problem: alice may not look into the folder of /run/foo.sock -> run as the user of the node, or root",
        ),
        (
            replace(FILE, may_use=False),
            "problem: alice may not use /run/foo.sock (srw-rw---- receptor:mesh) -> join the group: sudo usermod -aG "
            "mesh alice, then log in again",
        ),
        (
            replace(FILE, may_use=False, mode=0o140600),
            "problem: alice may not use /run/foo.sock (srw------- receptor:mesh) -> run as receptor, or set "
            "permissions of the node's control-service to 0660 and join its group",
        ),
        (
            FILE,
            "problem: /tmp/foo.sock is stale: its node has ended without removing it, and nobody listens -> start the "
            "node again; it takes over the socket",
        ),
        (None, "problem: nobody listens on /tmp/foo.sock -> start the node, or correct the address"),
    ],
)
def test_the_one_reason_why_there_is_no_node(socket: SocketFile | None, said: str) -> None:
    trouble = "nobody listens on /tmp/foo.sock; start the node, or correct the address"
    said_of_all = lines(check_access(replace(HEALTHY, status=None, socket=socket, trouble=trouble)))
    assert [line for line in said_of_all if line.startswith("problem")] == [said]
    assert said_of_all[-1] == "skipped: the node, its mesh and its work can't be looked at"


def test_nobody_says_which_socket() -> None:
    trouble = "no control socket is given, and none is found; start the node, or say where it is. Looked in vain: /run"
    assert lines(check_access(replace(HEALTHY, status=None, address="", trouble=trouble)))[0] == (
        "problem: no control socket is given, and none is found -> start the node, or say where it is. Looked in vain: "
        "/run; to start one for a first try: receptor --node id=NAME --control-service service=control "
        "filename=/tmp/NAME.sock"
    )


def test_a_socket_for_everybody() -> None:
    assert lines(check_access(replace(HEALTHY, socket=replace(FILE, mode=0o140666))))[0] == (
        "warning: everybody on this machine may run work over /run/foo.sock (srw-rw-rw- receptor:mesh) -> set "
        "permissions of the node's control-service to 0660 or 0600"
    )


def test_variables_of_the_environment() -> None:
    variables = (
        Variable("RECEPTORCTL_CONFIG", "/nosuch", is_file=True, exists=False),
        Variable("RECEPTORCTL_SOKET", "/tmp/x", is_file=False, exists=False),
        Variable("RECEPTORCTL_WEATHER", "fine", is_file=False, exists=False),
        Variable("RECEPTORCTL_SOCKET", "tcp://foo:1", is_file=False, exists=False),
    )
    known = ("RECEPTORCTL_SOCKET", "RECEPTORCTL_CONFIG")
    assert lines(check_environment(replace(HEALTHY, variables=variables, known_variables=known))) == [
        "problem: RECEPTORCTL_CONFIG names /nosuch, which does not exist -> correct it or: unset RECEPTORCTL_CONFIG",
        "warning: RECEPTORCTL_SOKET is set, but receptorctl does not read it -> rename it to RECEPTORCTL_SOCKET",
        "warning: RECEPTORCTL_WEATHER is set, but receptorctl does not read it -> unset RECEPTORCTL_WEATHER",
        "ok: RECEPTORCTL_SOCKET=tcp://foo:1",
    ]
