"""Pages that need no browser to be tested."""

import re

import pytest

from dss_portal.estimates.words import UNKNOWN
from dss_portal.models import Dispatcher, Service
from dss_portal.services.pages import SHOWN_VERSIONS
from dss_process.version import installed_version
from support.portals import Portal, submitted_ticket, text

pytestmark = pytest.mark.stack


async def test_a_service_without_url_and_long_text_is_shown(portal: Portal) -> None:
    """The ancestors' fault 10."""
    await portal.announce_service()
    bare = {"name": "lung-segmentation", "version": "1.0.0", "shortdesc": "Lungs"}
    await Service.all().update(descriptor=bare)

    shown = await text(await portal.user(), "/services")

    assert "lung-segmentation" in shown
    assert "Nobody serves this" not in shown


async def test_the_page_about_the_portal_says_its_version(portal: Portal) -> None:
    shown = await text(portal.app.test_client(), "/about")

    assert f"<p>Version {installed_version('portal')}</p>" in shown


async def test_tags_in_the_texts_of_a_service_are_not_shown(portal: Portal) -> None:
    await portal.announce_service(shortdesc="<b>Lungs</b>", longdesc="<p>Left and right.</p>")

    shown = await text(await portal.user(), "/services")

    assert "<p>Lungs</p>" in shown
    assert "&lt;" not in shown


async def test_a_service_states_result_accuracy_licence_and_citation(portal: Portal) -> None:
    await portal.announce_service(
        longdesc="<p>One.</p><p>Two.</p>",
        result="Two labels.",
        accuracy="Dice 0.97",
        licence="Apache-2.0",
        citation="Doe J. Lungs. 2026",
    )

    shown = await text(await portal.user(), "/services")

    facts = re.findall(r'<dt>(.*?)</dt><dd class="long">(.*?)</dd>', shown)
    assert facts == [
        ("Result", "Two labels."),
        ("Accuracy", "Dice 0.97"),
        ("Licence", "Apache-2.0"),
        ("Citation", "Doe J. Lungs. 2026"),
    ]
    assert "One.\n\nTwo." in shown


async def test_the_versions_of_a_service_are_listed(portal: Portal) -> None:
    await portal.announce_service()
    await portal.announce_service(version="1.1.0")
    await Service.filter(version="1.0.0").update(current=False)

    shown = await text(await portal.user(), "/services")

    _, _, versions = shown.partition("Versions (2)")
    assert re.findall(r"<li>([\d.]+), since", versions) == ["1.1.0", "1.0.0"]
    assert "Versions" not in _without_details(shown)


def _without_details(page: str) -> str:
    return re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)


async def test_of_many_versions_the_newest_are_listed_and_the_others_counted(
    portal: Portal,
) -> None:
    await portal.announce_service()
    first = await Service.get()
    await Service.bulk_create(
        Service(
            name=first.name,
            version=f"0.0.{number}",
            githash=f"{number:040x}",
            shortdesc="Lungs",
            descriptor=first.descriptor,
            current=False,
        )
        for number in range(30)
    )

    shown = await text(await portal.user(), "/services")

    _, _, versions = shown.partition("Versions (31)")
    assert len(re.findall(r"<li>0[.]0[.]\d+", versions)) == SHOWN_VERSIONS
    assert "<li>and 11 older</li>" in versions


async def test_the_first_page_marks_services_that_nobody_serves_and_leads_to_sending(
    portal: Portal,
) -> None:
    await portal.announce_service()
    await portal.announce_service(name="zygoma")
    await Dispatcher.filter(service="lung-segmentation").update(ended=True)

    shown = await text(await portal.user(), "/")

    served, _, offline = shown.partition('<span class="badge failed">offline</span>')
    assert re.findall(r'#service-\d+">([\w-]+)<', served) == ["zygoma", "lung-segmentation"]
    assert '<a class="button" href="/send">Send images' in served
    assert 'id="send"' in offline


async def test_a_service_that_nobody_serves_says_so_once(portal: Portal) -> None:
    await portal.announce_service()
    await Dispatcher.all().update(ended=True)

    shown = await text(await portal.user(), "/services")

    said = re.findall(r"(?:Nobody|No inference worker) serves[^<]*", shown)
    assert len(said) == 1
    assert re.fullmatch(
        r"Nobody serves this at present \(last heard of \d+ s ago\); tickets wait\.", said[0]
    )


