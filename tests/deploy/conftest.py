import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import CHECKOUT, STATE, missing
from deploy.engines import Engine, build_settings, lacking
from support import chart_tools
from support.charts import EVERYTHING, SITES, Chart, Manifest


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine with an empty store, in which the base and the stand-ins are built."""
    if sentence := lacking():
        missing(sentence)
    engine = Engine(STATE / "deploy" / "engine")
    engine.remove_everything()
    engine.prepare()
    try:
        engine.import_base(STATE / "deploy" / "base")
        engine.make_stand_ins(CHECKOUT)
        yield engine
    finally:
        engine.remove_everything()


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy of what git knows here."""
    copy = tmp_path_factory.mktemp("site") / "checkout"
    copy.mkdir()
    listed = "git ls-files --cached --others --exclude-standard -z | tar --null --files-from - -c"
    command = f"{listed} | tar -C {copy} -x"
    subprocess.run(["bash", "-euc", command], cwd=CHECKOUT, env=os.environ, check=True)
    return copy


@pytest.fixture(scope="session")
def images(engine: Engine, checkout: Path) -> Engine:
    """The engine, with our images; those that are there already are not built again."""
    if not engine.has_image("dss-client:latest"):
        engine.run("make images", checkout, **build_settings())
    return engine


@pytest.fixture(scope="session")
def chart() -> Chart:
    try:
        return Chart(helm=chart_tools.helm())
    except chart_tools.ToolMissing as error:
        missing(str(error))


@pytest.fixture(scope="session")
def rendered(chart: Chart) -> dict[str, list[Manifest]]:
    """Objects by value file, and ``everything``."""
    return {site: chart.render(site) for site in SITES} | {
        "everything": chart.render(values=EVERYTHING)
    }
