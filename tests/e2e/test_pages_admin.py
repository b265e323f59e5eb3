"""What an admin does in a browser, with the mouse or with the keyboard alone."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, FilePayload, Page

from support import loopback
from support.sites import DESCRIPTOR, ROOT, Site, browse, claim, finish, new_ticket, said, unfold
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]


@pytest.fixture
def page(browser: Browser, root: httpx.Client) -> Iterator[Page]:
    """A browser in which the sysadmin has signed in."""
    shown = browse(browser, root)
    yield shown
    shown.context.close()


@pytest.fixture(scope="module")
def pro(site: Site, root: httpx.Client) -> Iterator[httpx.Client]:
    """Somebody who claims for the provider ``clinic``."""
    with site.program("pro@example.com") as client:
        root.post("/api/admin/providers", data={"name": "clinic"})
        root.post("/api/admin/providers/clinic/users", data={"email": "pro@example.com"})
        yield client


@pytest.fixture(scope="module")
def failed(site: Site, pro: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> int:
    """A ticket of Ann's that failed."""
    site.offer(tmp_path_factory.mktemp("offer"), "clinic")
    with site.program("ann@example.com") as ann:
        number = new_ticket(ann)
    assert claim(pro, "clinic", "lung-segmentation") == number
    finish(pro, number, "failed")
    return number


def _upload(page: Page, file: FilePayload, provider: str) -> None:
    page.goto("/adminservices")
    form = page.locator("form", has_text="From a file")
    form.get_by_label("Provider").select_option(provider)
    form.locator("input[type=file]").set_input_files(file)
    form.get_by_role("button", name="Register").click()


def _json(**changes: object) -> FilePayload:
    data = json.dumps({**DESCRIPTOR, **changes}).encode()
    return {"name": "service.json", "mimeType": "application/json", "buffer": data}


def test_a_provider_is_added_and_removed_with_the_keyboard_alone(page: Page) -> None:
    page.goto("/admin")
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("lab-1")
    page.keyboard.press("Enter")
    assert said(page) == "Provider lab-1 was added."

    page.get_by_role("link", name="Remove lab-1").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/remove")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Remove the provider":
            break
    page.keyboard.press("Enter")

    assert said(page) == "Provider lab-1 was removed."
    assert page.locator("tr", has_text="lab-1").get_by_text("removed").count() == 1


def test_a_name_that_cannot_be_is_explained_at_the_form_and_kept(page: Page) -> None:
    page.goto("/admin")
    page.get_by_label("Name", exact=True).fill("a b")
    page.get_by_role("button", name="Add").click()

    assert said(page).startswith("A provider's name consists of letters")
    assert page.get_by_label("Name", exact=True).input_value() == "a b"


def test_a_user_joins_and_leaves_a_provider(page: Page, pro: httpx.Client) -> None:
    page.goto("/admin")
    page.get_by_role("link", name="clinic", exact=True).click()
    page.get_by_label("E-mail").fill(ROOT)
    page.get_by_label("also an admin").check()
    page.get_by_role("button", name="Add").click()
    assert said(page) == f"{ROOT} may claim for clinic."

    page.get_by_role("link", name=f"Remove {ROOT}").click()
    page.get_by_role("button", name="Remove the user").click()

    assert said(page) == f"{ROOT} may not claim for clinic any more."
    assert page.locator("tbody tr").count() == 1


def test_a_user_who_does_not_exist_is_not_added(page: Page, pro: httpx.Client) -> None:
    page.goto("/admin")
    page.get_by_role("link", name="clinic", exact=True).click()
    page.get_by_label("E-mail").fill("nobody@example.com")
    page.get_by_role("button", name="Add").click()

    assert said(page) == "Email unrecognized by the system: nobody@example.com"


