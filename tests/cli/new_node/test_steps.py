"""What is said once a node is set up."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from receptor.certificates.bundles import Bundle
from receptor.cli.new_node.steps import next_steps
from receptor.cli.new_node.wanted import Listen, OwnAuthority, Role, Wanted, place_of

SYSTEM = place_of(Path("/etc/receptor/receptor.conf"))
OWN = place_of(Path("/home/me/my node/foo.conf"))
CA = OwnAuthority(Path("/etc/receptor/ca"))
TCP = (Listen("tcp", "", 27199),)


def commands(wanted: Wanted, as_root: bool = True) -> list[str]:
    said = next_steps(wanted, "host", as_root)
    return [line.strip() for line in said.splitlines() if line.startswith("  ")]


def test_how_to_start_it_and_look_at_it() -> None:
    system = Wanted(node_id="foo", role=Role.CONTROL, place=SYSTEM)
    assert commands(system) == [
        "systemctl enable --now receptor",
        "receptorctl --socket /run/receptor/receptor.sock status",
    ]
    assert commands(system, as_root=False)[0] == "receptor --config /etc/receptor/receptor.conf"
    edge = Wanted(node_id="foo", role=Role.CONTROL, place=place_of(Path("/etc/receptor/edge.conf")))
    assert commands(edge)[0] == "systemctl enable --now receptor@edge"
    assert commands(Wanted(node_id="foo", role=Role.CONTROL, place=OWN)) == [
        "receptor --config '/home/me/my node/foo.conf'",
        "receptorctl --socket '/home/me/my node/foo.sock' status",
    ]


def test_what_neighbours_need() -> None:
    secured = Wanted(
        node_id="foo",
        role=Role.CONTROL,
        place=SYSTEM,
        listen=TCP,
        security=CA,
        dns=("foo.example.com",),
        signs=True,
    )
    assert commands(secured)[2:] == [
        "receptor certs bundle bar --ca /etc/receptor/ca --peer foo.example.com:27199 "
        "--verification-key /etc/receptor/work-verification.pem",
        "scp bar.bundle root@bar.example.com:",
        "receptor init --bundle bar.bundle --role execution --work 'cat=cat'",
    ]
    open_links = Wanted(node_id="foo", role=Role.EXECUTION, place=SYSTEM, listen=TCP)
    assert commands(open_links)[2:] == ["receptor init --id bar --peer host:27199 --no-tls --role control"]
    joined = Bundle(node="foo", authority="", certificate="", key="")
    on_the_way = Wanted(node_id="foo", role=Role.HOP, place=SYSTEM, listen=TCP, security=joined)
    assert commands(on_the_way)[2:] == ["--peer NAME:27199"]


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        (Listen("tcp", "192.0.2.1", 1), "192.0.2.1:1"),
        (Listen("tcp", "::1", 1), "[::1]:1"),
        (Listen("udp", "", 1), "udp:host:1"),
        (Listen("ws", "", 1), "ws://host:1"),
    ],
)
def test_the_address_to_dial(listen: Listen, address: str) -> None:
    wanted = Wanted(node_id="foo", role=Role.CONTROL, place=SYSTEM, listen=(listen,))
    assert f"--peer {address} --no-tls" in next_steps(wanted, "host", as_root=True)


def test_names_in_the_certificate_come_first() -> None:
    wanted = Wanted(
        node_id="foo",
        role=Role.CONTROL,
        place=SYSTEM,
        security=CA,
        listen=(Listen("ws", "0.0.0.0", 1),),
        ip=(ip_address("2001:db8::1"),),
    )
    assert "--peer wss://[2001:db8::1]:1\n" in next_steps(wanted, "host", as_root=True)
