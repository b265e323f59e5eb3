"""``make bundle`` and install.sh, with an engine that only notes what it was asked: which files and settings they write.

``disconnected_site.py`` has the real engine.
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import CHECKOUT

ENGINE = """\
#!/bin/sh
echo "$@" >> {asked}
for word in "$@"; do
  [ "$before" != --output ] || echo images > "$word"
  before=$word
done
"""
PYTHON = """\
#!/bin/sh
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "$@" >> {asked}\\n' > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""
"""A virtual environment whose pip only notes what it was asked."""


def program(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def run(command: Sequence[str | Path], folder: Path, **variables: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout


def build(checkout: Path, version: str, **variables: str) -> Path:
    """The unpacked bundle of ``checkout``, with what the engine was asked in ``asked`` beside it."""
    (checkout / "dist/sbom").mkdir(parents=True, exist_ok=True)
    asked = checkout.parent / "asked"
    engine = program(checkout.parent / "podman", ENGINE.format(asked=asked))
    python = program(checkout.parent / "python", PYTHON.format(asked=asked))
    script = ["sh", "infra/bundle/make.sh", version]
    run(script, checkout, ENGINE=str(engine), PYTHON=str(python), **variables)
    run(["tar", "-xf", checkout / f"dist/dss-{version}.tar"], checkout.parent)
    return checkout.parent / f"dss-{version}"


def install(bundle: Path, site: Path) -> None:
    engine = str(bundle.parent / "podman")
    run(["sh", bundle / "install.sh", site], bundle, ENGINE=engine, COMPOSE=engine)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files of the checkout that a bundle needs, without git."""
    copy = tmp_path / "checkout"
    unwanted = shutil.ignore_patterns("secrets", ".env", "bundles", "__pycache__")
    for name in ("infra", "observability"):
        shutil.copytree(CHECKOUT / name, copy / name, symlinks=True, ignore=unwanted)
    for path in CHECKOUT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, copy / path.name)
    return copy


def test_an_upgrade_keeps_settings_receivers_of_alerts_and_the_mode_of_env(
    copy: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    install(build(copy, "1.0"), site)
    env, receivers = site / "infra/.env", site / "infra/compose/alertmanager.yml"
    env.write_text("DSS_VERSION=1.0\nDSS_OIDC_CLIENT_SECRET=secret", encoding="utf-8")
    env.chmod(0o600)
    receivers.write_text("receivers of the site", encoding="utf-8")

    install(build(copy, "1.1"), site)

    kept = env.read_text(encoding="utf-8").splitlines()
    assert kept == ["DSS_OIDC_CLIENT_SECRET=secret", "DSS_VERSION=1.1"]
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert receivers.read_text(encoding="utf-8") == "receivers of the site"


def test_a_first_site_has_the_settings_of_alertmanager(copy: Path, tmp_path: Path) -> None:
    install(build(copy, "1.0"), tmp_path / "site")

    installed = tmp_path / "site/infra/compose/alertmanager.yml"
    assert installed.read_bytes() == (CHECKOUT / "infra/compose/alertmanager.yml").read_bytes()


def test_a_site_uses_the_images_that_the_bundle_holds(copy: Path, tmp_path: Path) -> None:
    chosen = {"DSS_REGISTRY": "registry.example.org/", "POSTGRES_IMAGE": "own/postgres:17"}
    install(build(copy, "1.0", **chosen), tmp_path / "site")

    lines = (tmp_path / "site/infra/.env").read_text(encoding="utf-8").splitlines()
    assert set(lines) == {"DSS_VERSION=1.0", *(f"{n}={v}" for n, v in chosen.items())}
    asked = (tmp_path / "asked").read_text(encoding="utf-8")
    saved = next(line for line in asked.splitlines() if line.startswith("save"))
    for image in ("rabbitmq:4", "own/postgres:17", "dss-portal:1.0"):
        assert f" registry.example.org/{image}" in saved
    assert "python registry.example.org/dss-portal:1.0 -m dss_broker.site_secrets" in asked


@pytest.mark.parametrize(
    ("setting", "files"),
    [
        ("DSS_DATASTORE_URL=s3://dss/site", "infra/compose.yaml --file infra/compose.s3.yaml"),
        ("DSS_DATASTORE_URL='s3://dss/site'", "infra/compose.yaml --file infra/compose.s3.yaml"),
        ("DSS_DATASTORE_URL=", "infra/compose.yaml"),
        ("#DSS_DATASTORE_URL=s3://dss/site", "infra/compose.yaml"),
    ],
)
def test_an_upgrade_of_a_site_with_a_bucket_keeps_the_bucket(
    copy: Path, tmp_path: Path, setting: str, files: str
) -> None:
    site = tmp_path / "site"
    (site / "infra").mkdir(parents=True)
    (site / "infra/.env").write_text(f"{setting}\n", encoding="utf-8")

    install(build(copy, "1.0"), site)

    asked = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    assert [line for line in asked if line.endswith("up --detach")] == [
        f"--file {files} up --detach"
    ]


def test_images_of_profiles_go_along_by_name(copy: Path, tmp_path: Path) -> None:
    build(copy, "1.0", EXTRA_IMAGES="grafana/grafana:12.1.1 dss-inference-cuda:1.0")

    asked = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    saved = next(line for line in asked if line.startswith("save"))
    assert {"grafana/grafana:12.1.1", "dss-inference-cuda:1.0"} <= set(saved.split())


def test_the_wheels_are_those_of_all_that_a_site_may_use(copy: Path, tmp_path: Path) -> None:
    build(copy, "1.0")

    asked = (tmp_path / "asked").read_text(encoding="utf-8")
    assert ".[portal,dispatch,inference,client,s3]" in asked


def test_only_what_git_knows_goes_into_a_bundle(copy: Path) -> None:
    for command in ("init --quiet", "add --all"):
        run(["git", *command.split()], copy)
    (copy / "infra/own-secrets").mkdir()
    (copy / "infra/own-secrets/database_url").write_text("a secret", encoding="utf-8")

    bundle = build(copy, "1.0")

    assert not list(bundle.rglob("own-secrets"))
    assert (bundle / "site/infra/compose.yaml").exists()
    assert (bundle / "site/Makefile").exists()
