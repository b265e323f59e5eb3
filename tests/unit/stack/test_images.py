"""What an image of a program holds, and what it must not."""

import tomllib
from pathlib import Path

import grimp
import pytest

from conftest import CHECKOUT
from dss_stack.images.contents import problems
from dss_stack.images.one_program import PACKAGES, write

OURS = [
    "dss_broker",
    "dss_datastore",
    "dss_images",
    "dss_process",
    "dss_submission",
    "dss_workspace",
    "dss_portal",
    "dss_client",
    "dss_provider",
    "dss_dispatch",
    "dss_inference",
    "dss_phantom",
    "dss_observability",
]
SHARED = {
    "dss_broker",
    "dss_datastore",
    "dss_images",
    "dss_process",
    "dss_submission",
    "dss_workspace",
    "dss_observability",
}
OWN = {
    "portal": {"dss_portal"},
    "dispatch": {"dss_dispatch"},
    "inference": {"dss_inference", "dss_phantom"},
    "client": {"dss_client", "dss_provider"},
}
"""The programs of each image."""
HEALTH = "dss_observability"
"""Every image of a server is asked for its health by it."""


@pytest.mark.parametrize("program", PACKAGES)
def test_an_image_holds_our_packages_that_its_program_imports_and_no_other(program: str) -> None:
    graph = grimp.build_graph(OURS[0], *OURS[1:], cache_dir=None)
    names = {Path(package).name for package in PACKAGES[program]}

    imported = {
        module.partition(".")[0]
        for package in OWN[program]
        for start in graph.find_descendants(package)
        for module in graph.find_upstream_modules(start)
    }

    assert names == imported | OWN[program]


def test_a_programs_distribution_has_its_extra_and_its_command_only(tmp_path: Path) -> None:
    write("dispatch", CHECKOUT, tmp_path / "one")

    made = tomllib.loads((tmp_path / "one/pyproject.toml").read_text(encoding="utf-8"))["project"]

    whole = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = whole["optional-dependencies"]["dispatch"]
    assert made["dependencies"] == whole["dependencies"] + extra
    assert made["version"] == whole["version"]
    assert made["scripts"] == {"dss-dispatch": "dss_dispatch.start:main"}
    folders = {path.name for path in (tmp_path / "one").iterdir() if path.is_dir()}
    assert folders == SHARED | {"dss_dispatch"}


def test_a_portal_with_torch_and_pip_is_not_built() -> None:
    assert problems("portal", "cpu", ["Quart", "torch", "pip"], []) == [
        "The image of portal must not hold pip.",
        "The image of portal must not hold torch.",
    ]


@pytest.mark.parametrize(
    "library", ["libtorch_cuda.so", "libcudart-1a2b.so.12", "libcublas.so.12", "libcudnn_ops.so.9"]
)
def test_an_image_for_cpus_that_holds_a_library_of_cuda_is_not_built(library: str) -> None:
    files = [f"/site/torch/lib/{library}", "/site/torch/lib/libtorch_cpu.so"]

    (found,) = problems("torch", "cpu", ["torch"], files)

    assert library in found
    assert "TORCH_CPU" in found
    assert problems("torch", "cuda", ["torch"], files) == []


def test_an_image_for_cpus_is_built_without() -> None:
    assert problems("torch", "cpu", ["torch"], ["/site/torch/lib/libtorch_cpu.so"]) == []
