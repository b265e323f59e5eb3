"""``dss-portal`` with everything imported, which forks for each command that is asked for on its input.

A command in a process of its own spends a second and more on imports; this one spends it once.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence

from dss_portal.__main__ import main
from dss_process.startup import prepare_process


def serve() -> None:
    """Read requests, one JSON object a line; answer each with the exit status of its command."""
    for line in sys.stdin:
        request = json.loads(line)
        if (child := os.fork()) == 0:
            _become(request["arguments"], request["environment"], request["output"])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


def _become(arguments: Sequence[str], environment: Mapping[str, str], output: str) -> None:
    """Run the command as a program of its own would; never returns."""
    status = 1
    try:
        _redirect(output)
        os.environ.clear()
        os.environ.update(environment)
        prepare_process(os.environ)
        main(args=arguments, prog_name="dss-portal")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _redirect(output: str) -> None:
    """Standard output to ``output``.out, standard error to ``output``.err, and nothing to read."""
    for path, number in ((os.devnull, 0), (f"{output}.out", 1), (f"{output}.err", 2)):
        opened = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)


if __name__ == "__main__":
    serve()
