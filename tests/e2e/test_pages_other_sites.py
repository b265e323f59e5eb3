"""Hostile pages in a real browser, on plain http, where it sends no ``Sec-Fetch-*``."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from conftest import missing
from support import loopback
from support.sites import CHROMIUM, Site
from support.stacks import free_port
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

NAMES = "MAP dss.hospital.test 127.0.0.1, MAP evil.test 127.0.0.1"


@dataclass
class Attacker:
    """Another web site: it serves ``page`` and notes what it is asked."""

    port: int = field(default_factory=free_port)
    page: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def attacker() -> Iterator[Attacker]:
    found = Attacker()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.headers = dict(self.headers)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(found.page.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", found.port), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture(scope="module")
def dss(site: Site) -> str:
    """The portal's address under a name that is not localhost."""
    return f"http://dss.hospital.test:{site.stack.port}"


@pytest.fixture(scope="module")
def context(site: Site, dss: str) -> Iterator[BrowserContext]:
    """A browser whose user has signed in with a token, on the page."""
    program = shutil.which("chromium")
    if program is None:
        missing("Chromium is not installed.")
    with sync_playwright() as playwright:
        arguments = [*CHROMIUM, f"--host-resolver-rules={NAMES}"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        found = browser.new_context()
        found.set_default_timeout(10_000)
        page = found.new_page()
        page.goto(f"{dss}/token")
        page.get_by_label("Token").fill(site.stack.token("victim@example.com"))
        page.get_by_role("main").get_by_role("button").first.click()
        page.close()
        yield found
        browser.close()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A victim's browser, the ticket at stake at the portal ``dss``, and the attacker's site."""

    context: BrowserContext
    site: Site
    dss: str
    ticket: int
    attacker: Attacker

    def lure(self, host: str, referrer: str, body: str) -> Page:
        """The victim looks at the attacker's page."""
        self.attacker.page = f'<meta name="referrer" content="{referrer}">{body}'
        page = self.context.new_page()
        page.goto(f"http://{host}:{self.attacker.port}/")
        return page

    def status(self) -> object:
        ((status,),) = self.site.sql("SELECT status FROM ticket WHERE id = $1", self.ticket)
        return status

    def sessions(self) -> int:
        """Of the victim, not ended."""
        return len(
            self.site.sql(
                "SELECT FROM session JOIN user_account u ON u.id = user_id "
                "WHERE email = 'victim@example.com' AND revoked_at IS NULL"
            )
        )

    def signed_in_as(self) -> str:
        """By the header of a page, asked for as a person would."""
        page = self.context.new_page()
        page.goto(f"{self.dss}/about")
        found = page.locator(".who")
        email = found.inner_text() if found.count() else ""
        page.close()
        return email


@pytest.fixture(scope="module")
def scene(
    context: BrowserContext,
    site: Site,
    dss: str,
    attacker: Attacker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scene:
    """The ticket was made with the browser's own cookie."""
    site.offer(tmp_path_factory.mktemp("offer"), "safe", name="safe")
    (cookie,) = [c for c in context.cookies(dss) if c.get("name") == "webpy_session_id"]
    cookies = {"webpy_session_id": cookie.get("value", "")}
    answer = loopback.post(f"{site.url}/api/tickets", data={"name": "safe"}, cookies=cookies)
    return Scene(context=context, site=site, dss=dss, ticket=int(answer.text), attacker=attacker)


def _form(address: str, **fields: str) -> str:
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    return (
        f'<form method="post" action="{address}">{inputs}</form>'
        "<script>document.forms[0].submit()</script>"
    )


EMBEDDED = [
    '<img src="{address}">',
    '<iframe src="{address}"></iframe>',
    '<script src="{address}"></script>',
    '<link rel="stylesheet" href="{address}">',
    '<script>fetch("{address}", {{mode: "no-cors", credentials: "include"}})</script>',
    """<script>fetch("{address}", {{mode: "no-cors", credentials: "include",
    headers: {{"Accept": "*/*", "Accept-Language": ""}}}})</script>""",
    '<script>fetch("{address}", {{mode: "no-cors", credentials: "include", keepalive: true}})</script>',
]
NAVIGATIONS = [
    '<a id="go" href="{address}">x</a><script>document.getElementById("go").click()</script>',
    '<meta http-equiv="refresh" content="0;url={address}">',
    '<form action="{address}"></form><script>document.forms[0].submit()</script>',
]
REFERRERS = ["no-referrer", "unsafe-url"]
HOSTS = ["evil.test", "dss.hospital.test"]
"""The second is the same site for a browser (another port), so that cookies travel with everything."""


def test_the_browser_really_sends_no_fetch_metadata_there(scene: Scene) -> None:
    scene.lure("evil.test", "no-referrer", "").close()

    assert not [name for name in scene.attacker.headers if name.lower().startswith("sec-fetch")]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("referrer", REFERRERS)
def test_no_address_that_a_page_loads_changes_anything(
    scene: Scene, host: str, referrer: str
) -> None:
    addresses = [f"{scene.dss}/api/tickets/{scene.ticket}/delete", f"{scene.dss}/logout"]
    everything = "".join(body.format(address=a) for body in EMBEDDED for a in addresses)
    page = scene.lure(host, referrer, everything)
    page.wait_for_load_state("networkidle")
    page.close()
    for body in NAVIGATIONS:
        for address in addresses:
            page = scene.lure(host, referrer, body.format(address=address))
            page.wait_for_url(f"{address}*")
            page.close()

    assert scene.status() == "init"
    assert scene.sessions() == 1
    assert scene.signed_in_as() == "victim@example.com"


@pytest.mark.parametrize(("host", "referrer"), [*zip(HOSTS, REFERRERS, strict=True)])
def test_no_form_of_another_site_is_taken(scene: Scene, host: str, referrer: str) -> None:
    dss, ticket = scene.dss, scene.ticket
    token = scene.site.stack.token("mallory@example.com")
    forms = [
        _form(f"{dss}/token", token=token),
        _form(f"{dss}/api/login", token=token),
        _form(f"{dss}/logout"),
        _form(f"{dss}/acceptterms", cb="off"),
        _form(f"{dss}/tickets/{ticket}/delete"),
        _form(f"{dss}/api/tickets/{ticket}/status", status="ready"),
        _form(f"{dss}/api/tickets", name="safe"),
    ]
    for form in forms:
        page = scene.lure(host, referrer, form)
        page.wait_for_url(f"{dss}/**")
        page.close()

    assert scene.signed_in_as() == "victim@example.com"
    assert scene.status() == "init"
    assert scene.site.sql("SELECT count(*) FROM ticket WHERE id > $1", ticket) == [(0,)]


def test_a_person_signs_out_by_the_page(scene: Scene) -> None:
    page = scene.context.new_page()
    page.goto(f"{scene.dss}/about")
    page.get_by_role("link", name="Sign out").click()
    page.get_by_role("button", name="Sign out").click()
    page.close()

    wait_until(lambda: scene.signed_in_as() == "")
