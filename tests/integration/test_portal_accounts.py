"""Tokens for programs, limits, test mode, quotas."""

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import ValidationError
from quart.typing import TestClientProtocol as Client

from dss_broker.memory import MemoryBroker
from dss_portal.accounts import api_tokens
from dss_portal.accounts import store as accounts
from dss_portal.accounts.limits import RateLimits
from dss_portal.admin import store as admin_store
from dss_portal.app import create_app
from dss_portal.changes import watcher
from dss_portal.legacy_settings import renamed
from dss_portal.models import Session, Tier
from dss_portal.refusals import Refused
from dss_portal.settings import Settings
from dss_portal.web import context
from support.portals import Portal, new_ticket, post, send_file, text

pytestmark = pytest.mark.stack


async def _bearer(portal: Portal, *scopes: str, life: timedelta | None = None) -> dict[str, str]:
    user = await accounts.save_user("program@example.com", sysadmin=True)
    return {"Authorization": f"Bearer {await api_tokens.create(user, 'test', scopes, life)}"}


async def _get(portal: Portal, path: str, headers: dict[str, str]) -> tuple[int, str]:
    answer = await portal.app.test_client().get(path, headers=headers)
    return answer.status_code, await answer.get_data(as_text=True)


async def test_a_program_signs_in_with_a_bearer_token(portal: Portal) -> None:
    headers = await _bearer(portal, "tickets")

    assert await _get(portal, "/api/login", headers) == (200, "logged in as program@example.com \n")


async def test_a_token_opens_only_what_it_is_for(portal: Portal) -> None:
    headers = await _bearer(portal, "provider")

    assert (await _get(portal, "/api/pro/services", headers))[0] == 200
    assert await _get(portal, "/api/tickets", headers) == (
        401,
        "This token is not valid for 'tickets'.",
    )
    assert (await _get(portal, "/api/admin/tickets", headers))[0] == 401


async def test_dead_letters_are_for_tokens_of_admins(portal: Portal) -> None:
    """They say which ticket failed why, and can be removed for good."""
    tickets, admin = await _bearer(portal, "tickets"), await _bearer(portal, "admin")

    assert await _get(portal, "/api/admin/dead-letters", tickets) == (
        401,
        "This token is not valid for 'admin'.",
    )
    assert await _get(portal, "/api/admin/dead-letters", admin) == (200, "")
    discard = "/api/admin/dead-letters/discard"
    client = portal.app.test_client()
    form = {"all": "1", "confirm": "1"}
    assert (await client.post(discard, form=form, headers=tickets)).status_code == 401
    assert (await client.post(discard, form=form, headers=admin)).status_code == 200


async def test_an_address_is_the_same_in_every_spelling_of_case(portal: Portal) -> None:
    made = await accounts.save_user("Ann@Example.com", sysadmin=True)
    await admin_store.add_provider("lab")

    again = await accounts.save_user(" ann@example.COM ")
    await admin_store.add_provider_user("lab", "ANN@example.com", admin=False)

    assert (again.id, again.sysadmin) == (made.id, True)
    assert (await accounts.user_named("aNN@example.com")).id == made.id
    assert await admin_store.provider_users("lab") == [(made.id, "ann@example.com", 0)]
    await accounts.disable_user("ANN@EXAMPLE.COM")
    assert (await accounts.user_named("ann@example.com")).disabled


