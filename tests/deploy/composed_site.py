"""infra/compose.yaml, set up by the commands that infra/README.md prints: ``make test-deploy``.

More than 300 lines: one site is asked and hurt by all of them.
"""

import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import httpx
import pytest

from deploy.composed import BESIDE, Site, beside, crash, healthy, last_word, results, token
from deploy.engines import BASE, Engine, build_settings
from deploy.git_server import SERVICE, GitServer
from deploy.printed import commands_below
from dss_client.itksnap import ItkSnap
from support.stacks import free_port
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)  # the first one builds all images

log = logging.getLogger(__name__)

LUNGS = "lung-segmentation"
UID = "1000660000"
LARGEST_MB = {"portal": 250, "dispatch": 450}
"""Beyond the base."""
SEND = f"client send /sample/ct.nii.gz --service {LUNGS} --jar /tmp/jar"
FOUND = """
import importlib.util, shutil, sys
print([m for m in sys.argv[1:] if importlib.util.find_spec(m)], [t for t in ("pip", "gcc", "cc") if shutil.which(t)])
"""
"""Prints which of the modules, and of some tools, are there."""
PROGRAMS = ("inference", "dispatch-lungs", "portal", "dispatch-nodules")
SERVERS = ("rabbitmq", "postgres", "prometheus")


def write_settings(file: Path) -> dict[str, str]:
    """Shortly before they are used: a port that is free now may be taken after the minutes of a build."""
    published = f"127.0.0.1:{free_port()}"
    settings = {
        "DSS_UID": UID,
        "DSS_AUTHORITIES": "./git/authority.pem",
        "DSS_PUBLISH": published,
        "DSS_PUBLIC_URL": f"http://{published}",  # where pages lead after a form
        "PROMETHEUS_PUBLISH": f"127.0.0.1:{free_port()}",
        "ALERTMANAGER_PUBLISH": f"127.0.0.1:{free_port()}",
    }
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    file.write_text("".join(lines), encoding="utf-8")
    return settings


@pytest.fixture(scope="module")
def site(engine: Engine, stand_ins: Future[None], checkout: Path) -> Iterator[Site]:
    """A ticket has been through it."""
    git = GitServer(engine, checkout / "infra/git")
    commands = commands_below("In containers")
    settings: dict[str, str] = {}
    said = ""
    for command in commands:
        began_s = time.monotonic()
        said = engine.run(command, checkout, **build_settings())
        if command == "make images":
            stand_ins.result()
            settings = write_settings(checkout / "infra/.env")
        log.info("%.0f s for: %s", time.monotonic() - began_s, command)
    git.start("dss_default")
    yield Site(engine, checkout, settings, git, said)
    git.stop()
    last = "podman-compose --file infra/compose.yaml logs 2>&1 | tail -n 100"
    log.info("the site's last words\n%s", engine.run(last, checkout))
    engine.run("podman-compose --file infra/compose.yaml --profile try down --volumes", checkout)


def test_the_sample_is_segmented_by_the_commands_as_printed(site: Site) -> None:
    assert "left lung" in site.said
    assert "right lung" in site.said


def test_the_api_is_described_with_the_version_that_the_program_says(site: Site) -> None:
    described = httpx.get(f"{site.portal}/api/openapi.json").raise_for_status().json()

    assert described["info"]["version"] == last_word(site, "dss-portal", "--version")


def test_images_are_small(site: Site) -> None:
    base = site.engine.size_bytes(BASE)
    sizes_mb = {
        name: round((site.engine.size_bytes(f"dss-{name}") - base) / 1e6)
        for name in ("portal", "dispatch", "inference", "client")
    }

    log.info("MB beyond the %.0f of the base: %s", base / 1e6, sizes_mb)
    assert all(sizes_mb[name] < limit for name, limit in LARGEST_MB.items())


def test_each_image_has_a_bill_of_materials_beside_it(site: Site) -> None:
    validate = (
        "from cyclonedx.validation.json import JsonStrictValidator as V; import sys;"
        "from cyclonedx.schema import SchemaVersion as S;"
        "print(V(S.V1_6).validate_str(sys.stdin.read()))"
    )
    for image in LARGEST_MB:
        bill = f"dist/sbom/dss-{image}.cdx.json"
        python = site.engine.folder / "compose/bin/python"
        assert site.run(f"{python} -c '{validate}' < {bill}").strip() == "None"
        listed = json.loads((site.checkout / bill).read_text(encoding="utf-8"))["components"]
        names = {component["name"] for component in listed}
        assert {"python3-minimal", "tini", "pika", f"itksnap-dss-{image}"} <= names
        assert ("quart" in names) is (image == "portal")


@pytest.mark.parametrize("service", PROGRAMS)
def test_a_program_runs_as_an_arbitrary_user_without_rights_on_a_root_that_it_cannot_write(
    site: Site, service: str
) -> None:
    status = site.exec(service, "cat", "/proc/1/status").stdout
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    assert facts["Uid"].split()[0] == UID
    assert facts["Gid"].split()[0] == "0"
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"].strip() == "1"
    assert site.exec(service, "touch", "/opt/dss/x").returncode != 0
    assert site.exec(service, "python", "-m", "dss_observability.health").returncode == 0


