"""The entry point: prepares the process, then imports the program, which takes time."""

import os

from dss_process.startup import prepare_process


def main() -> None:
    """Prepare the process and run the command."""
    prepare_process(os.environ)
    from dss_inference.__main__ import main as program  # noqa: PLC0415 - not before the process is prepared

    program()


if __name__ == "__main__":
    main()
