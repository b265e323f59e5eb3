"""Every address of a page stands in one list, and every link of a template leads somewhere."""

import re
from pathlib import Path

import pytest
from quart import Quart
from werkzeug.exceptions import MethodNotAllowed, NotFound

import dss_portal
from dss_broker.memory import MemoryBroker
from dss_portal.app import create_app
from dss_portal.pages import addresses
from dss_portal.settings import Settings

PACKAGE = Path(dss_portal.__path__[0])
TEMPLATES = sorted((PACKAGE / "pages" / "templates").glob("*.html"))
LINK = re.compile(r"\{\{ prefix \}\}(/[^\"?#]*)")
LISTED = {value for name, value in vars(addresses).items() if name.isupper()}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Quart:
    settings = Settings(
        database_url="postgres://nobody@127.0.0.1/none",
        amqp_url="amqp://memory",
        datastore=tmp_path_factory.mktemp("datastore"),
        secret_key="k" * 32,
    )
    return create_app(settings, MemoryBroker())


def leads_somewhere(app: Quart, path: str) -> bool:
    try:
        return bool(app.url_map.bind("localhost").match(path, method="GET"))
    except MethodNotAllowed:  # a form's
        return True
    except NotFound:
        return False


def filled(link: str) -> str:
    """With numbers, hashes and areas where the template fills them in."""
    values = {"githash": "a" * 40, "public_id": "a" * 32, "area": "input", "kind": "mail"}
    for name, value in values.items():
        link = re.sub(rf"\{{\{{[^}}]*{name}[^}}]*\}}\}}", value, link)
    return re.sub(r"\{\{[^}]*\}\}", "1", link)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_link_of_a_template_leads_to_a_route(app: Quart, template: Path) -> None:
    links = LINK.findall(template.read_text("utf-8"))

    assert [link for link in links if not leads_somewhere(app, filled(link))] == []


@pytest.mark.parametrize("address", sorted(LISTED))
def test_every_address_of_the_list_is_served(app: Quart, address: str) -> None:
    assert any(leads_somewhere(app, f"{address}{below}") for below in ("", "/1", "/1/revoke"))


def test_no_page_spells_an_address_of_its_own() -> None:
    pages = [*PACKAGE.rglob("*pages.py"), *(PACKAGE / "pages").glob("*.py")]
    spelled = re.compile(r"see_other\(f?\"|back=f?\"/|url_prefix=f?\"/|\": \"/")
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in pages
        for line in path.read_text("utf-8").splitlines()
        if spelled.search(line)
    ]

    assert found == []


def test_no_other_module_writes_the_address_of_a_page() -> None:
    """Rules of routes are relative to a blueprint, and /token is also a path of the API."""
    prefixes = LISTED - {addresses.HOME, addresses.SIGN_IN}
    links = re.compile(rf"f?\"({'|'.join(map(re.escape, sorted(prefixes)))})(?:/\{{[^\"]*)?\"")
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        if path.name != "addresses.py"
        for line in path.read_text("utf-8").splitlines()
        if links.search(line) and "blueprint" not in line
    ]

    assert found == []