def test_a_service_is_registered_from_an_archive_and_removed(
    page: Page, root: httpx.Client, pro: httpx.Client
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("service.json", json.dumps({**DESCRIPTOR, "name": "packed"}))
    file = FilePayload(name="s.zip", mimeType="application/zip", buffer=packed.getvalue())
    _upload(page, file, "clinic")
    assert said(page) == "The service was registered."
    assert "packed," in root.get("/api/services").text

    page.get_by_role("link", name="Remove packed 1.0.0").click()
    page.get_by_role("button", name="Remove the service").click()

    assert said(page) == "clinic does not offer packed 1.0.0 any more."
    assert "packed," not in root.get("/api/services").text


def test_a_wrong_descriptor_is_explained_at_the_form(page: Page, pro: httpx.Client) -> None:
    _upload(page, _json(version=3), "clinic")

    form = page.locator("form", has_text="From a file")
    assert form.get_by_role("alert").inner_text().startswith("Error parsing service.json file: ")


def test_an_address_that_may_not_be_fetched_is_explained_at_the_form(
    page: Page, pro: httpx.Client
) -> None:
    page.goto("/adminservices")
    page.get_by_label("Address of the repository").fill("file:///etc")
    page.locator("form", has_text="From a Git").get_by_role("button").click()

    assert said(page).startswith("Error fetching Git repository: an address must begin with")


def test_a_new_user_signs_in_with_the_token_that_is_shown_once(
    page: Page, browser: Browser, site: Site
) -> None:
    page.goto("/admin/users")
    form = page.locator("#user-form")
    form.get_by_label("E-mail").fill("new@example.com")
    form.get_by_label("Tier").select_option("poweruser")
    form.get_by_role("button").click()
    assert said(page) == "new@example.com was saved."
    page.get_by_role("button", name="One-time token for new@example.com").click()
    token = page.locator("code.token").inner_text()

    theirs = browser.new_context(base_url=site.url).new_page()
    theirs.goto("/token")
    theirs.get_by_label("Sign-in token").fill(token)
    theirs.get_by_role("button", name="Sign in").click()

    assert theirs.locator(".who").inner_text() == "new@example.com"
    assert theirs.get_by_role("navigation", name="Administration").count() == 0


def test_a_disabled_user_is_out_until_enabled(page: Page, site: Site) -> None:
    with site.program("bob@example.com") as bob:
        page.goto("/admin/users")
        page.get_by_role("link", name="Disable bob@example.com").click()
        page.get_by_role("button", name="Disable the user").click()
        assert said(page) == "bob@example.com was disabled."
        assert bob.get("/api/login").status_code == httpx.codes.UNAUTHORIZED

        page.get_by_role("button", name="Enable bob@example.com").click()
        assert said(page) == "bob@example.com was enabled."
        assert bob.get("/api/login").status_code == httpx.codes.OK


def test_sysadmins_cannot_shut_themselves_out(page: Page) -> None:
    page.goto(f"/admin/users?edit={ROOT}")
    page.locator("#user-form").get_by_label("sysadmin").uncheck()
    page.locator("#user-form").get_by_role("button").click()

    assert said(page) == "You cannot take the rights of a sysadmin from yourself."
    assert page.get_by_role("link", name=f"Disable {ROOT}").count() == 0


def test_an_api_token_is_made_used_and_revoked(page: Page, site: Site) -> None:
    page.goto("/admin/users")
    form = page.locator("form", has_text="New API token")
    form.get_by_label("What it is for").fill("a script")
    form.get_by_label("tickets:").check()
    form.get_by_role("button").click()
    headers = {"Authorization": f"Bearer {page.locator('code.token').inner_text()}"}
    assert loopback.get(f"{site.url}/api/tickets", headers=headers).status_code == httpx.codes.OK

    page.goto("/admin/users")
    page.locator("tr", has_text="a script").get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke the token").click()

    answer = loopback.get(f"{site.url}/api/tickets", headers=headers)
    assert answer.status_code == httpx.codes.UNAUTHORIZED


def test_tickets_are_listed_by_state(page: Page, failed: int) -> None:
    page.goto("/admintickets")
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Show").click()
    assert page.get_by_role("rowheader").all_inner_texts() == [str(failed)]

    page.get_by_label("State").select_option("timeout")
    page.get_by_role("button", name="Show").click()
    assert page.get_by_text("There is no ticket in state “given up”.").count() == 1


def test_a_ticket_shows_its_user_claims_files_and_log(page: Page, failed: int) -> None:
    page.goto(f"/admin/tickets/{failed}/detail")
    unfold(page)

    shown = page.locator("main").inner_text()
    for fact in ("ann@example.com", "clinic", "pro@example.com", "a.itksnap", "11 Bytes"):
        assert fact in shown
    with page.expect_download() as download:
        page.get_by_role("link", name="a.itksnap").click()
    assert Path(download.value.path()).read_bytes() == b"<registry/>"


def test_deletion_asks_first_and_can_be_called_off(page: Page, site: Site, failed: int) -> None:
    with site.program("ann@example.com") as ann:
        number = new_ticket(ann)
        page.goto(f"/admin/tickets/{number}/detail")
        page.get_by_role("link", name="Delete").click()
        page.get_by_role("link", name="Cancel").click()
        assert ann.get(f"/api/tickets/{number}/status").text == "ready"

        page.get_by_role("link", name="Delete").click()
        page.get_by_role("button", name="Delete the ticket").click()

        assert said(page).startswith(f"Ticket {number} is deleted within a minute")
        site.sql("UPDATE ticket SET delete_at = now() WHERE id = $1", number)
        wait_until(lambda: ann.get(f"/api/tickets/{number}/status").text == "deleted")


def test_a_failed_ticket_is_retried_and_a_purge_counts_before_it_deletes(
    page: Page, root: httpx.Client, failed: int
) -> None:
    page.goto(f"/admin/tickets/{failed}/detail")
    page.get_by_role("button", name="Retry").click()
    assert said(page) == f"Ticket {failed} waits again."

    page.goto("/admin")
    page.get_by_label("Created more than").fill("0")
    page.get_by_label("all, waiting").check()
    page.get_by_role("button", name="Count them").click()
    counted = page.locator("main p").first.inner_text()
    count = len(root.get("/api/admin/tickets").text.splitlines())
    assert counted.startswith(f"{count} tickets, waiting and running too, are older than 0 days.")
    page.get_by_role("button", name="Purge them").click()

    assert said(page) == f"{count} tickets were purged."
    assert root.get("/api/admin/tickets").text == ""