@pytest.mark.parametrize(
    ("service", "modules"),
    [
        ("portal", "torch SimpleITK numpy dss_dispatch dss_inference dss_images"),
        ("dispatch-lungs", "torch quart tortoise dss_portal dss_inference"),
        ("inference", "quart tortoise asyncpg dss_portal dss_dispatch"),
    ],
)
def test_an_image_holds_no_tools_and_no_other_program(
    site: Site, service: str, modules: str
) -> None:
    found = site.exec(service, "python", "-c", FOUND, "pip", *modules.split())

    assert found.stdout == "[] []\n", found.stderr


@pytest.mark.parametrize("service", PROGRAMS)
def test_an_image_has_the_licences_of_its_packages(site: Site, service: str) -> None:
    packages = ("libc6", "python3-minimal", "tini")
    there = " && ".join(f"test -s /usr/share/doc/{package}/copyright" for package in packages)

    assert site.exec(service, "sh", "-c", there).returncode == 0


def test_prometheus_sees_every_program_and_has_our_rules(site: Site) -> None:
    api = f"http://{site.settings['PROMETHEUS_PUBLISH']}/api/v1"

    def down() -> list[str]:
        answer = httpx.get(f"{api}/query", params={"query": "up"}).json()["data"]["result"]
        up = [row["metric"]["instance"] for row in answer if row["value"][1] == "1"]
        wanted = {*(f"{name}:9100" for name in PROGRAMS), "rabbitmq:15692"}
        return sorted(wanted - set(up))

    wait_until(lambda: not down(), 60, lambda: str(down()))
    assert httpx.get(f"{api}/rules").json()["data"]["groups"]


def test_an_alert_reaches_alertmanager(site: Site) -> None:
    """The alert of a program that is stopped."""
    alerts = f"http://{site.settings['ALERTMANAGER_PUBLISH']}/api/v2/alerts"

    def told() -> set[str]:
        labels = [alert["labels"] for alert in httpx.get(alerts).json()]
        return {label["instance"] for label in labels if label["alertname"] == "ProgramGone"}

    site.compose("stop dispatch-nodules")
    try:
        wait_until(lambda: "dispatch-nodules:9100" in told(), 60, lambda: str(told()))
    finally:
        site.compose("start dispatch-nodules")


