"""Pages are read as their readers read them."""

from __future__ import annotations

import pytest
from page_blocks import Block, Command, blocks_of, example_of, indented_code, steps_of


def test_blocks_have_a_language_and_may_have_a_title() -> None:
    page = """
Text `code`.

```yaml title="foo.yml"
- node: foo
```

* A list:

  ```console title="Not run by the tests: it needs root"
  $ apt install x
  ```
"""
    assert blocks_of(page) == [
        Block("yaml", "foo.yml", "- node: foo\n"),
        Block("console", "Not run by the tests: it needs root", "$ apt install x\n"),
    ]
    assert [block.file for block in blocks_of(page)] == ["foo.yml", ""]
    assert [block.is_run for block in blocks_of(page)] == [True, False]


@pytest.mark.parametrize("page", ["```\ntext\n```\n", "```yaml\n- node: foo\n", "```yaml name=x\n- node\n```\n"])
def test_a_block_that_nobody_would_check_is_an_error(page: str) -> None:
    with pytest.raises(ValueError, match="a code block"):
        blocks_of(page)


def test_commands_and_what_they_show_are_read_from_a_page() -> None:
    page = "```console\n$ one &\n$ two 'a'\nfirst\n\nsecond $ 5\n```\n\nText.\n\n```console\n$ three\n```\n"
    assert steps_of(blocks_of(page)) == [
        Command("one &", ""),
        Command("two 'a'", "first\n\nsecond $ 5\n"),
        Command("three", ""),
    ]


def test_a_command_may_have_several_lines() -> None:
    page = "```console\n$ for n in 1 2; do\n>   echo $n\n> done\n1\n2\n```\n"
    assert steps_of(blocks_of(page)) == [Command("for n in 1 2; do\n  echo $n\ndone", "1\n2\n")]


def test_files_are_written_between_the_commands_and_what_is_not_run_is_left_out() -> None:
    page = (
        '```console\n$ one\n```\n```yaml title="a.yml"\n- node: a\n```\n'
        '```console title="Not run by the tests: no"\n$ no\n```\n```console\n$ two\n```\n'
    )
    assert steps_of(blocks_of(page)) == [Command("one", ""), Block("yaml", "a.yml", "- node: a\n"), Command("two", "")]


def test_code_that_is_only_indented_is_found() -> None:
    page = """
# Heading

    code

* An item

    of two paragraphs.

        code in it

Text
    that goes on.

1. An item:

    ```console
    $ fenced
    ```
"""
    assert indented_code(page) == ["code", "code in it"]


def test_a_page_may_name_the_example_that_it_is_played_with() -> None:
    assert example_of("<!-- Played with examples/two-nodes -->\n# A page\n") == "two-nodes"
    assert example_of("# A page\n") == ""


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("a.c\n", "a.c\n"),
        ("in ...s\n", "in 3.5 µs\n"),
        ("...\nlast\n", "1\n2\nlast\n"),
        ("first\n...\n", "first\n"),
    ],
)
def test_dots_stand_for_anything(page: str, shown: str) -> None:
    assert Command("it", page).is_told_by(shown)


@pytest.mark.parametrize(
    ("page", "shown"), [("a.c\n", "abc\n"), ("one\n", "one\ntwo\n"), ("in ...s\n", "in\n3 s\n"), ("", "a mistake\n")]
)
def test_all_else_must_be_as_the_page_has_it(page: str, shown: str) -> None:
    with pytest.raises(AssertionError, match="The page has instead"):
        Command("it", page).check(shown)


def test_ids_of_units_are_those_that_were_told() -> None:
    units = Command("submit", "Result:  Job Started\nUnit ID: t1BlAB18\n").check(
        "Result:  Job Started\nUnit ID: aaaabbbb\n"
    )
    assert units == {"t1BlAB18": "aaaabbbb"}
    later = Command("work release t1BlAB18", "(t1BlAB18, released)\n").with_units(units)
    assert later == Command("work release aaaabbbb", "(aaaabbbb, released)\n")
