"""Bad input to containers: a sentence that names the setting, and no traceback.  Part of ``make test-deploy``."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.engines import Engine
from support.bundle_folders import write_bundle
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)  # builds the images where it runs alone

UID = "1000660000"
NAME = "dss-refusing"
RESTRICTED = ["--user", f"{UID}:0", "--read-only", "--cap-drop", "ALL", "--network", "none"]
AMQP = "DSS_AMQP_URL=amqp://user:wordpass@rabbit:5672/dss"
PORTAL = [AMQP, "DSS_DATABASE_URL=postgres://user:wordpass@db/dss", f"DSS_SECRET_KEY={'k' * 40}"]


def options(*settings: str) -> list[str]:
    return [*RESTRICTED, *(word for setting in settings for word in ("--env", setting))]


@pytest.mark.parametrize(
    ("image", "settings", "command", "sentence"),
    [
        ("portal", [], [], "DSS_DATABASE_URL: this setting is needed and is not set"),
        ("dispatch", [], [], "DSS_AMQP_URL: this setting is needed and is not set"),
        ("inference", [], [], "DSS_AMQP_URL: this setting is needed and is not set"),
        ("portal", [*PORTAL, "DSS_LEASE_S=soon"], [], "DSS_LEASE_S: "),
        ("dispatch", ["DSS_AMQP_URL=http://rabbit"], [], "DSS_AMQP_URL: "),
        ("inference", [AMQP, "DSS_DEVICE=gpu"], [], "DSS_DEVICE: "),
        (
            "dispatch",
            ["DSS_AMQP_URL_FILE=/run/secrets/none"],
            [],
            "DSS_AMQP_URL_FILE: /run/secrets/none cannot be read",
        ),
        (
            "portal",
            ["DSS_DATABASE_URL=postgres://user:wordpass@db/dss", "DSS_DATABASE_WAIT_S=1"],
            ["migrate"],
            "No PostgreSQL answers at DSS_DATABASE_URL",
        ),
        (
            "portal",
            [*PORTAL, "DSS_TEST_MODE=loopback"],
            [],
            "test mode makes everybody an admin, so it listens on loopback only, not on 0.0.0.0",
        ),
        (
            "portal",
            [*PORTAL, "ITK_SNAP_SERVER_NOAUTH=1", "DSS_PUBLISHED=0.0.0.0:8080"],
            [],
            "test mode makes everybody an admin, so it listens on loopback only, not on 0.0.0.0",
        ),
        (
            "portal",
            [*PORTAL, "DSS_SMTP_HOST=mail", "DSS_SMTP_FROM=dss@site.example", "DSS_SMTP_USER=dss"],
            [],
            "DSS_SMTP_USER and DSS_SMTP_PASSWORD_FILE must be set together",
        ),
        (
            "portal",
            [*PORTAL[:2], "DSS_SECRET_KEY=x"],
            [],
            "DSS_SECRET_KEY: it has 1 character, and",
        ),
        (
            "dispatch",
            [AMQP, "LUNG_SEGMENTATION_SERVICE_URL=https://worker", "HTTPS_PROXY=socks5://p:1080"],
            [],
            "HTTPS_PROXY does not name a proxy that can be used: its kind is socks5",
        ),
        ("dispatch", [AMQP], ["serve", "nothing"], "'nothing' is neither a folder nor"),
        ("client", ["DSS_SERVER=nowhere"], ["services"], "nowhere"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_container_ends_with_a_sentence(
    images: Engine, image: str, settings: list[str], command: list[str], sentence: str
) -> None:
    done = images.podman("run", "--rm", *options(*settings), f"dss-{image}", *command, check=False)

    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert sentence in said
    assert "Traceback" not in said
    assert "wordpass@" not in said


@contextmanager
def running(images: Engine, image: str, *words: str) -> Iterator[None]:
    images.podman("run", "--detach", "--name", NAME, *words, f"dss-{image}")
    try:
        yield
    finally:
        images.podman("rm", "--force", "--time", "0", "--volumes", NAME, check=False)


def readiness(images: Engine) -> "subprocess.CompletedProcess[str]":
    return images.podman("exec", NAME, "python", "-m", "dss_observability.health", check=False)


@pytest.mark.parametrize(
    ("image", "mount"), [("dispatch", "/datastore"), ("inference", "/datastore")]
)
def test_a_volume_that_cannot_be_written_is_told_by_readyz(
    images: Engine, image: str, mount: str, tmp_path: Path
) -> None:
    (tmp_path / "tickets").mkdir()
    tmp_path.chmod(0o755)
    words = [*options(AMQP), "--tmpfs", "/tmp", "--volume", f"{tmp_path}:{mount}"]
    with running(images, image, *words):
        wait_until(lambda: "datastore" in readiness(images).stderr, 60)

        said = readiness(images).stderr
        assert "The datastore is not there or cannot be written." in said
        logged = images.podman("logs", NAME)
        assert not re.search("Traceback", logged.stdout + logged.stderr)


def test_a_portal_waits_for_its_servers_and_says_for_which(images: Engine) -> None:
    with running(images, "portal", *options(*PORTAL), "--tmpfs", "/tmp"):
        wait_until(lambda: "The database does not answer." in readiness(images).stderr, 60)

        logged = images.podman("logs", NAME)
        assert "Traceback" not in logged.stdout + logged.stderr


def test_a_portal_that_is_published_on_loopback_has_test_mode(images: Engine) -> None:
    """By its old name; it begins, and waits for its servers."""
    settings = [*PORTAL, "ITK_SNAP_SERVER_NOAUTH=1", "DSS_PUBLISHED=127.0.0.1:8080"]
    with running(images, "portal", *options(*settings), "--tmpfs", "/tmp"):
        wait_until(lambda: "The database does not answer." in readiness(images).stderr, 60)


def test_a_user_without_a_name_loads_a_bundle(images: Engine, tmp_path: Path) -> None:
    """MONAI asks for the user's name at its import, and an arbitrary user id has none."""
    write_bundle(tmp_path / "ball")
    tmp_path.chmod(0o755)
    words = [*RESTRICTED, "--tmpfs", "/tmp", "--volume", f"{tmp_path}:/bundles:ro"]

    done = images.podman("run", "--rm", *words, "dss-inference", "bundle", "check", "/bundles/ball")

    assert "Traceback" not in done.stderr


def test_a_container_that_is_stopped_at_once_ends(images: Engine) -> None:
    """SIGTERM in the first second, which the kernel ignores for a process 1 without a handler."""
    with running(images, "dispatch", *options(AMQP), "--tmpfs", "/tmp"):
        images.podman("stop", "--time", "20", NAME)

        state = images.podman("inspect", NAME, "--format", "{{.State.ExitCode}}").stdout
        assert state.strip() in {"0", "143"}
