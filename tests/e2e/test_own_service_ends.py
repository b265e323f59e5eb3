# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A published service survives crashes, kills and deleted tickets."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dss_broker.liveness import PUBLISHER_ALIVE_S
from dss_client.itksnap import ItkSnap
from dss_client.sending import selected_service
from support import own_services
from support.own_services import PUBLISH, ended, log, published, service, submit
from support.sites import ROOT, Site
from support.waiting import wait_until

pytestmark = pytest.mark.stack

site = own_services.site
token = own_services.token
user = own_services.user


def test_a_crash_fails_one_ticket_with_a_sentence_and_the_next_is_served(
    site: Site, token: str, user: ItkSnap, tmp_path: Path
) -> None:
    code = (
        "from pathlib import Path\n"
        "def segment(image):\n"
        f"    once = Path({str(tmp_path / 'once')!r})\n"
        "    if not once.exists():\n"
        "        once.touch()\n"
        "        raise ValueError('no such thing')\n"
        "    return Segmentation(image.array > 500)\n"
    )
    with published(site, token, service(tmp_path, "crashes", code), "--tickets", "2"):
        first, second = (submit(user, "crashes", tmp_path) for _ in range(2))
        assert {ended(user, first), ended(user, second)} == {"failed", "success"}

    failed = next(n for n in (first, second) if user.detail(n).status == "failed")
    assert "failed with ValueError: no such thing (algorithm.py, line 8)" in log(user, failed)


def test_a_publisher_that_is_killed_goes_on_with_its_ticket(
    site: Site, token: str, user: ItkSnap, tmp_path: Path
) -> None:
    code = (
        "from pathlib import Path\n"
        "def segment(image):\n"
        f"    begun = Path({str(tmp_path / 'begun')!r})\n"
        "    if not begun.exists():\n"
        "        begun.touch()\n"
        "        time.sleep(60)\n"
        "    return Segmentation(image.array > 500)\n"
    )
    folder = service(tmp_path, "killed", code)
    with published(site, token, folder) as publisher:
        number = submit(user, "killed", tmp_path)
        wait_until((tmp_path / "begun").exists, 60)
        publisher.send_signal(signal.SIGKILL)
        publisher.wait(10)

    with published(site, token, folder, "--tickets", "1"):
        assert ended(user, number) == "success", log(user, number)


def test_two_publishers_of_a_folder_do_each_ticket_once_and_a_third_goes_on_for_a_killed_one(
    site: Site, token: str, user: ItkSnap, tmp_path: Path
) -> None:
    code = (
        "from pathlib import Path\n"
        "def segment(image):\n"
        f"    here = Path({str(tmp_path)!r})\n"
        "    begun = here / f'begun-{os.getpid()}'\n"
        "    begun.touch()\n"
        "    while not (here / 'go').exists():\n"
        "        time.sleep(0.05)\n"
        "    begun.rename(here / f'ended-{os.getpid()}')\n"
        "    return Segmentation(image.array > 500)\n"
    )
    folder = service(tmp_path, "shared", code)
    with published(site, token, folder) as first, published(site, token, folder):
        numbers = [submit(user, "shared", tmp_path) for _ in range(4)]
        wait_until(lambda: len(list(tmp_path.glob("begun-*"))) == 2, 60)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        with published(site, token, folder) as third:
            assert third.stderr is not None
            assert any("goes on after a restart" in line for line in third.stderr)
            (tmp_path / "go").touch()
            assert [ended(user, number) for number in numbers] == ["success"] * 4

    assert len(list(tmp_path.glob("ended-*"))) == 4
    assert len(list(tmp_path.glob("begun-*"))) == 1, "the run of the killed one"


