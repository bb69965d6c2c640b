from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_network

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from receptor.config import kinds
from receptor.config.kind import Kind, Written
from receptor.config.kinds import Address, Right
from receptor.config.schema import value_schema
from receptor.netceptor.firewall import FirewallRule, Verdict
from receptor.workceptor.files import Durability

SHA_256 = bytes(range(32))
SHA_512 = bytes(range(64))


ACCEPTED: list[tuple[Kind, Written, object]] = [
    (kinds.TEXT, "", ""),
    (kinds.TEXT, '-c "echo  $i" ', '-c "echo  $i" '),
    (kinds.NODE_ID, "yes", "yes"),
    (kinds.LOG_LEVEL, "Debug", "debug"),
    (kinds.DURABILITY, "Power", "power"),
    (kinds.BOOLEAN, "Yes", True),
    (kinds.BOOLEAN, "off", False),
    (kinds.PORT, "0", 0),
    (kinds.PORT, "65535", 65535),
    (kinds.HOST, "[::]", "::"),
    (kinds.HOST, "fe80::1%eth0", "fe80::1%eth0"),
    (kinds.HOST, "foo.example.com.", "foo.example.com."),
    (kinds.COMMAND, "sh -c 'echo  $HOME'", "sh -c 'echo  $HOME'"),
    (kinds.ADDRESS, "localhost:2222", Address("localhost", 2222)),
    (kinds.ADDRESS, "[2001:db8::1]:2222", Address("2001:db8::1", 2222)),
    (kinds.LISTEN_ADDRESS, "127.0.0.1:0", Address("127.0.0.1", 0)),
    (kinds.LISTEN_ADDRESS, "7777", Address("0.0.0.0", 7777)),
    (kinds.LISTEN_ADDRESS, ":7777", Address("0.0.0.0", 7777)),
    (kinds.COST, "2", 2.0),
    (kinds.COST, "1e-3", 0.001),
    (kinds.PERMISSIONS, "0660", 0o660),
    (kinds.PERMISSIONS, "0o660", 0o660),
    (kinds.PERMISSIONS, "432", 0o660),
    (kinds.COUNT, "1", 1),
    (kinds.SIZE, "65536", 65536),
    (kinds.SIZE, "64MiB", 2**26),
    (kinds.SIZE, "2 gib", 2**31),
    (kinds.SIZE, "3Ki", 3072),
    (kinds.SIZE, "10B", 10),
    (kinds.RIGHTS, ["Submit", "all"], frozenset({Right.SUBMIT, Right.ALL})),
    (kinds.RIGHTS, [], frozenset()),
    (kinds.NETWORKS, ["192.0.2.7", "2001:db8::/32"], {ip_network("192.0.2.7/32"), ip_network("2001:db8::/32")}),
    (kinds.NODE_PATTERNS, "edge-*", frozenset({"edge-*"})),
    (kinds.WORK_TYPE_PATTERNS, ["*", "remote"], frozenset({"*", "remote"})),
    (kinds.DURATION, "1h30m", 5400.0),
    (kinds.IDLE_TIMEOUT, "21s", 21.0),
    (kinds.SERVICE, "", ""),
    (kinds.SERVICE, "eight888", "eight888"),
    (kinds.NODE_IDS, "bar", frozenset({"bar"})),
    (kinds.NODE_IDS, ["bar", "7"], frozenset({"bar", "7"})),
    (kinds.NODE_IDS, [], frozenset()),
    (kinds.NODE_IDS, '["bar", 7]', frozenset({"bar", "7"})),
    (kinds.NODE_COSTS, {"bar": "2.5"}, {"bar": 2.5}),
    (kinds.NODE_COSTS, '{"bar": 2.50}', {"bar": 2.5}),
    (kinds.SERVICE_NAME, "web", "web"),
    (kinds.URL_PATH, "/mesh/%20a", "/mesh/%20a"),
    (kinds.WS_URL, "ws://[::1]:80/mesh?a=b", "ws://[::1]:80/mesh?a=b"),
    (kinds.WS_URL, "WSS://Hub.example.com", "wss://Hub.example.com"),
    (kinds.WS_URL, "ws://me:p%40ss@foo/", "ws://me:p%40ss@foo/"),
    (kinds.WS_URL, "ws://me:@foo/", "ws://me:@foo/"),
    (kinds.WS_URL, "ws://b\u00fccher.example.com/", "ws://b\u00fccher.example.com/"),
    (kinds.HEADER, "X-Origin:  bar baz", ("X-Origin", "bar baz")),
    (kinds.HEADER, "X-Empty:", ("X-Empty", "")),
    (kinds.FINGERPRINTS, SHA_256.hex(), frozenset({SHA_256})),
    (kinds.FINGERPRINTS, [SHA_256.hex(":").upper(), SHA_512.hex()], frozenset({SHA_256, SHA_512})),
    (kinds.FINGERPRINTS, f"{SHA_256.hex()}, {SHA_512.hex()}", frozenset({SHA_256, SHA_512})),
    (kinds.FIREWALL_RULES, [], ()),
    (
        kinds.FIREWALL_RULES,
        [{"Action": "Reject", "FromNode": "/edge-.*/", "toservice": "control"}, {"action": "accept"}],
        (
            FirewallRule(Verdict.REJECT, from_node="/edge-.*/", to_service="control"),
            FirewallRule(Verdict.ACCEPT),
        ),
    ),
    (
        kinds.FIREWALL_RULES,
        '[{"action": "drop", "tonode": "foo", "fromservice": "a"}]',
        (FirewallRule(Verdict.DROP, to_node="foo", from_service="a"),),
    ),
]


