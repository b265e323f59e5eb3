"""``make test`` runs on machines without podman: tests that need it are in modules that only ``make test-deploy`` names."""

from pathlib import Path

from conftest import CHECKOUT

NEEDED = "\nfrom deploy.engines import"


def needy(pattern: str) -> list[Path]:
    found = CHECKOUT.glob(pattern)
    return [path for path in found if NEEDED in path.read_text("utf-8")]


def test_no_collected_test_needs_an_engine_of_containers() -> None:
    assert needy("tests/**/test_*.py") == []


def test_make_test_deploy_names_each_module_that_needs_an_engine() -> None:
    makefile = (CHECKOUT / "Makefile").read_text("utf-8")
    modules = [
        path for path in needy("tests/deploy/*.py") if "def test_" in path.read_text("utf-8")
    ]

    assert len(modules) > 3
    assert [
        path.name for path in modules if f" {path.name}" not in makefile.replace(",", " ")
    ] == []
