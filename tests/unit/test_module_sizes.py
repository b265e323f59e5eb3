"""A long module says why it is long."""

import ast
from pathlib import Path

from conftest import CHECKOUT

MOST_LINES = 300
REASON = f"More than {MOST_LINES} lines: "


def says_why(source: str) -> bool:
    return REASON in (ast.get_docstring(ast.parse(source)) or "")


def test_a_module_of_the_product_above_300_lines_gives_its_reason() -> None:
    packages = [path.parent for path in CHECKOUT.glob("*/dss_*/__init__.py")]
    sources = {
        str(path.relative_to(CHECKOUT)): path.read_text("utf-8")
        for package in packages
        for path in Path(package).rglob("*.py")
    }

    long = {name: text for name, text in sources.items() if len(text.splitlines()) > MOST_LINES}

    assert long
    assert [name for name, text in long.items() if not says_why(text)] == []
