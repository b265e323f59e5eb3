"""Commands that infra/README.md prints, which the tests run as they stand there."""

import re

from conftest import CHECKOUT


def commands_below(heading: str, block: int = 0) -> list[str]:
    """The lines of a block of commands below ``heading``, the first if not said otherwise."""
    text = (CHECKOUT / "infra/README.md").read_text(encoding="utf-8")
    _, found, below = text.partition(f"## {heading}\n")
    assert found, heading
    section = below.partition("\n## ")[0]
    blocks = re.findall(r"^```console\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    lines: list[str] = blocks[block].splitlines()
    return lines
