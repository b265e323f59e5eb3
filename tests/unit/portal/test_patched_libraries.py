"""Libraries whose inside we rely on are those that we have looked at."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from hypercorn.protocol.h11 import H11Protocol
from packaging.requirements import Requirement
from packaging.version import Version
from quart import Quart
from quart.routing import QuartRule
from quart.wrappers.response import FileBody
from tortoise import timezone

from dss_portal.database import clock
from dss_portal.patches import CHECKED, hypercorn, quart, tortoise_clock, werkzeug

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))[
    "project"
]
REQUIRED = {
    found.name: found.specifier
    for found in map(Requirement, PROJECT["optional-dependencies"]["portal"])
}

REPLACES = re.compile(r"\s*([A-Z]\w*\.\w+ = |\w+\.__class__ = |setattr\()")


@pytest.mark.parametrize("distribution", CHECKED)
def test_the_installed_version_is_the_one_that_was_checked(distribution: str) -> None:
    """Read what dss_portal/patches says of the library before you change CHECKED."""
    assert metadata.version(distribution) == CHECKED[distribution]


@pytest.mark.parametrize("distribution", CHECKED)
def test_the_next_minor_version_is_not_installed_by_itself(distribution: str) -> None:
    checked = Version(CHECKED[distribution])
    following = f"{checked.major}.{checked.minor + 1}.0"

    assert checked in REQUIRED[distribution]
    assert following not in REQUIRED[distribution]


def test_the_patches_are_in_place_once_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(H11Protocol, "handle", H11Protocol.handle)
    monkeypatch.setattr(timezone, "now", timezone.now)
    monkeypatch.setattr(FileBody, "buffer_size", 8192)

    for install in (hypercorn.install, quart.install, lambda: tortoise_clock.install(clock.now)):
        install()

    assert H11Protocol.handle.__module__ == "dss_portal.patches.hypercorn"
    assert timezone.now is clock.now
    assert FileBody.buffer_size == quart.BUFFER_BYTES


def test_a_rule_s_builder_is_compiled_with_its_first_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []
    compile_now = QuartRule._compile_builder

    def compile_builder(rule: QuartRule, append_unknown: bool = True) -> werkzeug.Builder:
        compiled.append(rule.rule)
        return compile_now(rule, append_unknown)

    monkeypatch.setattr(QuartRule, "_compile_builder", compile_builder)
    app = Quart("late", static_folder=None)
    werkzeug.install(app)
    for rule in ("/tickets/<int:number>/<name>", "/tickets"):
        app.add_url_rule(rule, endpoint=rule)
    assert compiled == []

    addresses = app.url_map.bind("dss.example")
    built = [
        addresses.build("/tickets/<int:number>/<name>", {"number": 7, "name": name, "page": 2})
        for name in ("a b", "c")
    ]

    assert built == ["/tickets/7/a%20b?page=2", "/tickets/7/c?page=2"]
    assert compiled == ["/tickets/<int:number>/<name>"]


def test_nothing_else_of_a_library_is_replaced() -> None:
    """Assignments to attributes of imported classes and modules stand in dss_portal/patches."""
    package = Path(hypercorn.__file__).parents[1]
    found = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in package.rglob("*.py")
        if path.parent.name != "patches"
        for line in path.read_text("utf-8").splitlines()
        if REPLACES.match(line)
    ]

    assert found == []
