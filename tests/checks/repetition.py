"""``python tests/checks/repetition.py FOLDER...``: code that is written twice, which ends ``make check``.

More than eight lines in a row are the same in two places.  Passed over are blank lines, comments, docstrings, imports
and the headers of functions (whatever implements a protocol repeats its headers); how far a line is indented does not
matter.  What Tortoise writes (migrations) may repeat.
A program of our own, because pylint's ``symilar`` brings a second linter and never fails.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

LINES = 9
GENERATED = "migrations"


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """``count`` lines of code are the same from these two places on: path:line."""

    first: str
    second: str
    count: int


def code_lines(text: str) -> list[tuple[int, str]]:
    """Number, from 1, and text of each line that counts."""
    passed = {n for node in ast.walk(ast.parse(text)) for n in _passed_over(node)}
    lines = enumerate(text.splitlines(), start=1)
    found = [(number, line.strip()) for number, line in lines if number not in passed]
    return [(number, line) for number, line in found if line and not line.startswith("#")]


def _passed_over(node: ast.AST) -> range:
    """The numbers of the lines of an import, of a text that stands alone, or of a function's header."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return range(node.lineno, node.body[0].lineno)
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Import | ast.ImportFrom) or text:
        assert isinstance(node, ast.stmt)
        return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    return range(0)


def repetitions(texts: dict[str, str]) -> list[Repetition]:
    """Those of the files ``texts``, by name; each once, as long as it is."""
    codes = {name: code_lines(text) for name, text in texts.items()}
    places: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for name, lines in codes.items():
        for start in range(len(lines) - LINES + 1):
            places[tuple(line for _, line in lines[start : start + LINES])].append((name, start))
    return [
        Repetition(
            first=f"{a}:{codes[a][i][0]}",
            second=f"{b}:{codes[b][j][0]}",
            count=_length(codes[a][i:], codes[b][j:]),
        )
        for (a, i), (b, j) in _pairs(places.values())
        if not (i and j and codes[a][i - 1][1] == codes[b][j - 1][1])  # goes on from before
    ]


Place: TypeAlias = tuple[str, int]


def _pairs(places: Iterable[list[Place]]) -> Iterator[tuple[Place, Place]]:
    for same in places:
        yield from pairwise(same)


def _length(first: list[tuple[int, str]], second: list[tuple[int, str]]) -> int:
    return next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a[1] != b[1]),
        min(len(first), len(second)),
    )


def main(folders: list[str]) -> int:
    files = [file for folder in folders for file in sorted(Path(folder).rglob("*.py"))]
    texts = {str(f): f.read_text("utf-8") for f in files if GENERATED not in f.parts}
    found = repetitions(texts)
    for one in found:
        print(f"{one.first}: {one.count} lines stand again at {one.second}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