def test_a_ticket_is_done_although_every_container_is_killed_meanwhile(site: Site) -> None:
    """The client follows no portal that has died, as ITK-SNAP does not: the ticket is looked at later."""
    run = f"--profile try run --rm -e DSS_TOKEN={token(site)} {SEND} --output /sample/again"
    with subprocess.Popen(
        ["bash", "-c", f"podman-compose --file infra/compose.yaml {run}"],
        cwd=site.checkout,
        env=site.engine.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as sending:
        assert sending.stdout is not None
        said = ""
        while "is submitted" not in said and (line := sending.stdout.readline()):
            said += line
        for service in (*PROGRAMS, *SERVERS):
            crash(site, service)
        said += sending.stdout.read()
    submitted = re.search(r"Ticket (\d+) is submitted", said)
    assert submitted is not None, said

    wait_until(lambda: healthy(site, "portal"), 90)
    with ItkSnap(site.portal) as ann:
        ann.login(token(site))
        wait_until(lambda: ann.detail(int(submitted[1])).finished, 240)
        assert ann.detail(int(submitted[1])).status == "success"
    for service in PROGRAMS:
        wait_until(partial(healthy, site, service), 60)


def test_a_dispatcher_of_another_user_shares_the_files_which_others_cannot_read(
    site: Site,
) -> None:
    """Programs may run as several users, whose group is 0."""
    site.compose("stop dispatch-lungs")
    settings = ["DSS_AMQP_URL_FILE=/s/dispatch_amqp_url"]
    words = ["--volume", "dss_datastore:/datastore"]
    try:
        with beside(site, str(int(UID) + 1), settings, *words, "dss-dispatch") as ready:
            wait_until(lambda: ready().returncode == 0, 90, lambda: ready().stderr)

            said = site.compose(f"run --rm -e DSS_TOKEN={token(site)} {SEND} --output /sample/b")
    finally:
        site.compose("start dispatch-lungs")

    assert "Result workspace: " in said
    readable = site.exec("portal", "find", "/app/datastore", "-mindepth", "1", "-perm", "/007")
    assert (readable.returncode, readable.stdout) == (0, "")


def test_a_portal_without_todays_tables_says_so(site: Site) -> None:
    """``serve`` without ``migrate`` before it, on a database of its own."""
    password = "PGPASSWORD=$(cat /run/secrets/postgres_password)"
    made = site.exec("postgres", "sh", "-c", f"{password} createdb -h 127.0.0.1 -U dss empty")
    assert made.returncode == 0, made.stderr
    url = (site.checkout / "infra/secrets/database_url").read_text(encoding="utf-8").strip()
    settings = [
        f"DSS_DATABASE_URL={url.removesuffix('/dss')}/empty",
        "DSS_AMQP_URL_FILE=/s/portal_amqp_url",
        "DSS_SECRET_KEY_FILE=/s/secret_key",
    ]
    with beside(site, UID, settings, "dss-portal") as ready:
        wait_until(lambda: "dss-portal migrate" in ready().stderr, 60, lambda: ready().stderr)

        logged = site.engine.podman("logs", BESIDE)
        assert "Traceback" not in logged.stdout + logged.stderr


def test_a_service_from_a_git_repository_behind_https_is_offered_and_serves_a_ticket(
    site: Site, tmp_path: Path
) -> None:
    """A sysadmin adds provider and repository in the pages, with a blank reference; the provider serves it."""
    with httpx.Client(base_url=site.portal, follow_redirects=True) as root:
        root.post("/api/login", data={"token": token(site, "--sysadmin")}).raise_for_status()
        submit(root, "/admin", "/admin/providers", name="LAB")
        form = {"provider": "LAB", "repo": site.git.address, "ref": ""}
        submit(root, "/adminservices", "/adminservices/git", **form)
        assert SERVICE in root.get("/services").text
        lab = re.search(r'href="(/admin/providers/\d+)">LAB<', root.get("/admin").text)
        assert lab is not None
        submit(root, lab[1], f"{lab[1]}/users", email="ann@example.org")

    ours = Path(sys.executable).parent
    words = [str(ours / "dss"), "service", "publish", str(site.git.service), "--provider", "LAB"]
    made = ("dss-portal", "tokens", "create", "ann@example.org", "--scope", "provider")
    lasting = last_word(site, *made)
    user = {**os.environ, "DSS_SERVER": site.portal, "DSS_TOKEN": lasting}
    with subprocess.Popen(words, env=user, stderr=subprocess.PIPE, encoding="utf-8") as serving:
        assert serving.stderr is not None
        try:
            first = serving.stderr.readline()
            assert "gives tickets" in first, first
            said = site.engine.run(
                f"{ours}/dss-phantom sample;"
                f" {ours}/dss send sample/ct.nii.gz --service {SERVICE} --output results",
                tmp_path,
                DSS_SERVER=site.portal,
                DSS_TOKEN=token(site),
            )
        finally:
            serving.kill()
    assert "Result workspace: " in said


def submit(browser: httpx.Client, page: str, address: str, **fields: str) -> None:
    """Send a form of ``page`` as a browser does."""
    found = re.search(r'name="form_token" value="([^"]+)"', browser.get(page).text)
    assert found is not None, page
    answer = browser.post(address, data={"form_token": found[1], **fields})
    assert answer.status_code == 200, answer.text


def test_the_log_of_every_container_has_a_limit(site: Site) -> None:
    names = site.engine.podman("ps", "--format", "{{.Names}}").stdout.split()
    composed = [name for name in names if name.startswith("dss_")]

    assert len(composed) >= len(PROGRAMS + SERVERS)
    for name in composed:
        (facts,) = json.loads(site.engine.podman("inspect", name).stdout)
        assert facts["HostConfig"]["LogConfig"]["Size"] == "50MB", name


def test_a_backup_made_at_work_restores_every_ticket_in_volumes_made_anew(
    site: Site, tmp_path: Path
) -> None:
    """By the commands as printed."""
    (backup,), restore = (commands_below("Backup and restore", block=n) for n in (0, 1))
    folder = str(tmp_path / "dss")
    before = results(site)
    site.git.stop()  # it is in the network of the site, which is made anew

    site.run(backup.replace("/backup/dss", folder))
    refused = site.run(f"! {restore[1].replace('/backup/dss', folder)}")
    for command in restore:
        site.run(command.replace("/backup/dss", folder))
    for service in PROGRAMS:
        wait_until(partial(healthy, site, service), 120)

    assert "The database of this site is not empty" in refused
    assert len(before) > 1
    assert results(site) == before
    site.compose("run --rm phantom")  # the volume of the sample went with the others
    said = site.compose(f"run --rm -e DSS_TOKEN={token(site)} {SEND} --output /sample/restored")
    assert "Result workspace: " in said


def test_a_program_stops_at_once_when_it_is_asked_to(site: Site) -> None:
    for service in PROGRAMS:
        began_s = time.monotonic()
        site.engine.podman("stop", "--time", "40", f"dss_{service}_1")
        took_s = time.monotonic() - began_s

        (facts,) = json.loads(site.engine.podman("inspect", f"dss_{service}_1").stdout)
        assert facts["State"]["ExitCode"] == 0, service
        assert took_s < 20, (service, took_s)


def test_a_site_comes_back_when_the_machine_starts_again(site: Site) -> None:
    """By the commands of podman-restart.service."""
    always = "--filter restart-policy=always"
    site.run(f"podman stop --time 30 $(podman container ls {always} -q)")

    site.run(f"podman start --all {always}")

    for service in PROGRAMS:
        wait_until(partial(healthy, site, service), 120)
