from __future__ import annotations

from ipaddress import ip_network

from msgspec.structs import fields

from receptor.config.keys import keys_of
from receptor.config.kind import Written
from receptor.config.kinds import Right
from receptor.config.protection import AccessRule, Limits
from receptor.config.written import WrittenAction, WrittenValue, read_action
from receptor.netceptor.limits import MeshLimits
from receptor.workceptor.limits import WorkLimits


def read(name: str, **values: Written) -> object:
    return read_action(WrittenAction(name, "c.yml:1", tuple(WrittenValue(k, v, "c.yml:1") for k, v in values.items())))


def test_a_rule_as_people_write_it() -> None:
    assert read(
        "access-rule",
        nodes="edge-*",
        tcpclients=["::1", "192.0.2.0/24"],
        allow=["Submit", "list"],
        worktypes=["remote"],
    ) == AccessRule(
        allow=frozenset({Right.SUBMIT, Right.LIST}),
        nodes=frozenset({"edge-*"}),
        tcp_clients=frozenset({ip_network("::1/128"), ip_network("192.0.2.0/24")}),
        work_types=frozenset({"remote"}),
        any_units=False,
    )


def test_limits_that_are_not_set_are_those_of_the_parts() -> None:
    limits = Limits()
    assert (limits.work, limits.mesh) == (WorkLimits(), MeshLimits())


def test_every_limit_that_is_set_reaches_its_part() -> None:
    names = {key.attribute for key in keys_of(Limits)} - {"clients", "control_line"}
    limits = Limits(**{name: number for number, name in enumerate(names, start=7)})
    reached = {getattr(part, one.name) for part in (limits.work, limits.mesh) for one in fields(part)}
    assert set(range(7, 7 + len(names))) <= reached


def test_limits_as_people_write_them() -> None:
    assert read("limits", payload="2GiB", running="500") == Limits(payload=2**31, running=500)
