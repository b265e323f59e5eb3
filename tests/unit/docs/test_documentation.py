"""The documentation builds strictly and offline, its tables come from the code, and its examples run."""

import json
import re
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from conftest import CHECKOUT
from dss_broker.descriptor import Tag, TagType
from dss_broker.dispatch_faults import dispatch_from
from dss_broker.dispatch_section import DISPATCHER, PUBLISHER, Modality, ProviderKind
from dss_broker.service_schema import json_schema
from dss_provider.folder import load
from dss_provider.new_folder import make
from dss_provider.running import RunInput, run
from support.builders import service_json

pytestmark = pytest.mark.slow

PAGES = CHECKOUT / "docs/pages"
sys.path.insert(0, str(CHECKOUT / "docs"))
INCLUDED = import_module("hooks").INCLUDED
COMMAND = re.compile(
    r"^\s*(\$ |sudo )?(dss|dss-[a-z]+|make|pip|python3?|oc|helm|kubectl|podman|docker|apt|apt-get|psql|curl|git|systemctl)\b",
    re.MULTILINE,
)
BLOCK = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
MARKS = {"sh", "sh background", "console", "python", "python run", "json", ""}
"""``sh`` is run by test_documented_commands.py; ``console`` is for other machines, or run by a test that sets one up
(test_stack_complete.py: index.md; deploy: infra/README.md); "" is output or a drawing.
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*command, "--config-file", str(CHECKOUT / "docs/mkdocs.yml"), "--site-dir", str(target)],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r"<(?:script|img|iframe|link)[^>]*(?:src|href)=\"?(https?://[^\" >]+)")
    for page in site.rglob("*.html"):
        assert loaded.findall(page.read_text(encoding="utf-8")) == [], page


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("reference/settings.html", "DSS_PROVIDER_LEASE_S"),
        ("reference/metrics.html", "ProgramGone"),
        ("reference/metrics.html", "dss_outbox_messages"),
        ("reference/messages.html", "ClaimGranted"),
        ("reference/rest.html", "/api/pro/services/claims"),
        ("reference/states.html", "claimed"),
        ("reference/service-json.html", "memory_gb"),
        ("reference/commands.html", "--each"),
        ("operators/runbook.html", "TargetDown"),
        ("about/decisions.html", "publish from behind a firewall"),
    ],
)
def test_a_table_comes_from_the_code(site: Path, page: str, text: str) -> None:
    found = (site / page).read_text(encoding="utf-8")

    assert text in found
    assert "&lt;!-- generate" not in found
    assert "fills this page" not in found
    assert "puts the file" not in found


def test_an_unbuilt_page_says_what_fills_it() -> None:
    filled = [
        text
        for page in PAGES.rglob("*.md")
        if "<!-- generate: " in (text := page.read_text(encoding="utf-8"))
        or "<!-- include: " in text
    ]

    assert len(filled) > len(INCLUDED)
    assert all("<!-- checkout -->\n*`make docs` " in text for text in filled)


def test_every_block_says_whether_it_is_run() -> None:
    """Also in the files that the documentation includes, and in the README."""
    files = [*PAGES.rglob("*.md"), CHECKOUT / "README.md", *(CHECKOUT / f for f in INCLUDED)]
    for page in files:
        for _, mark, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            assert mark in MARKS, f"{page.name}: {mark}"
            unmarked = mark == "" and COMMAND.search(text)
            assert not unmarked, f"{page.name}: a command without a mark: {text}"


EXAMPLES = [
    text
    for _, mark, text in BLOCK.findall(
        (PAGES / "providers/examples.md").read_text(encoding="utf-8")
    )
    if mark == "python"
]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_a_provider_runs(number: int, tmp_path: Path) -> None:
    make(tmp_path / "own", Modality.MR)
    imports = "import numpy as np\nfrom dss_provider import *\n"
    (tmp_path / "own/algorithm.py").write_text(imports + EXAMPLES[number], encoding="utf-8")
    described = json.loads((tmp_path / "own/service.json").read_text(encoding="utf-8"))
    described["tags"] += [
        {"name": name, "type": "OverlayImage", "required": False} for name in ("Before", "After")
    ]
    (tmp_path / "own/service.json").write_text(json.dumps(described), encoding="utf-8")
    array = np.random.default_rng(1).normal(100, 20, (8, 9, 10)).astype(np.float32)
    array[3:5, 3:5, 3:5] = 900
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "image.nii.gz"))
    sitk.WriteImage(sitk.GetImageFromArray(array * 0), str(tmp_path / "before.nii.gz"))
    inputs = {"MR": tmp_path / "image.nii.gz", "After": tmp_path / "image.nii.gz"}
    (tmp_path / "work").mkdir()
    work = RunInput(
        folder=tmp_path / "work", inputs=inputs | {"Before": tmp_path / "before.nii.gz"}
    )

    outcome = run(load(tmp_path / "own"), work, lambda *_: None, threading.Event())

    labels = np.load(tmp_path / "work" / outcome.segmentations[0].file)
    assert labels[3:5, 3:5, 3:5].all()


def test_the_examples_have_a_usable_section_of_each_kind() -> None:
    pages = ("providers/guide.md", "providers/examples.md")
    text = "".join((PAGES / page).read_text(encoding="utf-8") for page in pages)
    sections = [json.loads("{" + t + "}") for _, mark, t in BLOCK.findall(text) if mark == "json"]
    tags = (Tag(name="CT", type=TagType.MAIN, required=True),)
    kinds = set()
    for section in sections:
        provider = section["dispatch"]["provider"]
        runner = next(r for r in (PUBLISHER, DISPATCHER) if provider in r.kinds)
        kinds.add(dispatch_from(section, tags, runner).provider)
        jsonschema.validate(service_json(**section), json_schema())

    assert kinds == set(ProviderKind) - {ProviderKind.PYTHON}, "those with a function are run above"
