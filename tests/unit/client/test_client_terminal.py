"""Rows of bars on a terminal: what is drawn fits, is taken away again, and carries nothing that steers the terminal."""

import io
from pathlib import Path

import pytest

from dss_client.batch_items import SUBMITTED, SUCCESS, Item
from dss_client.batch_screen import BatchScreen
from dss_client.output import OutputLost
from dss_client.records import Detail
from dss_client.screen import Screen
from dss_client.terminal import BAR_CELLS, Row, Terminal, fitted


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Tty:
    """A terminal with 60 columns and 6 lines."""
    for name, value in {"TERM": "xterm", "COLUMNS": "60", "LINES": "6"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("dss_client.terminal.DRAW_S", 0.0)
    return Tty()


def screen_of(text: str) -> list[str]:
    """The lines that a terminal shows after ``text``."""
    lines = [""]
    rest = text
    while rest:
        if rest.startswith("\x1b["):
            code = rest[2 : 2 + next(i for i, c in enumerate(rest[2:]) if c.isalpha()) + 1]
            rest = rest[2 + len(code) :]
            if code.endswith("A"):
                row = len(lines) - 1 - int(code[:-1])
                lines = lines[: row + 1]  # what is below is erased next
                lines[row] = ""
        elif rest[0] == "\n":
            lines.append("")
            rest = rest[1:]
        else:
            lines[-1] = "" if rest[0] == "\r" else lines[-1] + rest[0]
            rest = rest[1:]
    return lines[:-1]


def test_each_image_in_progress_has_a_bar_and_one_is_for_all(tty: Tty) -> None:
    screen = BatchScreen(3, Terminal(tty))
    items = [Item(name=f"scan{n}", source=Path(__file__)) for n in range(3)]
    with screen:
        for item in items[:2]:
            screen.watcher(item).stage("Uploading")
            item.status = SUBMITTED
            screen.changed(item)
        screen.watcher(items[0]).polled(Detail(status="claimed", progress=0.5))
        items[1].status = SUCCESS
        screen.changed(items[1])
        screen.watcher(items[2]).moved(1, 4)
        shown = screen_of(tty.getvalue())
    after = screen_of(tty.getvalue())

    half = BAR_CELLS // 2
    assert shown[0] == "1/3  scan1: success"
    assert shown[1].startswith("scan0: claimed")
    assert shown[1].endswith(f"[{'#' * half}{'-' * half}]")
    assert shown[2].startswith("scan2: ")
    assert shown[3].startswith("All images")
    assert "1/3" in shown[3]
    assert after == ["1/3  scan1: success"]


def test_more_rows_than_the_terminal_has_are_cut(tty: Tty) -> None:
    terminal = Terminal(tty)
    terminal.rows = [Row(f"row {n}") for n in range(50)]

    terminal.draw()

    assert [line.strip() for line in screen_of(tty.getvalue())] == [
        f"row {n}" for n in range(46, 50)
    ]


@pytest.mark.parametrize("text", ["x" * 500, "世界" * 100, "e\u0301" * 200, "a\nb", "\x1b[2J\x9b"])
def test_a_row_takes_one_line_whatever_its_text(tty: Tty, text: str) -> None:
    terminal = Terminal(tty)
    terminal.rows = [Row(text, share=2.0, amount="9/9")]

    terminal.draw()

    assert tty.getvalue().count("\n") == 1
    assert not set(tty.getvalue()) & {"\x1b", "\x9b"}


@pytest.mark.parametrize(
    ("text", "cells", "expected"),
    [
        ("abc", 5, "abc  "),
        ("abcdef", 3, "abc"),
        ("世界", 3, "世 "),
        ("e\u0301x", 2, "e\u0301x"),
        ("a", 0, ""),
    ],
)
def test_a_text_is_cut_by_the_cells_that_it_takes(text: str, cells: int, expected: str) -> None:
    assert fitted(text, cells) == expected


def test_where_the_output_is_no_terminal_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.rows = [Row("moving")]

    terminal.draw()
    terminal.line("a line", "red")
    terminal.close()

    assert stream.getvalue() == "a line\n"


def test_a_terminal_that_is_gone_is_told(tty: Tty, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: str) -> int:
        raise BrokenPipeError

    terminal = Terminal(tty)
    monkeypatch.setattr(tty, "write", gone)

    with pytest.raises(OutputLost, match="closed by its reader"):
        terminal.line("text")


@pytest.mark.parametrize(("still_s", "lines"), [(0.0, ["claimed, 40%."]), (60.0, [])])
def test_an_output_without_bars_gets_a_line_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch, still_s: float, lines: list[str]
) -> None:
    monkeypatch.setattr("dss_client.screen.STILL_S", still_s)
    stream = io.StringIO()
    with Screen(Terminal(stream)) as screen:
        screen.polled(Detail(status="claimed", progress=0.1))
        before = len(stream.getvalue())

        screen.polled(Detail(status="claimed", progress=0.4))

    assert stream.getvalue()[before:].splitlines() == lines
