"""What a page of another site can do with a user's cookie: nothing, also where only Origin and Referer tell."""

from collections.abc import AsyncIterator

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.memory import MemoryBroker
from dss_portal.accounts import store as accounts
from dss_portal.app import create_app
from dss_portal.settings import Settings
from support.portals import Portal, new_ticket, post, text

pytestmark = pytest.mark.stack

HOST = "dss.hospital.example:8080"
EVIL = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://dss.hospital.example:9000"},
    {"Origin": "not an address"},
    {"Referer": "http://evil.example/page?http://dss.hospital.example:8080/"},
    {"Referer": "http://dss.hospital.example:8080.evil.example/"},
    {"Referer": "http://dss.hospital.example:8080@evil.example/"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{HOST}"},
    {"Accept-Language": "en"},  # a browser, and it keeps silent about the page
    {"Accept": "text/html,*/*;q=0.8"},
    {"Upgrade-Insecure-Requests": "1"},
]
OURS = [
    {},
    {"Accept": "*/*"},
    {"Accept": "*/*", "User-Agent": "Mozilla/5.0", "Accept-Encoding": "gzip, deflate"},
    {"Origin": f"http://{HOST}", "Accept-Language": "en"},
    {"Origin": f"HTTP://{HOST}".upper()},
    {"Origin": "http://127.0.0.1:8080", "Accept-Language": "en"},  # the public address
    {"Origin": "", "Referer": f"http://{HOST}/token"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    {"Sec-Fetch-Site": "none"},
]
EVIL_GET = [*EVIL, {"Referer": f"http://{HOST}/tickets"}, {"Sec-Fetch-Site": "same-origin"}]
"""A page of ours has a form for what it changes, so not even it may ask for it with a GET."""


async def _post(client: Client, path: str, headers: dict[str, str], **form: str) -> int:
    answer = await client.post(path, headers={"Host": HOST, **headers}, form=form)
    return answer.status_code


async def _get(client: Client, path: str, headers: dict[str, str]) -> int:
    return (await client.get(path, headers={"Host": HOST, **headers})).status_code


async def test_another_site_signs_nobody_in(portal: Portal) -> None:
    token = await accounts.new_login_token(await accounts.save_user("mallory@example.com"), 60)
    client = await portal.user("ann@example.com")

    for headers in EVIL:
        for path in ("/token", "/api/login"):
            assert await _post(client, path, headers, token=token) == 403, (path, headers)

    assert await text(client, "/api/login") == "logged in as ann@example.com \n"


async def test_another_site_sends_nothing_to_the_api(portal: Portal) -> None:
    client = await portal.user()

    for headers in EVIL:
        for path in ("/api/tickets", "/acceptterms", "/nowhere"):
            assert await _post(client, path, headers, name="lung-segmentation") == 403, headers


async def test_programs_and_our_own_pages_go_on_as_before(portal: Portal) -> None:
    user = await accounts.save_user("ann@example.com")

    for headers in OURS:
        client = portal.app.test_client()
        token = await accounts.new_login_token(user, 60)

        assert await _post(client, "/token", headers, token=token) == 303, headers
        assert await text(client, "/api/login") == "logged in as ann@example.com \n"


async def test_no_browser_changes_anything_by_following_an_address(portal: Portal) -> None:
    await portal.announce_service()
    client = await portal.user("root@example.com", sysadmin=True)
    ticket_id = await new_ticket(client)
    await post(client, "/api/admin/providers", name="lab")
    addresses = [
        f"/api/tickets/{ticket_id}/delete",
        f"/api/tickets/{ticket_id}/retry",
        "/api/admin/providers/lab/delete",
        "/api/admin/providers/dss/users/1/delete",
        "/api/admin/providers/dss/services/abc/delete",
    ]

    for headers in EVIL_GET:
        assert [await _get(client, address, headers) for address in addresses] == [403] * 5, headers
        assert await _get(client, "/logout", headers) in {200, 403}

    assert await text(client, f"/api/tickets/{ticket_id}/status") == "init"


async def test_itksnap_deletes_with_get_as_ever(portal: Portal) -> None:
    await portal.announce_service()
    client = await portal.user()
    ticket_id = await new_ticket(client)

    assert await _get(client, f"/api/tickets/{ticket_id}/delete", {"Accept": "*/*"}) == 200
    assert await _get(client, "/logout", {"Accept": "*/*"}) == 303
    assert await text(client, "/api/login") == "You are not logged in!"


async def test_a_link_on_another_site_leads_to_a_page_and_not_to_the_api(portal: Portal) -> None:
    client = await portal.user()
    follows = {"Referer": "http://evil.example/", "Accept": "text/html,*/*;q=0.8"}
    embeds = {"Referer": "http://evil.example/", "Accept": "image/avif,*/*;q=0.8"}

    assert await _get(client, "/about", follows) == 200
    assert await _get(client, "/about", embeds) == 403
    assert await _get(client, "/api/tickets", follows) == 403


async def test_behind_https_a_page_that_came_in_clear_is_another_site(settings: Settings) -> None:
    public = settings.model_copy(update={"public_url": "https://dss.hospital.example"})
    app = create_app(public, MemoryBroker())
    async with app.test_app():
        client = app.test_client()
        form = {"token": "wrong"}

        statuses = [
            (await client.post("/token", form=form, headers={"Host": host, "Origin": origin}))
            for host, origin in (
                ("dss.hospital.example", "https://dss.hospital.example"),
                ("dss.hospital.example", "http://dss.hospital.example"),
                ("localhost:8080", "http://localhost:8080"),
            )
        ]

        assert [answer.status_code for answer in statuses] == [401, 403, 401]


async def test_asking_for_the_head_changes_nothing_anywhere(portal: Portal) -> None:
    client = await portal.user()

    for path in ("/api/token", "/signin", "/api/oauth2cb", "/logout", "/token"):
        assert (await client.head(path)).status_code == 405, path


async def test_a_new_sign_in_ends_the_session_of_its_own_cookie_and_no_other(
    portal: Portal,
) -> None:
    browser = await portal.user("ann@example.com")
    itksnap = await portal.user("ann@example.com")
    user = await accounts.user_named("ann@example.com")
    old = portal.app.test_client()
    for cookie in browser.cookie_jar or ():
        old.set_cookie("localhost", cookie.name, cookie.value or "")
    assert await text(old, "/api/login") == "logged in as ann@example.com \n"

    token = await accounts.new_login_token(user, 60)
    assert (await post(browser, "/api/login", token=token))[0] == 200

    assert await text(browser, "/api/login") == "logged in as ann@example.com \n"
    assert await text(itksnap, "/api/login") == "logged in as ann@example.com \n"
    assert await text(old, "/api/login") == "You are not logged in!"


@pytest.fixture
async def test_mode(settings: Settings) -> AsyncIterator[Client]:
    broker = MemoryBroker()
    app = create_app(settings.model_copy(update={"test_mode": "loopback"}), broker)
    async with app.test_app():
        yield app.test_client()
    broker.close()


HOSTS = {
    "localhost:8080": 200,
    "127.0.0.1:8080": 200,
    "[::1]:8080": 200,
    "192.168.1.5:8080": 200,
    "evil.example": 403,
    "localhost.evil.example:8080": 403,
    "127.0.0.1.evil.example": 403,
    "": 403,
}


async def test_test_mode_answers_to_no_name_that_others_made(test_mode: Client) -> None:
    """A page of evil.example whose name now points here (DNS rebinding) would read everything."""
    for host, status in HOSTS.items():
        answer = await test_mode.get("/api/login", headers={"Host": host})

        assert answer.status_code == status, host


async def test_in_test_mode_no_page_deletes_although_nobody_signs_in(test_mode: Client) -> None:
    """SameSite does not help here: no cookie is needed."""
    answer = await test_mode.get("/api/tickets/1/delete", headers={"Accept-Language": "en"})

    assert answer.status_code == 403
