"""``make bundle`` builds one file, and its install.sh sets a site up with the network cut: ``make test-deploy-full``."""

import logging
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import STATE
from deploy.engines import Engine, build_settings
from support.stacks import free_port

pytestmark = pytest.mark.timeout(1800)

log = logging.getLogger(__name__)

SITE = """\
ip link set lo up
test -z "$(ip route)"
sh {bundle}/install.sh {site}
cd {site}
make first-ticket
podman-compose --file infra/compose.yaml --profile try down --volumes
"""
"""Run within a network of its own, which has nothing but its loopback."""


@pytest.fixture(scope="module")
def bundle(images: Engine, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in the file that ``make bundle`` writes."""
    secret = checkout / "infra/secrets/database_url"
    secret.parent.mkdir(exist_ok=True)
    if not secret.exists():
        secret.write_text("a secret of the builder", encoding="utf-8")
    began_s = time.monotonic()
    said = images.run("make bundle", checkout, **build_settings())
    log.info("%.0f s for: make bundle\n%s", time.monotonic() - began_s, said.splitlines()[-1])
    (file,) = (checkout / "dist").glob("dss-*.tar")
    folder = tmp_path_factory.mktemp("bundle")
    images.run(f"sha256sum --check {file.name}.sha256", file.parent)
    images.run(f"tar --extract --file {file}", folder)
    file.unlink()
    (unpacked,) = folder.iterdir()
    return unpacked


@pytest.fixture(scope="module")
def empty_engine() -> Iterator[Engine]:
    """Another machine: podman with nothing in its store."""
    engine = Engine(STATE / "deploy" / "disconnected")
    engine.remove_everything()
    engine.prepare()
    try:
        yield engine
    finally:
        engine.remove_everything()


def test_a_bundle_holds_images_chart_wheels_and_bills_but_no_secret(bundle: Path) -> None:
    names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}

    assert {"images.tar", "install.sh", "SHA256SUMS", "site/infra/compose.yaml"} <= names
    assert [n for n in names if n.startswith("chart/dss-") and n.endswith(".tgz")]
    assert {f"sbom/dss-{p}.cdx.json" for p in ("portal", "dispatch", "inference")} <= names
    wheels = " ".join(n for n in names if n.startswith("wheels/"))
    for needed in ("itksnap_dss", "torch-", "quart-", "simpleitk-", "podman_compose-"):
        assert f"wheels/{needed}" in wheels.lower()
    assert not [n for n in names if "/secrets/" in n or n.endswith("/.env")]


def test_a_damaged_bundle_is_refused_before_anything_is_installed(
    bundle: Path, tmp_path: Path
) -> None:
    chart = next((bundle / "chart").iterdir())
    sound = chart.read_bytes()
    chart.write_bytes(sound[:-1] + b"x")
    try:
        done = subprocess.run(
            ["sh", bundle / "install.sh", tmp_path / "site"],
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    finally:
        chart.write_bytes(sound)

    assert done.returncode == 1
    assert done.stdout.endswith("The bundle is damaged; copy it anew. Nothing was installed.\n")
    assert not (tmp_path / "site").exists()


def test_a_site_is_installed_and_a_ticket_done_with_the_network_cut(
    bundle: Path, empty_engine: Engine, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    (site / "infra").mkdir(parents=True)
    published = [
        f"{name}_PUBLISH=127.0.0.1:{free_port()}\n"
        for name in ("DSS", "PROMETHEUS", "ALERTMANAGER")
    ]
    (site / "infra/.env").write_text("".join(published), encoding="utf-8")
    script = tmp_path / "site.sh"
    script.write_text(SITE.format(bundle=bundle, site=site), encoding="utf-8")

    said = empty_engine.run(f"unshare --net sh -eux {script} 2>&1", tmp_path)

    assert "left lung" in said
    assert "right lung" in said
    kept = (site / "infra/.env").read_text(encoding="utf-8").splitlines()
    assert kept == [line.strip() for line in published] + [
        f"DSS_VERSION={(bundle / 'VERSION').read_text(encoding='utf-8').strip()}"
    ]
