"""The secrets of a new site, as compose.yaml mounts them."""

import json
import re
import stat
from pathlib import Path

from typer.testing import CliRunner

from conftest import CHECKOUT
from dss_broker.site_secrets import main


def test_each_file_that_the_composed_site_mounts_is_made_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"

    done = CliRunner().invoke(main, [str(folder)])

    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    mounted = re.findall(
        r"file: .*/([\w.]+)\"", (CHECKOUT / "infra/compose.yaml").read_text(encoding="utf-8")
    )
    assert mounted
    assert set(mounted) <= {path.name for path in folder.iterdir()}
    known = json.loads((folder / "rabbitmq_definitions.json").read_text(encoding="utf-8"))["users"]
    password = {user["name"]: user["password"] for user in known}["dss-portal"]
    assert (folder / "portal_amqp_url").read_text(encoding="utf-8") == (
        f"amqp://dss-portal:{password}@rabbitmq:5672/%2F"
    )


def test_secrets_that_are_there_stay(tmp_path: Path) -> None:
    CliRunner().invoke(main, [str(tmp_path)])
    before = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}

    done = CliRunner().invoke(main, [str(tmp_path)])

    assert "nothing was changed" in done.output
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == before


def test_a_site_of_an_older_release_gets_the_new_secret_alone(tmp_path: Path) -> None:
    CliRunner().invoke(main, [str(tmp_path)])
    (tmp_path / "grafana_password").unlink()
    before = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}

    done = CliRunner().invoke(main, [str(tmp_path)])

    assert done.output == (
        f"Added to {tmp_path}: grafana_password. The other secrets were not changed.\n"
    )
    after = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert len(after.pop("grafana_password")) == 32
    assert after == before


def test_a_lost_secret_that_a_server_knows_is_not_replaced(tmp_path: Path) -> None:
    CliRunner().invoke(main, [str(tmp_path)])
    for name in ("database_url", "grafana_password"):
        (tmp_path / name).unlink()
    before = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}

    done = CliRunner().invoke(main, [str(tmp_path)])

    assert done.exit_code == 1
    assert f"{tmp_path} lacks database_url. " in done.output
    assert "restore these files from a backup" in done.output
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    done = CliRunner().invoke(main, [str(tmp_path / "file/secrets")])

    assert done.exit_code == 1
    assert "cannot take the secrets" in done.output
