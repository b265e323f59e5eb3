"""What nobody may do to the people who look at the pages; and that every page is a proper one."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page

from support import loopback
from support.sites import ROOT, Site, attach, browse, claim, finish, new_ticket, said, unfold

pytestmark = [pytest.mark.stack]

MARKUP = "<script>window.ran=1</script><img src=x onerror='window.ran=1'><u>lines</u>"
STRANGE = (
    "script:not([src^='/static/live.js'], [src^='/static/sending/home.js']), script:not(:empty), "
    "img:not([src^='/blobs/'])"
)
TOO_OLD = "This form is too old; reload the page and try again."


@pytest.fixture(scope="module")
def ann(site: Site) -> Iterator[httpx.Client]:
    with site.program("ann@example.com") as client:
        yield client


@pytest.fixture(scope="module")
def hostile(
    site: Site,
    root: httpx.Client,
    ann: httpx.Client,
    tmp_path_factory: pytest.TempPathFactory,
) -> int:
    """A finished ticket; whatever a provider, a service or a user can write holds markup."""
    texts = {"shortdesc": MARKUP[:60], "longdesc": MARKUP, "url": "javascript:window.ran=1"}
    tag = {"name": "CT", "type": "MainImage", "hint": MARKUP, "required": True}
    site.offer(tmp_path_factory.mktemp("x"), "evil", name=f"x{MARKUP}", tags=[tag], **texts)
    with site.program("evil@example.com") as provider:
        root.post("/api/admin/providers/evil/users", data={"email": "evil@example.com"})
        number = new_ticket(ann, f"x{MARKUP}")
        assert claim(provider, "evil", f"x{MARKUP}") == number
        attach(provider, number, "a.html", MARKUP.encode(), MARKUP)
        provider.post(f"/api/pro/tickets/{number}/info", data={"message": MARKUP})
        finish(provider, number, "success")
    site.sql("UPDATE user_account SET display_name = $1", MARKUP)
    site.sql("UPDATE provider SET name = $1 WHERE name = 'evil'", MARKUP[:78])
    site.sql("UPDATE claim SET provider = $1, instance = $1", MARKUP)
    return number


@pytest.fixture(scope="module")
def provider(site: Site, hostile: int) -> int:
    """The number of one; which it is hangs on what else was announced meanwhile."""
    ((number,),) = site.sql("SELECT min(id) FROM provider")
    return int(str(number))


@pytest.fixture(scope="module")
def shown(browser: Browser, root: httpx.Client) -> Iterator[Page]:
    """A sysadmin's browser."""
    page = browse(browser, root)
    yield page
    page.context.close()


PAGES = [
    "/",
    "/about",
    "/services",
    "/token",
    "/tickets",
    "/tickets/{ticket}",
    "/tickets/{ticket}/delete",
    "/admin",
    "/admin/providers/{provider}",
    "/admin/providers/{provider}/remove",
    "/admin/purge?days=1&which=completed",
    "/adminservices",
    "/admintickets",
    "/admin/tickets/{ticket}/detail",
    "/admin/tickets/{ticket}/delete",
    f"/admin/users?edit={ROOT}",
]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole_and_runs_no_stored_markup(
    shown: Page, hostile: int, provider: int, path: str
) -> None:
    """The reference's weakness 23; the console also tells of violations of the page's own policy."""
    complaints: list[str] = []
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.goto(path.format(ticket=hostile, provider=provider))

    assert complaints == []
    assert shown.evaluate("window.ran === undefined")
    assert shown.locator(f"{STRANGE}, u, [href^=javascript]").count() == 0
    assert re.fullmatch(r".+ - Distributed Segmentation Service", shown.title())
    assert shown.locator("html").get_attribute("lang") == "en"
    assert shown.locator("h1").count() == 1


def test_an_attached_page_runs_no_script(shown: Page, hostile: int) -> None:
    shown.goto(f"/admin/tickets/{hostile}/detail")
    unfold(shown)
    with shown.expect_navigation():
        shown.locator(".attached a").first.click()

    assert "/blobs/" in shown.url
    assert shown.locator("u").inner_text() == "lines"
    assert shown.evaluate("window.ran === undefined")


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("/admin", "Overview"),
        ("/admin/providers/{provider}", "Overview"),
        ("/admintickets", "All tickets"),
        ("/admin/users", "Users"),
        ("/tickets", "My tickets"),
        ("/send", "Send images"),
    ],
)
def test_the_navigation_marks_where_one_is(
    shown: Page, provider: int, path: str, link: str
) -> None:
    shown.goto(path.format(provider=provider))

    assert shown.locator("nav [aria-current]").all_inner_texts() == [link]


def test_the_first_stop_of_the_keyboard_leads_past_the_navigation(shown: Page) -> None:
    shown.goto("/admin")
    shown.keyboard.press("Tab")
    shown.keyboard.press("Enter")

    assert shown.url.endswith("#content")