async def test_a_site_can_ask_everybody_for_the_terms_whoever_made_the_token(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "PERIOD_S", 0.9 * watcher.CURRENT_S)  # caches learn late
    app = create_app(settings.model_copy(update={"require_terms": True}), MemoryBroker())
    async with app.test_app():
        portal = Portal(app=app, broker=MemoryBroker(), settings=settings)
        made_by_an_admin = await portal.user("program@example.com")
        program = await _bearer(portal, "tickets")
        asked = (
            401,
            "Please accept the terms of use first: sign in at http://127.0.0.1:8080/token in a browser.",
        )
        assert await portal.components.feed.wait_until_current(10)  # the next look is in 0.9 s
        assert await post(made_by_an_admin, "/api/tickets", name="x") == asked
        assert await _get(portal, "/api/services", program) == asked
        assert (await text(made_by_an_admin, "/api/login")).startswith("logged in as ")

        await post(made_by_an_admin, "/acceptterms", cb="on")

        later = await portal.user("program@example.com")
        for client in (made_by_an_admin, later):
            assert await post(client, "/api/tickets", name="x") == (
                400,
                "Unable to find service named x",
            )
        assert (await _get(portal, "/api/services", program))[0] == 200


async def test_a_first_sign_in_on_the_page_leads_to_the_terms(portal: Portal) -> None:
    user = await accounts.save_user("new@example.com")
    client, led_to = portal.app.test_client(), []

    for _ in range(2):
        token = await accounts.new_login_token(user, 60)
        answer = await client.post("/token", form={"token": token})
        led_to.append(answer.headers["Location"])
        await post(client, "/acceptterms", cb="on")

    assert led_to == ["http://127.0.0.1:8080/token", "http://127.0.0.1:8080/"]


async def test_a_browser_gets_no_page_before_the_terms_whoever_made_the_token(
    portal: Portal,
) -> None:
    root = await accounts.save_user("root@example.com", sysadmin=True)
    browser, pages = portal.app.test_client(), ("/tickets", "/services", "/admin", "/adminservices")
    token = await accounts.new_login_token(root, 60)
    await browser.post("/token", form={"token": token})

    before = [(await browser.get(page)).headers.get("Location") for page in pages]
    await post(browser, "/acceptterms", cb="on")
    after = [(await browser.get(page)).status_code for page in pages]

    assert before == ["http://127.0.0.1:8080/token"] * len(pages)
    assert after == [200] * len(pages)


async def test_a_revoked_an_expired_and_an_invented_token_open_nothing(portal: Portal) -> None:
    revoked = await _bearer(portal, "tickets")
    await api_tokens.revoke((await api_tokens.listed())[0].id)
    expired = await _bearer(portal, "tickets", life=timedelta(seconds=-1))

    for headers in (revoked, expired, {"Authorization": "Bearer dss_x"}):
        assert await _get(portal, "/api/login", headers) == (401, "You are not logged in!")


async def test_a_disabled_user_is_out_at_the_next_request(portal: Portal) -> None:
    client = await portal.user("ann@example.com")

    await accounts.disable_user("ann@example.com")

    assert await text(client, "/api/login") == "You are not logged in!"


async def test_rights_are_looked_up_at_each_request(portal: Portal) -> None:
    """The reference's weakness 26."""
    client = await portal.user("root@example.com", sysadmin=True)
    assert await text(client, "/api/admin/tickets") == ""

    await accounts.save_user("root@example.com", sysadmin=False)

    assert await text(client, "/api/admin/tickets") == "Insufficient privileges"


async def test_the_session_changes_at_sign_in(portal: Portal) -> None:
    """The reference's weakness 22."""
    client = await portal.user("ann@example.com")
    before = {session.sha256 for session in await Session.all()}
    token = await accounts.new_login_token(await accounts.user_named("ann@example.com"), 60)

    await post(client, "/api/login", token=token)

    assert len({session.sha256 for session in await Session.all()} - before) == 1


async def test_strangers_leave_no_rows(portal: Portal) -> None:
    """The reference's weakness 5."""
    for _ in range(20):
        await portal.app.test_client().get("/")

    assert await Session.all().count() == 0


async def test_typing_a_token_is_no_attack_but_guessing_is(portal: Portal) -> None:
    context.install(portal.app, replace(portal.components, limits=RateLimits(portal.settings)))
    limit = portal.settings.failed_logins_per_minute
    client = portal.app.test_client()

    answers = [await post(client, "/api/login", token=f"t{i}") for i in range(limit + 1)]

    assert [status for status, _ in answers] == [401] * limit + [429]
    assert answers[-1][1].startswith("Too many failed logins from this address. Try again in")


