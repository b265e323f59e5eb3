"""What ``make check`` takes for code that is written twice."""

from pathlib import Path

import pytest

from checks.repetition import LINES, main, repetitions
from conftest import CHECKOUT

BODY = [f"total += weigh({n})" for n in range(LINES)]


def function(name: str, lines: list[str], header: str = "x: int") -> str:
    return "\n".join([f"def {name}({header}) -> int:", *(f"    {line}" for line in lines), ""])


def test_nine_lines_in_two_files_are_told_with_both_places() -> None:
    texts = {"a.py": function("one", BODY), "b.py": f"import os\n\n\n{function('two', BODY)}"}

    (found,) = repetitions(texts)

    assert (found.first, found.second, found.count) == ("a.py:2", "b.py:5", LINES)


def test_a_long_repetition_is_told_once_and_within_one_file_too() -> None:
    long = [f"total += weigh({n})" for n in range(2 * LINES)]
    twice = function("one", long) + function("two", long)

    (found,) = repetitions({"a.py": twice})

    assert (found.first, found.second, found.count) == ("a.py:2", "a.py:21", 2 * LINES)


@pytest.mark.parametrize(
    "second",
    [
        function("two", BODY[:-1]),
        function("two", [*BODY[:4], "total = 0", *BODY[4:]]),
        f'"""{function("two", BODY)}"""\n',
        "\n".join(f"# {line}" for line in BODY),
    ],
    ids=["eight", "one differs", "a docstring", "comments"],
)
def test_fewer_lines_texts_and_comments_may_repeat(second: str) -> None:
    assert repetitions({"a.py": function("one", BODY), "b.py": second}) == []


def test_the_header_of_a_protocol_may_repeat() -> None:
    header = "\n" + "\n".join(f"    {name}: int," for name in "abcdefghijkl") + "\n"
    texts = {f"{n}.py": function(n, [f"return {n}"], header) for n in ("one", "two")}

    assert repetitions(texts) == []


def test_comments_and_blank_lines_hide_nothing() -> None:
    hidden = [line for pair in zip(BODY, ["", "# why"] * LINES, strict=False) for line in pair]

    assert repetitions({"a.py": function("one", BODY), "b.py": function("two", hidden)})


def test_the_command_fails_and_names_the_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(function(name, BODY), encoding="utf-8")

    assert main([str(tmp_path)]) == 1
    assert f"one.py:2: {LINES} lines stand again at " in capsys.readouterr().out
    (tmp_path / "two.py").unlink()
    assert main([str(tmp_path)]) == 0


def test_make_check_looks_at_every_folder_of_programs() -> None:
    lines = (CHECKOUT / "Makefile").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if "repetition.py" in line]

    programs = {path.parent.parent.name for path in CHECKOUT.glob("*/*/__init__.py")}
    assert set(line.split()[2:]) == programs | {"tests"}