def test_a_narrow_screen_needs_no_scrolling_sideways(shown: Page, hostile: int) -> None:
    shown.set_viewport_size({"width": 400, "height": 800})
    try:
        for path in ("/admin", "/admintickets", "/admin/users", "/adminservices", "/services"):
            shown.goto(path)
            assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    finally:
        shown.set_viewport_size({"width": 1100, "height": 800})


def test_a_user_downloads_the_results_and_deletes_the_ticket(
    browser: Browser, site: Site, ann: httpx.Client, hostile: int
) -> None:
    page = browse(browser, ann)
    page.goto("/tickets")
    with page.expect_download() as whole:
        page.get_by_role("link", name=f"Download the results of ticket {hostile}").click()
    assert whole.value.suggested_filename == f"ticket_{hostile:08d}.zip"
    page.goto(f"/tickets/{hostile}")
    unfold(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="lungs.nii.gz").click()
    assert download.value.suggested_filename == "lungs.nii.gz"

    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete the ticket").click()

    assert said(page).startswith(f"Ticket {hostile} is deleted within a minute")
    assert page.get_by_role("button", name=f"Undo the deletion of ticket {hostile}").count() == 1
    site.sql("UPDATE ticket SET delete_at = now() WHERE id = $1", hostile)
    page.get_by_text("You have no tickets.").wait_for()
    page.context.close()


FORMS = {
    "/admin/providers": {"name": "forged"},
    "/admin/users": {"email": "forged@example.com", "sysadmin": "on"},
    "/admin/tokens": {"email": ROOT, "name": "forged", "scope-admin": "on"},
    "/admin/purge": {"days": "0", "which": "all"},
}


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("token", ["none", "invented", "another session's"])
def test_a_form_that_no_page_of_ours_made_changes_nothing(
    site: Site, root: httpx.Client, ann: httpx.Client, path: str, token: str
) -> None:
    """The reference's weakness 21."""
    found = re.search(r'name="form_token" value="([^"]+)"', ann.get("/token").text)
    assert found is not None
    sent = {"none": {}, "invented": {"form_token": "x"}}.get(token, {"form_token": found[1]})
    before = _everything(site)

    answer = root.post(path, data={**FORMS[path], **sent})

    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert TOO_OLD in answer.text
    assert _everything(site) == before


def _everything(site: Site) -> list[list[tuple[object, ...]]]:
    tables = ("provider", "user_account", "api_token", "ticket")
    return [site.sql(f"SELECT * FROM {table} ORDER BY id") for table in tables]


def test_the_terms_are_accepted_in_a_browser_only_by_the_form_of_the_page(
    browser: Browser, site: Site
) -> None:
    with site.program("reader@example.com") as reader:
        forged = reader.post("/acceptterms", data={"cb": "on"}, headers={"Origin": site.url})
        assert forged.status_code == httpx.codes.BAD_REQUEST
        page = browse(browser, reader)
        page.goto("/token")
        page.get_by_label("I accept").check()
        page.get_by_role("button").click()

        assert len(page.locator("code.token").inner_text()) == 48
        page.context.close()


def test_an_old_script_accepts_the_terms_without_a_form(site: Site) -> None:
    with site.program("script@example.com") as script:
        answer = script.post("/acceptterms", data={"cb": "on"})

        assert (answer.status_code, answer.headers["Location"]) == (303, f"{site.url}/token")
        assert len(script.get("/api/token").text) == 48


ADMINS = ["/admin", "/adminservices", "/admintickets", "/admin/users", "/admin/tickets/1/detail"]


@pytest.mark.parametrize("path", ADMINS)
def test_only_sysadmins_see_the_pages_of_admins(site: Site, ann: httpx.Client, path: str) -> None:
    refused = ann.get(path)
    assert (refused.status_code, refused.text) == (401, "Unauthorized access")

    sent_away = loopback.get(site.url + path)
    assert (sent_away.status_code, sent_away.headers["Location"]) == (303, f"{site.url}/token")


def test_a_token_for_programs_opens_no_page(site: Site) -> None:
    token = site.stack.command("tokens", "create", ROOT, "--scope", "tickets").split()
    headers = {"Authorization": f"Bearer {token[-1]}"}

    assert loopback.get(f"{site.url}/admin", headers=headers).status_code == httpx.codes.SEE_OTHER


@pytest.mark.parametrize("path", ["/logout", "/token"])
def test_asking_for_the_head_of_a_page_changes_nothing(
    ann: httpx.Client, site: Site, path: str
) -> None:
    assert ann.head(path).status_code == httpx.codes.METHOD_NOT_ALLOWED

    assert ann.get("/api/login").status_code == httpx.codes.OK
