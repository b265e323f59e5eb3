"""``python -m dss_broker.site_secrets FOLDER``: creates the secrets of a new site, one file each, for compose.yaml."""

import json
import secrets
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from dss_broker.rights import USERS, definitions

FOLDER_MODE = 0o700
FILE_MODE = 0o444
"""A container engine mounts a file with its mode, so any user must be able to read it; the folder's mode excludes other
users of the host.
"""

ISSUED_ELSEWHERE = ("git_credentials", "s3_credentials", "smtp_password")
"""Secrets that other servers issue.  Their files are created empty, for the operator to fill."""

ADDABLE = ("grafana_password", *ISSUED_ELSEWHERE)
"""Secrets that can be added to an existing site, because nothing else contains them."""

main = typer.Typer(add_completion=False)


@main.command()
def make(
    folder: Annotated[
        Path, typer.Argument(help="Created if it is missing; existing secrets are kept.")
    ],
    rabbitmq: Annotated[
        str, typer.Option(help="Its host:port for the programs.")
    ] = "rabbitmq:5672",
    postgres: Annotated[
        str, typer.Option(help="Its host:port for the programs.")
    ] = "postgres:5432",
) -> None:
    """Write fresh passwords into FOLDER, unless a site's secrets are there already.

    A site of an older release gets the secrets that are new and that no other one depends on.
    """
    fresh = _fresh(rabbitmq, postgres)
    is_new = not (folder.is_dir() and any(folder.iterdir()))
    if not is_new:
        missing = [name for name in fresh if not (folder / name).exists()]
        _require_addable(folder, missing)
        fresh = {name: fresh[name] for name in missing}
        if not fresh:
            typer.echo(f"{folder} holds all secrets already; nothing was changed.")
            return
    try:
        _write(folder, fresh)
    except OSError as error:
        typer.echo(f"{folder} cannot take the secrets ({error.strerror or error}).", err=True)
        raise typer.Exit(1) from error
    if is_new:
        typer.echo(f"{folder} holds the secrets of a new site; keep it, and keep it to yourself.")
    else:
        typer.echo(f"Added to {folder}: {', '.join(fresh)}. The other secrets were not changed.")


def _require_addable(folder: Path, missing: list[str]) -> None:
    """End with status 1 if a missing secret is known to a server or is part of another secret, so that a new one would
    not fit.
    """
    lost = [name for name in missing if name not in ADDABLE]
    if lost:
        typer.echo(
            f"{folder} lacks {', '.join(lost)}. New ones would not fit the other secrets and the servers that know them: "
            "restore these files from a backup. For a new site, name an empty folder. Nothing was changed.",
            err=True,
        )
        raise typer.Exit(1)


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
        (folder / name).chmod(FILE_MODE)


def _fresh(rabbitmq: str, postgres: str) -> dict[str, str]:
    """New secrets: the content of each file by its name."""
    passwords = {user: secrets.token_urlsafe(24) for user in USERS}
    database = secrets.token_urlsafe(24)
    addresses = {
        f"{user.removeprefix('dss-')}_amqp_url": f"amqp://{user}:{password}@{rabbitmq}/{quote('/', safe='')}"
        for user, password in passwords.items()
    }
    return addresses | {
        "rabbitmq_definitions.json": json.dumps(definitions(passwords), indent=1),
        "postgres_password": database,
        "database_url": f"postgres://dss:{database}@{postgres}/dss",
        "secret_key": secrets.token_urlsafe(48),
        "grafana_password": secrets.token_urlsafe(24),
        **dict.fromkeys(ISSUED_ELSEWHERE, ""),
    }


if __name__ == "__main__":
    main()
