"""What the documentation tells to install can be installed: the package is on no public index."""

import re
import tomllib

from conftest import CHECKOUT

FILES = [*(CHECKOUT / "docs/pages").rglob("*.md"), CHECKOUT / "README.md"]
INSTALL = re.compile(r"pip install '([^'\[]+)\[([^\]]+)\]'")


def test_each_documented_install_names_the_checkout_or_a_wheel_and_known_extras() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [
        (path.name, what, extras.split(","))
        for path in FILES
        for what, extras in INSTALL.findall(path.read_text(encoding="utf-8"))
    ]

    assert found
    assert [one for one in found if one[1] != "." and not one[1].endswith(".whl")] == []
    assert {e for *_, extras in found for e in extras} <= set(project["optional-dependencies"])
