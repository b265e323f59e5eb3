"""What opens the reference server, or leaves something behind, does nothing to our portal."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from dss_portal.refusals import Refused
from dss_portal.services import git
from dss_portal.settings import Settings
from support import loopback
from support.sites import Site, attach, claim, new_ticket
from support.waiting import wait_until

pytestmark = pytest.mark.stack

MIB = 2**20


async def test_a_repository_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """The reference's weakness 7."""
    settings = Settings.model_validate(
        {
            "database_url": "postgres://dss@127.0.0.1/dss",
            "amqp_url": "amqp://memory",
            "datastore": tmp_path,
            "secret_key": "k" * 32,
            "git_timeout_s": 1,
        }
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}/x.git"
        with pytest.raises(Refused, match="it took too long"):
            await git.read_file(address, "main", "service.json", settings)


def test_a_listing_makes_no_folders(site: Site, ann: httpx.Client, ticket: str) -> None:
    """The reference's weakness 19."""
    before = sorted(site.stack.datastore.rglob("*"))
    with site.program("root@example.com", "--sysadmin") as root:
        for area in ("input", "results"):
            assert root.get(f"/api/tickets/4711/files/{area}").status_code == 400
            assert ann.get(f"{ticket}/files/{area}").text == ""

    assert sorted(site.stack.datastore.rglob("*")) == before


def test_an_upload_does_not_outlive_its_ticket(site: Site, ann: httpx.Client, ticket: str) -> None:
    """The reference's weakness 20."""
    number = int(ticket.rpartition("/")[2])

    def form() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="myfile"; filename="a"\r\n\r\n'
        yield b"x" * 3 * MIB
        assert loopback.get(f"{site.url}{ticket}/delete", cookies=ann.cookies).text == "deleted"
        yield b"x\r\n--b--\r\n"

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = ann.post(f"{ticket}/files/input", content=form(), headers=kind)

    assert answer.status_code == 400
    assert not (site.stack.datastore / "tickets" / f"{number:08d}").exists()


def test_links_do_not_follow_the_host_header(site: Site, ann: httpx.Client) -> None:
    """The reference's weakness 27."""
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    number = new_ticket(ann)
    with site.program("pat@example.com") as pat:
        site.stack.command("providers", "add-user", "hospital", "pat@example.com")
        assert claim(pat, "hospital", "lung-segmentation") == number
        attach(pat, number, "note.txt", b"note", "A note")
        line = pat.post(f"/api/pro/tickets/{number}/info", data={"message": "See it"}).text

    link = ann.get(f"/api/tickets/logs/{line}/attachments", headers=forged).text
    away = loopback.post(f"{site.url}/acceptterms", data={"cb": "on"}, headers=forged)

    assert f",{site.url}/blobs/" in link
    assert "evil" not in away.headers["Location"]


def test_a_quote_in_a_name_stays_in_the_name(ann: httpx.Client, ticket: str) -> None:
    """The reference's weakness 30."""
    name = 'a"; filename="b.exe'
    files = {"myfile": (name, b"x")}
    assert ann.post(f"{ticket}/files/input", files=files).text == "success"

    disposition = ann.get(f"{ticket}/files/input/0").headers["Content-Disposition"]

    assert disposition.count('"') == 2


@pytest.mark.parametrize("name", ["\u0107.nii", "\u0444\u0430\u0439\u043b", "\u6a21\u578b", "é"])
def test_a_file_of_any_letters_comes_back(ann: httpx.Client, ticket: str, name: str) -> None:
    """The reference's weakness, a 500 for names outside latin-1."""
    assert ann.post(f"{ticket}/files/input", files={"myfile": (name, b"x")}).text == "success"

    assert ann.get(f"{ticket}/files/input").text == f"0,{name}\r\n"
    assert ann.get(f"{ticket}/files/input/0").content == b"x"


@pytest.mark.parametrize("hashes", ["' OR '1'='1", "'); DROP TABLE ticket; --", "abc,'"])
def test_a_hash_is_never_part_of_a_statement(ann: httpx.Client, hashes: str) -> None:
    """The reference's weakness 32, the ancestors' fault 13."""
    form = {"services": hashes, "provider": "hospital"}

    answer = ann.post("/api/pro/services/claims", data=form)

    assert answer.status_code == 401
    assert answer.text == f"You are not a provider for service {hashes.split(',', maxsplit=1)[0]} "


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/%2e%2e/app.py",
        "/static/portal.css%00",
        "/blobs/..%2f..%2fetc%2fpasswd",
    ],
)
def test_no_address_leaves_its_folder(site: Site, path: str) -> None:
    """The reference's weakness 33."""
    host, port = urlsplit(site.url).hostname, urlsplit(site.url).port
    with socket.create_connection((host, port)) as raw:  # a client would tidy the address up
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 404")


def test_routes_that_never_worked_are_gone(ann: httpx.Client) -> None:
    """The ancestors' fault 9."""
    assert ann.get("/api/pro/services/lung-segmentation/tickets").status_code == 404
    assert ann.get("/api/pro/services/abc/claims").status_code == 405


def test_a_service_without_an_address_is_shown(ann: httpx.Client) -> None:
    """The ancestors' fault 10."""
    page = ann.get("/services")

    assert page.status_code == 200
    assert "lung-segmentation" in page.text


def test_a_long_name_and_description_are_taken(
    site: Site, ann: httpx.Client, tmp_path: Path
) -> None:
    """The ancestors' fault 12."""
    site.offer(tmp_path, "hospital", name="n" * 100, shortdesc="d" * 100)

    def listed() -> dict[str, Any]:
        return {row["name"]: row for row in ann.get("/api/services?format=json").json()["result"]}

    wait_until(lambda: "n" * 100 in listed(), 10)
    assert listed()["n" * 100]["shortdesc"] == "d" * 78


def test_the_cookie_belongs_to_the_host_that_was_asked(site: Site) -> None:
    """The ancestors' fault 14."""
    token = site.stack.token("carl@example.com")
    answer = loopback.post(f"{site.url}/api/login", data={"token": token})

    cookie = answer.headers["Set-Cookie"].lower()

    assert cookie.startswith("webpy_session_id=")
    assert "domain=" not in cookie


@pytest.mark.parametrize("age", ["nan", "-1", "-inf", "x"])
def test_an_age_that_is_none_purges_nothing(site: Site, ann: httpx.Client, age: str) -> None:
    number = new_ticket(ann)
    with site.program("root@example.com", "--sysadmin") as root:
        answer = root.post("/api/admin/tickets/purge/all", data={"days": age})

    assert answer.status_code == 400
    assert ann.get(f"/api/tickets/{number}/status").text == "ready"