@pytest.mark.parametrize(("kind", "written", "value"), ACCEPTED)
def test_text_becomes_a_value(kind: Kind, written: Written, value: object) -> None:
    assert kind.value(written) == value


@pytest.mark.parametrize(
    ("kind", "written", "shown"),
    [
        (kinds.NAME, "", "''"),
        (kinds.NODE_ID, "LocalHost", "'LocalHost'"),
        (kinds.NODE_ID, "a/b", "'a/b'"),
        (kinds.NODE_ID, "foo ", "'foo '"),
        (kinds.NODE_ID, "f oo", "'f oo'"),
        (kinds.NODE_ID, "foo\n", r"'foo\n'"),
        (kinds.NODE_ID, "foo\u2003", r"'foo\u2003'"),
        (kinds.NODE_ID, "foo\u200b", r"'foo\u200b'"),
        (kinds.NODE_ID, "..", "'..'"),
        (kinds.NODE_ID, "", "''"),
        (kinds.WORK_TYPE, "remote", "'remote'"),
        (kinds.LOG_LEVEL, "loud", "'loud'"),
        (kinds.DURABILITY, "fire", "'fire'"),
        (kinds.BOOLEAN, "maybe", "'maybe'"),
        (kinds.PORT, "65536", "'65536'"),
        (kinds.PORT, "-1", "'-1'"),
        (kinds.PORT, "2222.0", "'2222.0'"),
        (kinds.PORT, "", "''"),
        (kinds.HOST, "", "''"),
        (kinds.HOST, "a..b", "'a..b'"),
        (kinds.HOST, "a" * 64, f"'{'a' * 60}...'"),
        (kinds.HOST, "foo bar", "'foo bar'"),
        (kinds.ADDRESS, "a\0b:2222", r"'a\x00b:2222'"),
        (kinds.ADDRESS, "a..b:2222", "'a..b:2222'"),
        (kinds.ADDRESS, ".foo:2222", "'.foo:2222'"),
        (kinds.LISTEN_ADDRESS, "a..b:2222", "'a..b:2222'"),
        (kinds.COMMAND, "", "''"),
        (kinds.COMMAND, "echo 'a", '"echo \'a"'),
        (kinds.COMMAND, " ", "' '"),
        (kinds.ADDRESS, "localhost", "'localhost'"),
        (kinds.ADDRESS, ":2222", "':2222'"),
        (kinds.ADDRESS, "localhost:0", "'localhost:0'"),
        (kinds.ADDRESS, "::1:2222", "'::1:2222'"),
        (kinds.ADDRESS, "tcp://localhost:2222", "'tcp://localhost:2222'"),
        (kinds.COST, "0", "'0'"),
        (kinds.COST, "nan", "'nan'"),
        (kinds.COST, "inf", "'inf'"),
        (kinds.PERMISSIONS, "660", "'660'"),
        (kinds.PERMISSIONS, "0888", "'0888'"),
        (kinds.PERMISSIONS, "rw-------", "'rw-------'"),
        (kinds.COUNT, "0", "'0'"),
        (kinds.COUNT, "-1", "'-1'"),
        (kinds.COUNT, "9" * 19, f"'{'9' * 19}'"),
        (kinds.SIZE, "0", "'0'"),
        (kinds.SIZE, "64MB", "'64MB'"),
        (kinds.SIZE, "1.5GiB", "'1.5GiB'"),
        (kinds.SIZE, "9999999999TiB", "'9999999999TiB'"),
        (kinds.RIGHTS, ["submit", "everything"], "'everything'"),
        (kinds.NETWORKS, "192.0.2.7/24", "'192.0.2.7/24'"),
        (kinds.NETWORKS, "host.example.com", "'host.example.com'"),
        (kinds.NODE_PATTERNS, [""], "''"),
        (kinds.DURATION, "5", "'5'"),
        (kinds.DURATION, "0s", "'0s'"),
        (kinds.DURATION, "9999999999h", "'9999999999h'"),
        (kinds.IDLE_TIMEOUT, "20.9s", "'20.9s'"),
        (kinds.SERVICE, "nine99999", "'nine99999'"),
        (kinds.SERVICE, "ping", "'ping'"),
        (kinds.PORT, ["1"], "a list"),
        (kinds.TEXT, {"a": "b"}, "a map"),
        (kinds.TEXT, None, "nothing"),
        (kinds.NODE_IDS, [""], "''"),
        (kinds.NODE_IDS, None, "nothing"),
        (kinds.NODE_IDS, '["bar"', "'[\"bar\"'"),
        (kinds.NODE_IDS, "[[]]", "a list with nested or empty entries"),
        (kinds.NODE_COSTS, {"bar": "-1"}, "'bar: -1'"),
        (kinds.NODE_COSTS, "2.5", "'2.5'"),
        (kinds.NODE_IDS, ["bar", None], "a list with nested or empty entries"),
        (kinds.NODE_COSTS, '{"bar": null}', "a map with nested or empty entries"),
        (kinds.NODE_IDS, "bar,", "'bar,'"),
        (kinds.SERVICE_NAME, "", "''"),
        (kinds.SERVICE_NAME, "unreach", "'unreach'"),
        (kinds.URL_PATH, "mesh", "'mesh'"),
        (kinds.URL_PATH, "/a?b", "'/a?b'"),
        (kinds.URL_PATH, "/a b", "'/a b'"),
        (kinds.WS_URL, "http://foo/", "'http://foo/'"),
        (kinds.WS_URL, "foo:2222", "'foo:2222'"),
        (kinds.WS_URL, "ws://", "'ws://'"),
        (kinds.WS_URL, "ws://foo:0/", "'ws://foo:0/'"),
        (kinds.WS_URL, "ws://foo:65536/", "'ws://foo:65536/'"),
        (kinds.WS_URL, "ws://[::1/", "'ws://[::1/'"),
        (kinds.WS_URL, "ws://foo/#a", "'ws://foo/#a'"),
        (kinds.WS_URL, "ws://a..b/", "'ws://a..b/'"),
        (kinds.WS_URL, "ws://token@foo/", "'ws://...@foo/'"),
        (kinds.WS_URL, "ws://me:%ff@foo/", "'ws://...@foo/'"),
        (kinds.HEADER, "X-Origin", "'X-Origin'"),
        (kinds.HEADER, "Upgrade: h2c", "'Upgrade: h2c'"),
        (kinds.HEADER, "connection: close", "'connection: close'"),
        (kinds.HEADER, "Sec-WebSocket-Key: a", "'Sec-WebSocket-Key: a'"),
        (kinds.HEADER, ": bar", "': bar'"),
        (kinds.HEADER, "X Origin: bar", "'X Origin: bar'"),
        (kinds.HEADER, "X-Origin: a\r\nX-More: b", r"'X-Origin: a\r\nX-More: b'"),
        (kinds.FINGERPRINTS, "abcd", "'abcd'"),
        (kinds.FINGERPRINTS, "z" * 64, f"'{'z' * 60}...'"),
        (kinds.FIREWALL_RULES, "accept", "'accept'"),
        (kinds.FIREWALL_RULES, {"action": "accept"}, "a map"),
        (kinds.FIREWALL_RULES, ["accept"], "a list with 'accept' in it"),
        (kinds.FIREWALL_RULES, [{"action": None}], "a map with nested or empty entries"),
        (kinds.FIREWALL_RULES, [{"action": "burn"}], "'action: burn' (its action must be accept, reject or drop)"),
        (kinds.FIREWALL_RULES, [{"tonode": "a"}], "'tonode: a' (it needs an action)"),
        (
            kinds.FIREWALL_RULES,
            [{"action": "drop", "node": "a"}],
            "'action: drop, node: a' (it has the keys action, fromnode, tonode, fromservice and toservice, "
            "each once at most)",
        ),
        (
            kinds.FIREWALL_RULES,
            [{"action": "drop", "Action": "accept"}],
            "'action: drop, Action: accept' (it has the keys action, fromnode, tonode, fromservice and toservice, "
            "each once at most)",
        ),
        (
            kinds.FIREWALL_RULES,
            [{"action": "drop", "tonode": "/a(/"}],
            "'action: drop, tonode: /a(/' (not a regular expression: a()",
        ),
    ],
)
def test_anything_else_is_refused_and_shown(kind: Kind, written: Written, shown: str) -> None:
    with pytest.raises(ValueError) as refused:
        kind.value(written)
    assert str(refused.value) == shown


