"""Libraries whose inside we rely on are those that we have looked at."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata

import pytest
from hypercorn.asyncio import run
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h11 import H11Protocol
from packaging.requirements import Requirement
from packaging.version import Version
from quart import Quart
from quart.routing import QuartRule
from quart.wrappers.response import FileBody
from tortoise import models, timezone

from conftest import CHECKOUT
from dss_broker.rabbit.dead_letters import CHECKED_PIKA
from dss_portal.database import clock
from dss_portal.patches import (
    CHECKED,
    hypercorn,
    quart,
    tortoise_clock,
    tortoise_comments,
    werkzeug,
)
from dss_portal.serving.connections import Connection

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
REQUIRED = {
    found.name: found.specifier
    for found in map(Requirement, PROJECT["optional-dependencies"]["portal"])
}

ALL_CHECKED = {**CHECKED, "pika": CHECKED_PIKA}
PACKAGES = [path.parent for path in CHECKOUT.glob("*/dss_*/__init__.py")]
PATCHES = {"dss_portal/patches", "dss_inference/monai_bundles/monai_patches.py"}
"""Where parts of a library may be replaced."""
MADE_TO_BE_SET = {"quart.g"}


@pytest.mark.parametrize("distribution", ALL_CHECKED)
def test_the_installed_version_is_the_one_that_was_checked(distribution: str) -> None:
    """Read what dss_portal/patches says of the library, or dss_broker/rabbit/dead_letters.py of pika, before you change it."""
    assert metadata.version(distribution) == ALL_CHECKED[distribution]


@pytest.mark.parametrize("distribution", ALL_CHECKED)
def test_the_next_minor_version_is_not_installed_by_itself(distribution: str) -> None:
    checked = Version(ALL_CHECKED[distribution])
    following = f"{checked.major}.{checked.minor + 1}.0"

    assert checked in REQUIRED[distribution]
    assert following not in REQUIRED[distribution]


def test_the_patches_are_in_place_once_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(H11Protocol, "handle", H11Protocol.handle)
    monkeypatch.setattr(timezone, "now", timezone.now)
    monkeypatch.setattr(FileBody, "buffer_size", 8192)
    monkeypatch.setattr(FileBody, "make_conditional", original)
    monkeypatch.setattr(models, "_get_comments", original)
    monkeypatch.setattr(run, "TCPServer", TCPServer)

    hypercorn.install()
    hypercorn.use(Connection)
    quart.install()
    tortoise_clock.install(clock.now)
    tortoise_comments.install()

    assert H11Protocol.handle.__module__ == "dss_portal.patches.hypercorn"
    assert vars(run)["TCPServer"] is Connection
    assert timezone.now is clock.now
    assert FileBody.buffer_size == quart.BUFFER_BYTES
    assert FileBody.make_conditional.__module__ == "dss_portal.patches.quart"
    assert models._get_comments.__module__ == "dss_portal.patches.tortoise_comments"


def original() -> None:
    """Stands where a library's own function stood."""


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
    found = [
        f"{path.relative_to(package.parent)}:{line}"
        for package in PACKAGES
        for path in package.rglob("*.py")
        if not any(str(path.relative_to(package.parent)).startswith(place) for place in PATCHES)
        for line in replacements(path.read_text("utf-8"))
    ]

    assert found == []


@pytest.mark.parametrize(
    "statement",
    [
        "from quart import Quart\nQuart.run = None",
        "from tortoise import models, timezone\ndef f():\n    timezone.now = None",
        "import hypercorn.asyncio.run\nhypercorn.asyncio.run.TCPServer = None",
        "import quart as q\nq.app.Quart.run: object = None",
        "setattr(anything, 'run', None)",
        "app.__class__ = None",
    ],
)
def test_each_way_to_replace_a_part_of_a_library_is_seen(statement: str) -> None:
    assert len(list(replacements(statement))) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "from quart import g\ng.found = 1",
        "import sys\nsys.stdout = None",
        "from dss_portal import models\nmodels.x = 1",
        "self.x = 1",
    ],
)
def test_what_replaces_no_part_of_a_library_is_not_seen(statement: str) -> None:
    assert list(replacements(statement)) == []


def replacements(source: str) -> Iterator[int]:
    """The lines that set an attribute of something imported from a library, the class of an object, or an attribute by
    ``setattr``, whose object is not known.
    """
    tree = ast.parse(source)
    imported = dict(_imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if node.attr == "__class__" or _is_of_a_library(node.value, imported):
                yield node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr":
            yield node.lineno


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Each name that is bound by an import, and what it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((a.asname or a.name.partition(".")[0], a.name) for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((a.asname or a.name, f"{node.module}.{a.name}") for a in node.names)


def _is_of_a_library(value: ast.expr, imported: dict[str, str]) -> bool:
    while isinstance(value, ast.Attribute):
        value = value.value
    source = imported.get(value.id, "") if isinstance(value, ast.Name) else ""
    root = source.partition(".")[0]
    ours = root.startswith("dss_") or root in sys.stdlib_module_names
    return bool(source) and not ours and source not in MADE_TO_BE_SET
