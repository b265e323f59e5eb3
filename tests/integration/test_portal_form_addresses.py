"""A browser that asks for an address of a form, as after a reload, is led to the page that has the form."""

import re

import pytest
from quart.typing import TestClientProtocol as Client
from werkzeug.routing import Rule

from dss_portal.models import Provider, User
from support.portals import Portal, submitted_ticket, text

pytestmark = pytest.mark.stack

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
LATER = re.compile(
    r"/(undelete|series|close|open|enable|out)$|/account/|/acceptterms|/device/answer"
)
"""Addresses of forms that a page shows only in a certain state."""


@pytest.fixture
async def root(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user("root@example.com", sysadmin=True)


async def values(root: Client) -> dict[str, str]:
    """For the placeholders of addresses, what exists."""
    user = await User.get(email="root@example.com")
    provider = await Provider.get(name="dss")
    return {
        "ticket_id": str(await submitted_ticket(root)),
        "users/number": str(user.id),
        "providers/number": str(provider.id),
        "kind": "mail",
        "number": "1",
    }


def filled(rule: Rule, found: dict[str, str]) -> str:
    """The rule's path with ``found``; a number means what the word before it says."""
    text = re.sub(r"<(?:[^:>]*:)?(\w+)>", r"{\1}", rule.rule)
    text = re.sub(
        r"(users|providers)/\{number\}", lambda m: f"{m[1]}/{found[m[1] + '/number']}", text
    )
    return re.sub(r"\{(\w+)\}", lambda m: found[m[1]], text)


def form_rules(portal: Portal) -> list[Rule]:
    """The rules of pages' addresses that take only POST."""
    rules = [rule for rule in portal.app.url_map.iter_rules() if rule.endpoint.startswith("pages.")]
    shown = {rule.rule for rule in rules if "GET" in (rule.methods or ())}
    return [rule for rule in rules if rule.rule not in shown]


async def test_every_address_of_a_form_leads_to_the_page_with_it(
    portal: Portal, root: Client
) -> None:
    rules, found = form_rules(portal), await values(root)
    assert len(rules) >= 20

    for rule in rules:
        path = filled(rule, found)
        answer = await root.get(path, headers=BROWSER)
        assert answer.status_code == 303, path
        there = answer.headers["Location"].removeprefix(portal.settings.public_url.rstrip("/"))
        page = await root.get(there, headers=BROWSER)
        assert page.status_code == 200, (path, there)
        if not LATER.search(path):
            assert f'action="{path}"' in await page.get_data(as_text=True), (path, there)


async def test_programs_read_the_words_of_the_reference_server(
    portal: Portal, root: Client
) -> None:
    for path in ("/admin/providers", "/api/tickets/1/title"):
        answer = await root.get(path)
        assert (answer.status_code, await answer.get_data()) == (405, b"method not allowed")
    api = await root.get("/api/tickets/1/title", headers=BROWSER)
    assert (api.status_code, await api.get_data()) == (405, b"method not allowed")


async def test_a_form_for_an_address_that_takes_none_gets_a_page(portal: Portal) -> None:
    client = await portal.user()

    answer = await client.post("/services", headers={**BROWSER, "Sec-Fetch-Site": "same-origin"})

    assert answer.status_code == 405, await answer.get_data()
    assert answer.headers["Allow"] == "GET"
    assert "This address does not take what the browser has sent." in await answer.get_data(
        as_text=True
    )


async def test_a_stranger_is_asked_to_sign_in(portal: Portal) -> None:
    client = portal.app.test_client()

    answer = await client.get("/admin/providers", headers=BROWSER)

    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        f"{portal.settings.public_url.rstrip('/')}/admin",
    )
    assert "method not allowed" not in await text(client, "/admin")
