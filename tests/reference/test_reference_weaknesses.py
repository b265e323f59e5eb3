"""What brings the reference server down, or opens it, does nothing to our portal as a process."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from dss_portal.errors import Refused
from dss_portal.services import git
from dss_portal.settings import Settings
from sites import Site, attach, claim, new_ticket

pytestmark = pytest.mark.stack

MIB = 2**20
LARGE_BYTES = 300 * MIB
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def ann(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A user of a portal that offers a service without an address."""
    site.offer(tmp_path_factory.mktemp("offer"), "hospital")
    with site.program("ann@example.com", "--tier", "poweruser") as client:
        yield client


@pytest.fixture
def ticket(ann: httpx.Client) -> str:
    """The address of a new one of hers."""
    return f"/api/tickets/{ann.post('/api/tickets', data={'name': 'lung-segmentation'}).text}"


@dataclass
class Growth:
    """Of the portal's memory, and what it wrote to files."""

    process: psutil.Process
    before_bytes: int = 0
    highest_bytes: int = 0
    written_bytes: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    @property
    def mib(self) -> float:
        return (self.highest_bytes - self.before_bytes) / MIB

    def watch(self) -> None:
        while not self._done.wait(0.02):
            self.highest_bytes = max(self.highest_bytes, self.process.memory_info().rss)

    def end(self) -> None:
        self._done.set()


@contextmanager
def growth_of(site: Site) -> Iterator[Growth]:
    process = psutil.Process(site.stack.running["portal"].pid)
    rss, written = process.memory_info().rss, process.io_counters().write_chars
    growth = Growth(process=process, before_bytes=rss, highest_bytes=rss)
    thread = threading.Thread(target=growth.watch)
    thread.start()
    try:
        yield growth
    finally:
        growth.end()
        thread.join()
        growth.written_bytes = process.io_counters().write_chars - written


@contextmanager
def dripping(site: Site, senders: int) -> Iterator[None]:
    """So many strangers who send a form, a byte each half second."""
    host, port = urlsplit(site.url).hostname, urlsplit(site.url).port
    head = b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
    sockets = [socket.create_connection((host, port)) for _ in range(senders)]
    done = threading.Event()

    def drip() -> None:
        while not done.wait(0.5):
            for one in sockets:
                one.send(b"x")

    for one in sockets:
        one.send(head)
    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for one in sockets:
            one.close()


def test_40_slow_senders_slow_nobody_else(site: Site, ann: httpx.Client) -> None:
    """The reference's weakness 1."""
    with dripping(site, 40):
        took_s = []
        for _ in range(30):
            begun = time.monotonic()
            assert ann.get("/api/tickets").status_code == 200
            took_s.append(time.monotonic() - begun)
            time.sleep(0.05)

    assert max(took_s) < 1.0


def test_a_refusal_leaves_the_connection_usable(site: Site) -> None:
    """The body comes after the headers; the next request uses the same connection."""
    host, port = urlsplit(site.url).hostname, urlsplit(site.url).port
    head = b"POST /api/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n"
    with socket.create_connection((host, port), timeout=10) as raw:
        raw.sendall(head)
        time.sleep(0.2)  # the refusal is due, and must wait for the body
        raw.sendall(b"name=x" + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: raw.recv(65536), b""))

    assert answers.startswith(b"HTTP/1.1 401")
    assert b"HTTP/1.1 200" in answers


def test_a_stranger_s_large_form_is_refused_before_it_is_in_memory(site: Site) -> None:
    """The reference's weaknesses 2 and 3."""
    with growth_of(site) as growth, httpx.Client(base_url=site.url, timeout=30) as stranger:
        body = (b"x" * MIB for _ in range(200))
        try:
            answer = stranger.post("/api/login", content=body, headers=FORM)
            assert answer.status_code == 413
        except httpx.TransportError:
            pass  # the portal did not wait for the rest

    assert growth.mib < 20
    assert growth.written_bytes < MIB


def test_a_stranger_s_file_is_not_kept_anywhere(site: Site) -> None:
    """The reference's weakness 3."""
    with growth_of(site) as growth, httpx.Client(base_url=site.url, timeout=30) as stranger:
        for path in ("/api/login", "/api/pro/services/claims", "/api/tickets/1/files/input"):
            try:
                answer = stranger.post(path, files={"myfile": ("a", b"x" * 20 * MIB)})
                assert answer.status_code in {401, 413}
            except httpx.TransportError:
                pass

    assert growth.mib < 20
    assert growth.written_bytes < MIB


def test_a_large_file_goes_in_and_out_byte_for_byte_without_filling_memory(
    site: Site, ann: httpx.Client, ticket: str, tmp_path: Path
) -> None:
    """The reference's weaknesses 4 and 6, the ancestors' fault 8."""
    large = tmp_path / "large.nii.gz"
    with large.open("wb") as file:
        file.truncate(LARGE_BYTES)
        file.write(bytes(range(256)))

    with growth_of(site) as upload, large.open("rb") as file:
        sent = ann.post(f"{ticket}/files/input", files={"myfile": file}, timeout=120)
    with (
        growth_of(site) as download,
        ann.stream("GET", f"{ticket}/files/input/0", timeout=120) as answer,
    ):
        received_bytes = sum(len(chunk) for chunk in answer.iter_raw(MIB))

    assert sent.text == "success"
    assert received_bytes == LARGE_BYTES
    assert upload.mib < 50
    assert download.mib < 50
    assert upload.written_bytes < 1.2 * LARGE_BYTES, "written twice"
    ann.get(f"{ticket}/delete")


def test_32_writers_at_the_same_time_are_all_served(ann: httpx.Client) -> None:
    """The reference's weakness 8."""
    with ThreadPoolExecutor(32) as pool:
        form = {"name": "lung-segmentation"}
        answers = list(pool.map(lambda _: ann.post("/api/tickets", data=form), range(32)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 32
    for answer in answers:
        ann.get(f"/api/tickets/{answer.text}/delete")


async def test_a_repository_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """The reference's weakness 7."""
    settings = Settings.model_validate(
        {
            "database_url": "-",
            "amqp_url": "-",
            "datastore": tmp_path,
            "secret_key": "-",
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
        assert httpx.get(f"{site.url}{ticket}/delete", cookies=ann.cookies).text == "deleted"
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
        site.stack.run("dss_portal", "providers", "add-user", "hospital", "pat@example.com")
        assert claim(pat, "hospital", "lung-segmentation") == number
        attach(pat, number, "note.txt", b"note", "A note")
        line = pat.post(f"/api/pro/tickets/{number}/info", data={"message": "See it"}).text

    link = ann.get(f"/api/tickets/logs/{line}/attachments", headers=forged).text
    away = httpx.post(f"{site.url}/acceptterms", data={"cb": "on"}, headers=forged)

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

    listed = {row["name"]: row for row in ann.get("/api/services?format=json").json()["result"]}

    assert listed["n" * 100]["shortdesc"] == "d" * 78


def test_the_cookie_belongs_to_the_host_that_was_asked(site: Site) -> None:
    """The ancestors' fault 14."""
    token = site.stack.token("carl@example.com")
    answer = httpx.post(f"{site.url}/api/login", data={"token": token})

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
