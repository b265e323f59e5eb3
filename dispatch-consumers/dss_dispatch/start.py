"""The entry point: prepares the process, then imports the program, which takes time."""

import os

from dss_process.old_settings import SUCCESSORS, Successor
from dss_process.startup import prepare_process

OLD = SUCCESSORS | {
    "SERVER_URL": Successor("DSS_AMQP_URL", "Dispatchers ask RabbitMQ for tickets, not the portal.")
}


def main() -> None:
    """Prepare the process and run the command."""
    prepare_process(os.environ, OLD)
    from dss_dispatch.__main__ import main as program  # noqa: PLC0415 - not before the process is prepared

    program()


if __name__ == "__main__":
    main()