async def test_a_user_who_asks_too_often_is_told_to_wait(portal: Portal) -> None:
    portal.components.limits.requests._limit = 3
    client = await portal.user()

    answers = [(await client.get("/api/tickets")).status_code for _ in range(4)]

    assert answers == [200, 200, 200, 429]


async def test_a_full_tier_takes_no_more_files(portal: Portal) -> None:
    await portal.announce_service()
    await Tier.filter(name="guest").update(max_stored_bytes=2000)
    client = await portal.user()
    files = f"/api/tickets/{await new_ticket(client)}/files/input"
    assert await send_file(client, files, "a.nii", b"x" * 1000) == (200, "success")

    status, sentence = await send_file(client, files, "b.nii", b"x" * 1001)

    assert status == 413
    assert sentence.startswith("Your tickets may hold")


@pytest.fixture
def test_mode(settings: Settings) -> Settings:
    return settings.model_copy(update={"test_mode": "loopback"})


async def test_in_test_mode_everybody_is_the_test_user(test_mode: Settings) -> None:
    broker = MemoryBroker()
    app = create_app(test_mode, broker)
    async with app.test_app():
        client: Client = app.test_client()

        assert await text(client, "/api/login") == "logged in as test@example.com \n"
        assert await text(client, "/api/admin/tickets") == ""
        assert len(await text(client, "/api/token")) == 48
    broker.close()


def test_test_mode_is_refused_where_others_can_reach_it(settings: Settings) -> None:
    """The reference's weakness 31."""
    values = settings.model_dump() | {"bind": "0.0.0.0:8080", "test_mode": "loopback"}

    with pytest.raises(ValidationError, match=r"listens on loopback only, not on 0\.0\.0\.0"):
        Settings(**values)

    with pytest.raises(ValidationError, match=r"listens on loopback only, not on 10\.0\.0\.7"):
        Settings(**values | {"published": "10.0.0.7:8080"})

    assert Settings(**values | {"test_mode": "everywhere"}).test_mode == "everywhere"
    assert Settings(**values | {"published": "127.0.0.1:8080"}).test_mode == "loopback"


def test_the_names_of_the_old_system_are_understood() -> None:
    """Requirements S63 to S65, and the ancestors' fault 15: the database may have any name."""
    old = {
        "POSTGRES_PORT_5432_TCP_ADDR": "itk-snap-db",
        "POSTGRES_PORT_5432_TCP_PORT": "5433",
        "ITK_SNAP_SERVER_DATABASE_NAME": "admin_db",
        "ITK_SNAP_SERVER_DATABASE_USERNAME": "admin_user",
        "ITK_SNAP_SERVER_DATABASE_PASSWORD": "a/b",
        "ITK_SNAP_SERVER_NOAUTH": "1",
    }

    assert renamed(old) == {
        "DSS_DATABASE_URL": "postgres://admin_user:a%2Fb@itk-snap-db:5433/admin_db",
        "DSS_TEST_MODE": "loopback",
    }


@pytest.mark.parametrize(
    "email", ["bad mail", "jane", "@example.com", "jane@", "a@b@c", "jane@x, joe@y", "j\x00@x", ""]
)
async def test_a_user_without_an_address_is_not_made(portal: Portal, email: str) -> None:
    with pytest.raises(Refused, match=r"is no e-mail address; one like jane@example.com is needed"):
        await accounts.save_user(email)


async def test_an_address_may_have_any_script(portal: Portal) -> None:
    user = await accounts.save_user("j\u00fcrgen+dss@klinik-m\u00fcnchen.example")

    assert user.email == "j\u00fcrgen+dss@klinik-m\u00fcnchen.example"