@pytest.mark.parametrize(("names", "chosen"), [(("zygoma",), True), (("zygoma", "lungs"), False)])
async def test_a_service_is_chosen_for_the_user_only_if_it_is_the_only_one(
    portal: Portal, names: tuple[str, ...], chosen: bool
) -> None:
    for name in names:
        await portal.announce_service(name=name)
    client = await portal.user()

    buttons = re.findall(r'<input type="radio" name="service"[^>]*>', await text(client, "/send"))
    home = await text(client, "/")

    assert len(buttons) == len(names)
    assert ["checked" in button for button in buttons] == [chosen] * len(names)
    assert ["required" in button for button in buttons] == [not chosen] * len(names)
    assert f"--service {'zygoma' if chosen else 'NAME'}<" in home


async def test_who_has_not_signed_in_sees_no_services(portal: Portal) -> None:
    answer = await portal.app.test_client().get("/services")

    assert (answer.status_code, answer.headers["Location"]) == (303, "http://127.0.0.1:8080/")


@pytest.mark.parametrize(
    "path",
    [
        "/admin/providers/7",
        "/admin/tickets/7/detail",
        "/admin/tickets/7/delete",
        "/admin/users/7/disable",
        "/admin/tokens/7/revoke",
        "/admin/purge?days=x",
        "/admin/providers/99999999999",
        f"/adminservices/1/{'a' * 40}/remove",
        "/tickets/7",
        "/tickets/99999999999",
    ],
)
async def test_what_does_not_exist_is_no_fault_of_the_server(portal: Portal, path: str) -> None:
    client = await portal.user("root@example.com", sysadmin=True)

    assert (await client.get(path)).status_code in {400, 404}


async def test_a_user_does_not_see_the_tickets_of_others(portal: Portal) -> None:
    await portal.announce_service()

    number = await submitted_ticket(await portal.user("ann@example.com"))
    bob = await portal.user("bob@example.com")

    assert (await bob.get(f"/tickets/{number}")).status_code == 404
    assert f"/tickets/{number}" not in await text(bob, "/tickets")


async def test_a_page_that_is_not_there_is_a_page_for_people(portal: Portal) -> None:
    client = await portal.user()

    answer = await client.get("/nowhere", headers={"Accept": "text/html"})

    assert answer.status_code == 404
    assert "There is no such page here." in await answer.get_data(as_text=True)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("path", "accept"), [("/nowhere", "*/*"), ("/api/nowhere", "text/html"), ("/tickets/", "*/*")]
)
async def test_programs_read_the_old_words_for_an_address_that_is_not_there(
    portal: Portal, path: str, accept: str
) -> None:
    answer = await (await portal.user()).get(path, headers={"Accept": accept})

    assert (answer.status_code, await answer.get_data(as_text=True)) == (404, "not found")


async def test_a_person_does_not_read_the_number_of_an_account(portal: Portal) -> None:
    shown = await (await portal.user()).get("/tickets/7")

    assert shown.status_code == 404
    sentence = await shown.get_data(as_text=True)
    assert "Ticket 7 does not exist" in sentence
    assert "for user" not in sentence


PEOPLE = {"Accept": "text/html,application/xhtml+xml"}


async def test_people_get_a_page_where_programs_get_old_words(portal: Portal) -> None:
    ann = await portal.user()
    gone = f"/blobs/{'0' * 32}"
    for path, status, sentence in (
        ("/blobs/xyz", 404, "There is no such page here."),
        (gone, 404, "This file is not here, or no longer"),
        ("/admin", 403, "Only administrators of this site may see this page."),
    ):
        answer = await ann.get(path, headers=PEOPLE)
        shown = await answer.get_data(as_text=True)
        assert (answer.status_code, "<h1>" in shown, sentence in shown) == (status, True, True)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]

    plain = [await ann.get(path) for path in ("/blobs/xyz", gone, "/admin")]
    assert [each.status_code for each in plain] == [404, 400, 401]
    assert "<h1>" not in await plain[1].get_data(as_text=True)


async def test_a_ticket_without_a_known_end_says_so(portal: Portal) -> None:
    await portal.announce_service()
    ann = await portal.user()
    number = await submitted_ticket(ann)

    assert UNKNOWN in await text(ann, f"/tickets/{number}")
