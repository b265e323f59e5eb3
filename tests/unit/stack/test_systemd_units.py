"""infra/systemd starts commands that exist, with settings that exist."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from conftest import CHECKOUT

UNITS = sorted((CHECKOUT / "infra/systemd").glob("*.service"))
EXAMPLE = (CHECKOUT / "infra/systemd/dss.env.example").read_text(encoding="utf-8")
SETTINGS = set(
    re.findall(
        r"^(DSS_\w+)=", (CHECKOUT / "infra/env.example").read_text(encoding="utf-8"), re.MULTILINE
    )
)
SCRIPTS = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "scripts"
]


def values(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)


def test_there_is_a_unit_for_each_program_of_a_server() -> None:
    assert [u.name for u in UNITS] == [
        "dss-dispatch@.service",
        "dss-inference.service",
        "dss-portal.service",
    ]


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.name)
def test_a_unit_starts_commands_that_exist(unit: Path) -> None:
    for line in values(unit, "ExecStart") + values(unit, "ExecStartPre"):
        path, subcommand, *_ = line.split()
        program = Path(path).name
        package = SCRIPTS[program].partition(".")[0]
        main: typer.Typer = import_module(f"{package}.__main__").main
        assert subcommand in get_command(main).commands  # type: ignore[attr-defined]  # a group


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.name)
def test_a_unit_survives_what_it_depends_on_and_may_finish_its_work(unit: Path) -> None:
    assert values(unit, "Restart") == ["always"]
    assert values(unit, "StartLimitIntervalSec") == ["0"]
    assert int(values(unit, "TimeoutStopSec")[0]) > 30, "DSS_STOP_S is 30"
    assert values(unit, "UMask") == ["0007"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.name)
def test_a_unit_may_write_the_datastore_of_each_example(unit: Path) -> None:
    """All else cannot be written, by ProtectSystem=strict."""
    examples = EXAMPLE + (CHECKOUT / "infra/env.example").read_text(encoding="utf-8")
    places = [f"/var/lib/{name}" for name in values(unit, "StateDirectory")]
    places += [path.lstrip("-") for path in values(unit, "ReadWritePaths")]

    datastores = re.findall(r"^DSS_DATASTORE=(\S+)", examples, re.MULTILINE)
    assert len(datastores) == 2
    assert all(any(Path(d).is_relative_to(p) for p in places) for d in datastores)


def test_settings_of_one_dispatcher_go_before_those_of_all_programs() -> None:
    """The last value of a variable counts, says systemd.exec(5)."""
    files = values(CHECKOUT / "infra/systemd/dss-dispatch@.service", "EnvironmentFile")

    assert files == ["/etc/dss/dss.env", "-/etc/dss/dispatch-%i.env"]


def test_a_long_migration_is_not_ended() -> None:
    portal = CHECKOUT / "infra/systemd/dss-portal.service"

    assert values(portal, "ExecStartPre") == ["/opt/dss/bin/dss-portal migrate"]
    assert values(portal, "TimeoutStartSec") == ["infinity"]


def test_settings_of_the_example_exist_and_have_no_comment_behind_them() -> None:
    """To systemd, a comment behind a value belongs to the value."""
    lines = [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")]

    assert {line.partition("=")[0] for line in lines} <= SETTINGS
    assert not [line for line in lines if "#" in line]
