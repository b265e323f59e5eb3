"""What itksnap-wt's ``-dssa`` commands use."""

import io
import json
import subprocess
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.models import Provider, Ticket
from dss_portal.services import registration
from support.portals import DESCRIPTOR, Portal, post, submitted_ticket, text

pytestmark = pytest.mark.stack


@pytest.fixture
async def root(portal: Portal) -> Client:
    return await portal.user("root@example.com", sysadmin=True)


def _repository(folder: Path, descriptor: object) -> str:
    """A local Git repository with that service.json; its address."""
    folder.mkdir()
    (folder / "service.json").write_text(json.dumps(descriptor), encoding="utf-8")
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", ".")
    _git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "x")
    return f"file://{folder}"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, encoding="utf-8"
    )
    return done.stdout.strip()


@pytest.fixture
def local_git(portal: Portal) -> None:
    portal.settings.__dict__["git_schemes"] = "file"


async def test_only_a_sysadmin_may_manage(portal: Portal) -> None:
    client = await portal.user()

    assert await text(client, "/api/admin/providers") == "Insufficient privileges"
    assert (await portal.app.test_client().get("/api/admin/tickets")).status_code == 401


async def test_a_provider_comes_and_goes(root: Client) -> None:
    assert await post(root, "/api/admin/providers", name="lab-1") == (200, "success")
    assert await text(root, "/api/admin/providers") == "lab-1\r\n"
    assert await text(root, "/api/admin/providers/lab-1/delete") == "None"
    assert await text(root, "/api/admin/providers") == "lab-1\r\n"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 79])
async def test_a_provider_that_no_address_could_hold_is_refused(root: Client, name: str) -> None:
    status, sentence = await post(root, "/api/admin/providers", name=name)

    assert status == 400
    assert sentence.startswith("A provider's name consists of")


async def test_a_user_joins_and_leaves_a_provider(portal: Portal, root: Client) -> None:
    await portal.user("pro@example.com")
    await post(root, "/api/admin/providers", name="lab")

    users = "/api/admin/providers/lab/users"
    assert await post(root, users, email="pro@example.com", admin="1") == (
        200,
        "Added user pro@example.com to provider lab",
    )
    number = (await text(root, users)).split(",")[0]
    assert await text(root, users) == f"{number},pro@example.com,1\r\n"
    assert await text(root, f"{users}/{number}/delete") == "None"
    assert await text(root, users) == ""
    assert await post(root, users, email="who@example.com") == (
        401,
        "Email unrecognized by the system",
    )
    assert (await post(root, users, email="pro@example.com", admin="yes"))[0] == 400


@pytest.mark.usefixtures("local_git")
async def test_a_service_is_registered_from_git_and_removed(root: Client, tmp_path: Path) -> None:
    address = _repository(tmp_path / "repo", DESCRIPTOR)
    commit = _git(tmp_path / "repo", "rev-parse", "HEAD")
    await post(root, "/api/admin/providers", name="lab")
    services = "/api/admin/providers/lab/services"

    assert await post(root, services, repo=address, ref="") == (200, commit)

    assert await text(root, "/api/services") == f"lung-segmentation,{commit},1.0.0,Lungs\r\n"
    assert await text(root, services) == f"lung-segmentation,1.0.0,{commit},Lungs\r\n"
    assert await text(root, f"{services}/{commit}/delete") == "success"
    assert await text(root, "/api/services") == ""
    assert await post(root, services, repo=address, ref="main") == (200, commit)
    assert (await text(root, "/api/services")).startswith("lung-segmentation,")


@pytest.mark.usefixtures("local_git")
@pytest.mark.parametrize(
    ("descriptor", "sentence"),
    [
        ([], "Error parsing service.json file: it is not a JSON object, which begins with {."),
        ({"name": "x"}, "version: is needed"),
        ({**DESCRIPTOR, "tags": [{"name": "A", "type": "Image"}]}, "tags[0].type"),
    ],
)
async def test_a_wrong_descriptor_is_refused_by_the_name_of_its_field(
    root: Client, tmp_path: Path, descriptor: object, sentence: str
) -> None:
    await post(root, "/api/admin/providers", name="lab")

    status, said = await post(
        root,
        "/api/admin/providers/lab/services",
        repo=_repository(tmp_path / "repo", descriptor),
        ref="",
    )

    assert status == 400
    assert sentence in said


@pytest.mark.usefixtures("local_git")
async def test_a_symbolic_link_in_a_repository_reads_nothing(root: Client, tmp_path: Path) -> None:
    """The reference's weakness 28."""
    address = _repository(tmp_path / "repo", DESCRIPTOR)
    file = tmp_path / "repo" / "service.json"
    file.unlink()
    file.symlink_to("/etc/passwd")
    _git(tmp_path / "repo", "add", ".")
    _git(tmp_path / "repo", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "link")
    await post(root, "/api/admin/providers", name="lab")

    status, said = await post(root, "/api/admin/providers/lab/services", repo=address, ref="")

    assert status == 400
    assert "no such file" in said


