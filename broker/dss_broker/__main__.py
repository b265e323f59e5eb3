"""``python -m dss_broker``: prints definitions that create RabbitMQ's users for the programs of a site."""

import json
import secrets
from typing import Annotated
from urllib.parse import quote

import typer

from dss_broker.rights import USERS, definitions

main = typer.Typer(add_completion=False)


@main.command()
def users(
    vhost: Annotated[str, typer.Option(help="Virtual host; created if it is missing.")] = "/",
    host: Annotated[
        str, typer.Option(help="RabbitMQ's host:port for the programs.")
    ] = "127.0.0.1:5672",
) -> None:
    """Print definitions of users with fresh passwords and least rights, for 'rabbitmqctl import_definitions'.

    The addresses for DSS_AMQP_URL, with the passwords, are printed to standard error; they are not stored anywhere.
    """
    passwords = {user: secrets.token_urlsafe(24) for user in USERS}
    typer.echo(json.dumps(definitions(passwords, vhost), indent=1))
    for user, password in passwords.items():
        typer.echo(f"{user}\tamqp://{user}:{password}@{host}/{quote(vhost, safe='')}", err=True)


if __name__ == "__main__":
    main()
