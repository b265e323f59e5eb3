import pytest

from conftest import missing
from support import chart_tools
from support.charts import EVERYTHING, SITES, Chart, Manifest


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