@pytest.mark.parametrize(
    "address", ["/etc", "file:///etc", "ext::sh -c id", "--upload-pack=id", "http://127.0.0.1/x"]
)
async def test_an_address_that_is_not_allowed_is_not_fetched(root: Client, address: str) -> None:
    """The reference's weakness 28."""
    await post(root, "/api/admin/providers", name="lab")

    status, said = await post(root, "/api/admin/providers/lab/services", repo=address, ref="")

    assert (status, said) == (
        400,
        "Error fetching Git repository: an address must begin with https:// or ssh://.",
    )


@pytest.mark.usefixtures("local_git")
async def test_an_unknown_reference_is_refused(root: Client, tmp_path: Path) -> None:
    address = _repository(tmp_path / "repo", DESCRIPTOR)
    await post(root, "/api/admin/providers", name="lab")

    answer = await post(root, "/api/admin/providers/lab/services", repo=address, ref="nothing")

    assert answer == (400, "Error fetching Git repository")


async def test_a_service_is_registered_from_an_archive(portal: Portal, root: Client) -> None:
    provider = await Provider.create(name="lab")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("service-1.0/service.json", json.dumps(DESCRIPTOR))

    githash = await registration.from_upload(provider, "service.zip", packed.getvalue())

    assert await text(root, "/api/services") == f"lung-segmentation,{githash},1.0.0,Lungs\r\n"


async def test_another_service_of_the_same_name_and_version_is_refused(portal: Portal) -> None:
    provider = await Provider.create(name="lab")
    await registration.from_upload(provider, "service.json", json.dumps(DESCRIPTOR).encode())
    other = {**DESCRIPTOR, "shortdesc": "Other lungs"}

    with pytest.raises(Exception, match="A service with same name and version already exists"):
        await registration.from_upload(provider, "service.json", json.dumps(other).encode())


async def test_all_tickets_are_listed_with_their_users(portal: Portal, root: Client) -> None:
    await portal.announce_service()
    ticket_id = await submitted_ticket(await portal.user())

    assert await text(root, "/api/admin/tickets") == (
        f"{ticket_id},ann@example.com,lung-segmentation,ready,0.0\r\n"
    )


async def test_a_purge_takes_what_is_old_enough(portal: Portal, root: Client) -> None:
    await portal.announce_service()
    ann = await portal.user()
    old, young = await submitted_ticket(ann), await submitted_ticket(ann)
    await Ticket.filter(id=old).update(created_at=datetime(2020, 1, 1, tzinfo=UTC))

    purge = "/api/admin/tickets/purge"
    assert await post(root, f"{purge}/completed", days="1") == (200, "Purged 0 tickets")
    assert await post(root, f"{purge}/all", days="1") == (200, "Purged 1 tickets")
    assert (await text(ann, "/api/tickets")).startswith(f"{young},")
    assert await post(root, f"{purge}/all", days="x") == (
        400,
        "'days' must be a number, not 'x'.",
    )
    assert (await root.get(f"{purge}/all")).status_code == 405
    assert (await post(root, f"{purge}/some"))[0] == 404


async def test_an_admin_of_a_provider_manages_it_and_no_other(portal: Portal, root: Client) -> None:
    boss, worker = await portal.user("boss@example.com"), await portal.user("worker@example.com")
    for name in ("lab", "other"):
        await post(root, "/api/admin/providers", name=name)
    await post(root, "/api/admin/providers/lab/users", email="boss@example.com", admin="1")

    users = "/api/admin/providers/lab/users"
    assert (await post(boss, users, email="worker@example.com"))[0] == 200
    assert "worker@example.com,0" in await text(boss, users)
    assert await text(boss, "/api/admin/providers/lab/services") == ""
    refused = "Insufficient privileges"
    assert await text(boss, "/api/admin/providers/other/users") == refused
    assert await text(boss, "/api/admin/providers") == refused
    assert await text(worker, users) == refused
    await post(root, users, email="boss@example.com", admin="0")
    assert await text(boss, users) == refused


async def test_the_schema_of_descriptors_is_published(portal: Portal) -> None:
    schema = json.loads(await text(portal.app.test_client(), "/service.schema.json"))

    assert schema["$defs"]["Descriptor"]["required"] == ["name", "version", "shortdesc"]
    assert "MainImage" in schema["$defs"]["TagType"]["enum"]
    assert schema["$defs"]["Tag"]["properties"]["name"]["pattern"] == "^[^ ,]+$"
    assert "python" in schema["$defs"]["ProviderKind"]["enum"]


async def test_a_service_may_be_registered_by_its_text(root: Client) -> None:
    """As ``dss service publish`` does."""
    await root.post("/api/admin/providers", form={"name": "LAB"})
    described = {"name": "own", "version": "1.0.0", "shortdesc": "Mine", "tags": []}

    added = await root.post(
        "/api/admin/providers/LAB/services", form={"descriptor": json.dumps(described)}
    )
    wrong = await root.post("/api/admin/providers/LAB/services", form={"descriptor": "{"})

    assert added.status_code == 200
    assert "own" in (await (await root.get("/api/services")).get_data(as_text=True))
    assert wrong.status_code == 400
    assert "it is not valid JSON: it ends too early" in await wrong.get_data(as_text=True)