@pytest.mark.parametrize(("kind", "written", "value"), ACCEPTED)
def test_what_becomes_a_value_fits_the_schema(kind: Kind, written: Written, value: object) -> None:
    """The texts without quotes too, of which YAML makes numbers and others."""
    validator = Draft202012Validator(value_schema(kind))
    validator.validate(written)
    validator.validate(without_quotes(written))


def without_quotes(written: Written) -> object:
    match written:
        case str() if re.search(r"[:#*]|^$", written) is None:
            return yaml.safe_load(written)
        case list():
            return [without_quotes(one) for one in written]
        case dict():
            return {key: without_quotes(one) for key, one in written.items()}
    return written


def test_a_long_text_is_shown_in_part() -> None:
    with pytest.raises(ValueError, match=r"^'9{60}\.\.\.'$"):
        kinds.PORT.value("9" * 10_000)


def test_an_ip_version_6_address_is_shown_in_brackets() -> None:
    assert str(Address("::1", 2222)) == "[::1]:2222"
    assert str(Address("localhost", 2222)) == "localhost:2222"


def test_every_durability_that_can_be_configured_is_known() -> None:
    assert set(kinds.DURABILITIES) == set(Durability)


@given(st.sampled_from([kind for kind in vars(kinds).values() if isinstance(kind, Kind)]), st.text())
def test_no_text_does_more_than_be_refused(kind: Kind, text: str) -> None:
    with suppress(ValueError):
        kind.value(text)


@given(st.integers(0, 0o777))
def test_permissions_are_read_as_they_are_shown(mode: int) -> None:
    assert kinds.PERMISSIONS.value(kinds.PERMISSIONS.write(mode)) == mode


@given(st.integers(1, 2**63 - 1) | st.integers(1, 2**20).map(lambda number: number * 2**30))
def test_sizes_are_read_as_they_are_shown(size: int) -> None:
    assert kinds.SIZE.value(kinds.SIZE.write(size)) == size


@pytest.mark.parametrize(("size", "shown"), [(1000, "1000"), (1024, "1KiB"), (3 * 2**20, "3MiB"), (2**42, "4TiB")])
def test_sizes_are_shown_with_the_largest_unit_that_fits(size: int, shown: str) -> None:
    assert kinds.SIZE.write(size) == shown
