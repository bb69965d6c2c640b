from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from receptor.ctl.tables import Cell, Column, Row, table_lines

COLUMNS = [Column("UNIT"), Column("SIZE", right=True), Column("DETAIL", shrinks=True)]
ROWS: list[Row] = [["a1", "5", "exit status 0"], [Cell("b2", "red"), "12345", ""]]


def test_columns_are_aligned_and_nothing_is_cut_off_without_a_width() -> None:
    assert list(table_lines(COLUMNS, ROWS)) == [
        "UNIT   SIZE  DETAIL",
        "a1        5  exit status 0",
        "b2    12345  -",
    ]


def test_one_column_gives_way_to_a_narrow_terminal() -> None:
    assert list(table_lines(COLUMNS, ROWS, width=23))[1] == "a1        5  exit stat…"


def test_colours_do_not_count_as_width() -> None:
    lines = list(table_lines(COLUMNS, ROWS, coloured=True))
    assert lines[0].startswith("\x1b[1mUNIT\x1b[0m  ")
    assert lines[2] == "\x1b[31mb2\x1b[0m    12345  -"


def test_what_other_nodes_say_does_not_steer_the_terminal() -> None:
    assert list(table_lines([Column("NODE")], [["\x1b[2Jx\ny"]]))[1] == " [2Jx y"


def test_only_the_titles_where_there_are_no_rows() -> None:
    assert list(table_lines(COLUMNS, [])) == ["UNIT  SIZE  DETAIL"]


@given(st.lists(st.tuples(st.text(), st.text(), st.text())), st.integers(1, 200))
def test_each_row_is_one_line(rows: list[tuple[str, str, str]], width: int) -> None:
    lines = list(table_lines(COLUMNS, rows, width=width))
    assert len(lines) == len(rows) + 1
    assert all(line.isprintable() for line in lines)
