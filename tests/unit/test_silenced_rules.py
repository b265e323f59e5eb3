"""A line of the tests that silences a rule or the type checker says which one and why."""

import re

from conftest import CHECKOUT

SILENCED = re.compile(
    r"# (?:noqa\b|type: ignore\b)(?P<code>: [A-Z0-9, ]+|\[[\w, -]+\])?(?P<reason>.*)$"
)


def test_every_silenced_line_of_the_tests_has_its_code_and_a_reason() -> None:
    bare = [
        f"{path.relative_to(CHECKOUT)}:{number}"
        for path in sorted((CHECKOUT / "tests").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (found := SILENCED.search(line)) and "re.compile" not in line
        if not (found["code"] and found["reason"].strip(" #-()"))
    ]

    assert bare == []
