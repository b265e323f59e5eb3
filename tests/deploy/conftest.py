import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import CHECKOUT, STATE, missing
from deploy.engines import Engine, build_settings, lacking
from support import chart_tools
from support.charts import EVERYTHING, SITES, Chart, Manifest


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine with an empty store, in which the base is built."""
    if sentence := lacking():
        pytest.fail(sentence)
    engine = Engine(STATE / "deploy" / "engine")
    engine.remove_everything()
    engine.prepare()
    try:
        engine.import_base(STATE / "deploy" / "base")
        if sentence := engine.refusal():
            pytest.fail(sentence)
        yield engine
    finally:
        engine.remove_everything()


@pytest.fixture(scope="session")
def stand_ins(engine: Engine) -> Iterator[Future[None]]:
    """Done when the stand-ins of the servers are built, which goes on beside the build of our images."""
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(engine.make_stand_ins, CHECKOUT)


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
def images(engine: Engine, stand_ins: Future[None], checkout: Path) -> Engine:
    """The engine, with our images and the stand-ins; those that are there already are not built again."""
    if not engine.has_image("dss-client:latest"):
        engine.run("make images", checkout, **build_settings())
    stand_ins.result()
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
