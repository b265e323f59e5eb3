"""The program ``dss``, which sends images to a Distributed Segmentation Service from the command line.  Here are its
commands with their help; the module of a command is imported when the command is called.
"""

import click

from dss_client.command_group import CommandGroup
from dss_process.version import installed_version

_COMMANDS = "dss_client.commands"
_PLACES = {
    "login": ("account:login", "Sign in, by a browser or a token; other commands then need none."),
    "logout": ("account:logout", "Forget the session and the token of a server."),
    "services": ("services:services", "List what the server offers."),
    "send": ("send:send_images", "Send images, and fetch the results when they are done."),
    "images": ("services:list_images", "List the series of a DICOM folder; nothing is sent."),
    "tickets": ("tickets:tickets", "List your tickets."),
    "show": ("tickets:show", "Show one ticket: state, times, files, log."),
    "watch": ("following:watch", "Follow a ticket until it has ended."),
    "log": ("following:log", "Show a ticket's log and state."),
    "download": ("following:download", "Download a ticket's results."),
    "retry": ("tickets:retry", "Submit a failed ticket once more."),
    "delete": ("tickets:delete", "Delete a ticket with its files."),
    "open": ("tickets:open_ticket", "Open a ticket in ITK-SNAP, or its page in the browser."),
    "doctor": ("services:doctor", "Say why a connection fails, step by step."),
    "service": ("services:own_service", "Offer an algorithm of your own as a service."),
    "completion": ("services:completion", "Print the script that completes commands in a shell."),
}


@click.command(
    "dss",
    cls=CommandGroup,
    places={name: (f"{_COMMANDS}.{place}", text) for name, (place, text) in _PLACES.items()},
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Exit status: 0 done, 1 a ticket failed, 2 it could not be done at all, 70 a fault of dss itself, 130 ended by Ctrl-C.",
)
@click.version_option(installed_version("client"), prog_name="dss", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Send images to a segmentation service and fetch the results, as ITK-SNAP does."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


if __name__ == "__main__":
    main()
