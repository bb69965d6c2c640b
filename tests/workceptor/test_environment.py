from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor.errors import CommandError
from receptor.workceptor.environment import LARGEST_ENVIRONMENT, parse_environment


def test_names_and_texts() -> None:
    variables = {"TOKEN": "s3cr3t", "_x9": "", "PATH": "/opt/bin:/bin", "Ümlaut".replace("Ü", "U"): "a=b\nc"}
    assert parse_environment(json.dumps(variables)) == variables


def test_none() -> None:
    assert parse_environment("") == parse_environment("{}") == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hush", "must be a JSON object whose values are all texts"),
        ('["hush"]', "must be a JSON object"),
        ('{"A": 7}', "must be a JSON object"),
        ('{"A": {"B": "hush"}}', "must be a JSON object"),
        ("[" * 10_000, "must be a JSON object"),
        ('{"": "hush"}', "'' can't be the name of a variable"),
        ('{"9A": "hush"}', "'9A' can't be the name of a variable; use letters, digits and _"),
        ('{"A-B": "hush"}', "'A-B' can't be"),
        ('{"A=B": "hush"}', "'A=B' can't be"),
        ('{"A\\n": "hush"}', r"'A\n' can't be"),
        ('{"Ä": "hush"}', "'Ä' can't be"),
        ('{"RECEPTOR_UNIT": "hush"}', "'RECEPTOR_UNIT' is for the node alone, as all RECEPTOR_..."),
        ('{"A": "hush\\u0000"}', "the value of 'A' holds a NUL character"),
        (json.dumps({"A": "x" * LARGEST_ENVIRONMENT}), f"more than {LARGEST_ENVIRONMENT}; send large data as the payl"),
    ],
)
def test_what_no_command_can_have_is_refused_without_telling_a_value(text: str, problem: str) -> None:
    with pytest.raises(CommandError) as refused:
        parse_environment(text)
    assert problem in str(refused.value)
    assert "hush" not in str(refused.value)


def test_the_largest() -> None:
    value = "x" * (LARGEST_ENVIRONMENT - len("A=\0"))
    assert parse_environment(json.dumps({"A": value})) == {"A": value}


@given(st.dictionaries(st.text(max_size=6), st.text(min_size=3)))
def test_all_or_nothing(variables: dict[str, str]) -> None:
    try:
        assert parse_environment(json.dumps(variables)) == variables
    except CommandError as error:
        assert "secret_env" in str(error)  # noqa: PT017 (both ways are right)


def test_the_page_tells_the_limit() -> None:
    page = Path(__file__).parents[2].joinpath("docs/configuration.md").read_text()
    assert f"takes up to {LARGEST_ENVIRONMENT} bytes of variables" in " ".join(page.split())