@pytest.fixture
def terminal() -> Iterator[None]:
    """Programs that start meanwhile are ended by SIGHUP, although the tests may run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGHUP, signal.SIGHUP)])
def test_the_end_of_a_publisher_is_known_at_once_while_it_finishes_its_ticket(
    site: Site,
    token: str,
    user: ItkSnap,
    tmp_path: Path,
    signals: tuple[signal.Signals, ...],
) -> None:
    """A closed terminal sends SIGHUP twice, once by the shell and once by the kernel."""
    code = (
        "from pathlib import Path\n"
        "def segment(image):\n"
        f"    Path({str(tmp_path / 'begun')!r}).touch()\n"
        f"    while not Path({str(tmp_path / 'go')!r}).exists():\n"
        "        time.sleep(0.05)\n"
        "    return Segmentation(image.array > 500)\n"
    )
    with published(site, token, service(tmp_path, "stops", code)) as publisher:
        first = submit(user, "stops", tmp_path)
        wait_until((tmp_path / "begun").exists, 60)
        second = submit(user, "stops", tmp_path)

        for number in signals:
            publisher.send_signal(number)

        wait_until(lambda: "Nobody serves this" in log(user, second), PUBLISHER_ALIVE_S)
        assert user.detail(first).status == "claimed"
        (tmp_path / "go").touch()
        assert ended(user, first) == "success"
        assert publisher.wait(30) == 0
    user.delete(second)


def test_a_second_publisher_is_told_of_the_first(
    site: Site, token: str, user: ItkSnap, tmp_path: Path
) -> None:
    folder = service(tmp_path, "twice", "def segment(image):\n    return image.array > 0\n")

    def is_served() -> bool:
        found = user.service_estimates()
        return "Nobody" not in found.get(selected_service(user, "twice").githash, "Nobody")

    with published(site, token, folder):
        wait_until(is_served, 60)
        with published(site, token, folder) as second:
            assert second.stderr is not None
            assert any("1 other program serves this service" in line for line in second.stderr)


def test_other_texts_of_a_version_that_is_listed_are_warned_of(site: Site, tmp_path: Path) -> None:
    """The portal keeps the texts that it has; the provider took the new ones for published."""
    scopes = ("--scope", "provider", "--scope", "admin")
    both = site.stack.command("tokens", "create", ROOT, *scopes).split()[-1]
    folder = service(tmp_path, "reworded", "def segment(image):\n    return image.array > 0\n")
    with published(site, both, folder):
        pass
    token = site.stack.command("tokens", "create", ROOT, *scopes[:2]).split()[-1]
    told = folder / "service.json"
    told.write_text(told.read_text().replace('"shortdesc": "', '"shortdesc": "New: '))

    with published(site, token, folder) as second:
        assert second.stderr is not None
        line = second.stderr.readline()

    assert "the portal lists reworded 1.0.0 with another shortdesc than service.json has" in line


def test_a_deleted_ticket_ends_its_work(
    site: Site, token: str, user: ItkSnap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"def segment(image):\n    open({str(tmp_path / 'begun')!r}, 'w')\n    time.sleep(60)\n"
    monkeypatch.setenv("DSS_BEAT_S", "0.5")
    with published(site, token, service(tmp_path, "deleted", code), "--tickets", "1") as publisher:
        number = submit(user, "deleted", tmp_path)
        wait_until((tmp_path / "begun").exists, 60)
        user.delete(number)
        assert publisher.wait(30) == 0
        assert publisher.stderr is not None
        assert f"Ticket {number}: withdrawn." in publisher.stderr.read()


def test_a_name_of_another_provider_is_refused_with_its_own_remedy(
    site: Site, tmp_path: Path
) -> None:
    site.stack.command("providers", "add", "OTHER")
    site.stack.command("providers", "add-user", "OTHER", ROOT)
    scopes = ("--scope", "provider", "--scope", "admin")
    both = site.stack.command("tokens", "create", ROOT, *scopes).split()[-1]
    with published(site, both, service(tmp_path, "taken")):
        pass
    other = service(tmp_path / "other", "taken")
    change = other / "service.json"
    change.write_text(change.read_text().replace('"1.0.0"', '"1.0.1"'))

    command = [*PUBLISH, str(other), "--server", site.url, "--token", both, "--provider", "OTHER"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)

    assert done.returncode == 2
    assert "'taken' belongs to provider LAB; choose another name, or remove" in done.stderr
    assert "Ask a site admin" not in done.stderr
    assert done.stderr.endswith("service first.\n")


def test_a_service_that_is_not_listed_says_what_to_ask_for(site: Site, tmp_path: Path) -> None:
    site.stack.token("pat@example.com")
    site.stack.command("providers", "add-user", "LAB", "pat@example.com")
    token = site.stack.command(
        "tokens", "create", "pat@example.com", "--scope", "provider"
    ).split()[-1]
    folder = service(tmp_path, "unlisted")
    command = [*PUBLISH, str(folder), "--server", site.url, "--token", token]

    alone = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    named = subprocess.run(
        [*command, "--provider", "LAB"], capture_output=True, encoding="utf-8", check=False
    )

    assert (alone.returncode, named.returncode) == (2, 2)
    assert "Name your provider with --provider" in alone.stderr
    assert "Ask a site admin for: dss-portal services add LAB service.json" in named.stderr
    assert ".)." not in named.stderr
    assert json.loads((folder / "service.json").read_text(encoding="utf-8"))["name"] == "unlisted"
