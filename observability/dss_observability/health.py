"""``python -m dss_observability.health``: checks whether the program of this container is ready, without a shell or
curl.

It requests ``/readyz`` (with ``--alive``: ``/healthz``) at the host:port in its argument, by default at
``DSS_METRICS_BIND``.  Each process of a portal with several (``DSS_PORTAL_PROCESSES``) has a port of its own, one
higher than the last; all are requested.  Exits with 0 if all are ready, otherwise with 1 and the reasons.
"""

import http.client
import os
import sys
from collections.abc import Mapping, Sequence

ANSWER_S = 5.0

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - which nobody can connect to


def problem(bind: str, path: str = "/readyz", processes: int = 1) -> str:
    """Why the program at ``bind`` (host:port) is not ready, or does not answer; "" if it is ready.  If ``bind`` has
    another form, a sentence that says so.

    ``processes`` is the number of its processes, which listen at that port and the ports that follow it.  The result
    has a line for each process that is not ready.
    """
    host, _, port = bind.rpartition(":")
    if not host or not port.isdecimal():
        return f"DSS_METRICS_BIND must be host:port, such as 0.0.0.0:9100, not '{bind}'."
    host = _EVERY_ADDRESS.get(host, host)
    found = [_problem_at(f"{host}:{int(port) + number}", path) for number in range(processes)]
    return "\n".join(filter(None, found))


def _problem_at(address: str, path: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=ANSWER_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"The program does not answer at {address} ({error})."
    finally:
        connection.close()
    return "" if answer.status == http.client.OK else text


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Check the program.  If it is not ready, exit with the problem as message and status 1; otherwise return."""
    path = "/healthz" if "--alive" in arguments else "/readyz"
    addresses = [word for word in arguments if word != "--alive"]
    processes = environment.get("DSS_PORTAL_PROCESSES", "")
    found = problem(
        addresses[0] if addresses else environment.get("DSS_METRICS_BIND", ""),
        path,
        int(processes) if processes.isdecimal() else 1,
    )
    if found:
        sys.exit(found)


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
