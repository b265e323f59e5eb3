"""Each row of infra/from-the-old-system.md is true of the programs, the images and the portal."""

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from dss_dispatch.settings import service_url
from dss_dispatch.start import REFUSED_SETTINGS
from dss_portal.__main__ import main as commands
from dss_portal.legacy_settings import renamed
from dss_process.old_settings import SUCCESSORS, refuse_old_settings
from support.portals import Portal

INFRA = Path(__file__).parents[2] / "infra"
PAGE = (INFRA / "from-the-old-system.md").read_text(encoding="utf-8")
IMAGES = (INFRA / "docker" / "Containerfile").read_text(encoding="utf-8")
COMPOSE = (INFRA / "compose.yaml").read_text(encoding="utf-8")

DATABASE = {"POSTGRES_PORT_5432_TCP_ADDR": "itk-snap-db"}
"""The variable that the other ones of the database need."""

VALUES = {
    "POSTGRES_PORT_5432_TCP_PORT": "5433",
    "ALFABIS_DATASTORE_ROOT": "/data",
    "SERVER_URL": "https://dss.example.org",
}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[1:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


VARIABLES = rows("Variables")


@pytest.mark.parametrize(
    ("old", "now"), [(names(r[0])[0], r[3]) for r in VARIABLES if r[1:3] == ["portal", "works"]]
)
def test_an_old_variable_of_the_portal_sets_the_new_one(old: str, now: str) -> None:
    value = VALUES.get(old, "something")
    before = renamed(DATABASE)

    changed = renamed(DATABASE | {old: value}).items() - before.items()

    successor = names(now)[0].partition("=")[0]
    if old in DATABASE:
        assert successor in before
        assert "itk-snap-db" in before[successor]
    else:
        assert [name for name, _ in changed] == [successor]
        assert value in dict(changed)[successor] or "NOAUTH" in old


@pytest.mark.parametrize(
    "row", [r for r in VARIABLES if r[2] == "refused"], ids=lambda r: names(r[0])[0]
)
def test_a_refused_variable_names_its_successor(row: list[str]) -> None:
    old, successor = names(row[0])[0], names(row[3])[0].partition("=")[0]
    known = REFUSED_SETTINGS if row[1] == "dispatcher" else SUCCESSORS

    with pytest.raises(
        SystemExit, match=f"^{old} is a setting of the old.*{successor} replaces it"
    ):
        refuse_old_settings({old: "something"}, known)

    refuse_old_settings({old: "something", successor: "given"}, known)
    refuse_old_settings({old: ""}, known)


def test_every_refused_variable_stands_in_the_table() -> None:
    assert {names(r[0])[0] for r in VARIABLES if r[2] == "refused"} == set(REFUSED_SETTINGS)


@pytest.mark.parametrize(
    "old", [names(r[0])[0] for r in VARIABLES if r[1:3] == ["dispatcher", "works"]]
)
def test_an_old_variable_of_the_dispatcher_names_a_server(old: str) -> None:
    service = old.removesuffix("_SERVICE_URL").lower().replace("_", "-")

    assert service_url(service, {old: "http://worker:8080"}) == "http://worker:8080"


def test_the_variable_of_the_database_reaches_its_container() -> None:
    for row in VARIABLES:
        if row[1] == "database":
            old = names(row[0])[0]
            assert f"{old}: ${{{old}:-}}" in COMPOSE


@pytest.mark.parametrize(
    "row", [r for r in rows("Components") if r[1].startswith("`dss-")], ids=lambda r: names(r[1])[0]
)
def test_a_component_has_its_image_volumes_and_port(row: list[str]) -> None:
    image = names(row[1])[0]
    stage = next(
        part for part in IMAGES.split("\nFROM ") if f" AS {image.removeprefix('dss-')}\n" in part
    )
    mounts = " ".join(re.findall(r"^VOLUME (.*)", stage, re.MULTILINE)).split()

    assert f"image: ${{DSS_REGISTRY:-}}{image}:" in COMPOSE
    assert set(names(row[3])) == set(mounts)
    assert ("EXPOSE 8080" in stage) == row[4].startswith("8080")


def _values(now: str) -> list[str]:
    """Values of the chart that a cell names."""
    return [n for n in names(now) if re.fullmatch(r"[a-z]+\.[a-zA-Z.]+|publicUrl|datastore", n)]


@pytest.mark.parametrize("now", [r[1] for r in (*rows("Mounts and routes"), *rows("Commands"))])
def test_a_value_of_the_chart_and_a_variable_of_compose_exist(now: str) -> None:
    chart = yaml.safe_load((INFRA / "helm/dss/values.yaml").read_text(encoding="utf-8"))
    for name in _values(now):
        found = chart
        for part in name.split("."):
            assert part in found, name
            found = found[part]
    for name in names(now):
        if name.startswith("DSS_PUBLI"):
            assert f"{name}:" in COMPOSE or f"${{{name}:-" in COMPOSE


@pytest.mark.parametrize("row", rows("Mounts and routes"), ids=lambda r: r[0][:40])
def test_an_old_mount_is_a_volume_of_the_new_image(row: list[str]) -> None:
    if row[0].startswith("`/"):
        mount = names(row[0])[0]
        images = [n.removeprefix("dss-") for n in names(row[1]) if n.startswith("dss-")]
        stages = [s for s in IMAGES.split("\nFROM ") if "\nVOLUME" in s and f" {mount}" in s]

        assert images
        assert {s.split(" AS ")[1].split("\n")[0] for s in stages} == set(images)
        assert all(re.search(rf"^VOLUME .*{mount}\b", s, re.MULTILINE) for s in stages)


@pytest.mark.parametrize("row", rows("Builds"), ids=lambda r: r[0][:40])
def test_what_replaces_an_old_build_exists(row: list[str]) -> None:
    for name in names(row[1]):
        if "/" in name:
            assert (INFRA.parent / name).is_file(), name
        elif name.isupper() or name == "TORCH_CPU":
            assert f"\nARG {name}=" in IMAGES, name
        elif name != "make images":
            assert f" AS {name}\n" in IMAGES, name


def test_every_old_build_file_mount_and_port_is_told_of() -> None:
    """What the old documentation names: four build files, three mounts, one port."""
    for folder in ("web-server", "dispatcher", "inference-server", "db"):
        assert f"`{folder}/Dockerfile`" in PAGE
        assert f"--context-dir {folder}`" in PAGE
    for mount in ("/app/datastore", "/datastore", "/wmlce/data/output"):
        assert f"| `{mount}` in the " in PAGE
    assert "route, port 8080" in PAGE


@pytest.mark.parametrize(
    "now", [n for r in rows("Commands") for n in names(r[1]) if "dss-portal " in n]
)
def test_a_command_exists(now: str) -> None:
    command = get_command(commands)
    context = command.make_context("dss-portal", [], resilient_parsing=True)
    options: set[str] = set()
    for word in now.partition("dss-portal ")[2].split():
        if word.startswith("--"):
            options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
            assert word in options
        elif word != "EMAIL":
            found = command.get_command(context, word)  # type: ignore[attr-defined]  # a group
            assert found is not None, word
            command = found


async def test_an_address_of_people_answers(portal: Portal) -> None:
    admin = await portal.user("admin@example.com", sysadmin=True)
    await portal.announce_service()

    for old, *_ in rows("Addresses"):
        method = admin.post if "acceptterms" in old else admin.get
        answer = await method(names(old)[0])
        known = {200, 302, 303, 400, 403}
        unknown_thing = answer.status_code == 404 and re.search(r"\d", old)
        assert answer.status_code in known or unknown_thing, old
