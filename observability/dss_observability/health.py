"""``python -m dss_observability.health``: checks whether the program of this container is ready, without a shell or
curl.

It requests ``/readyz`` at ``DSS_METRICS_BIND``, or at the host:port that is given.  Exits with 0 if the program is
ready, else with 1 and the reason.
"""

import http.client
import os
import sys
from collections.abc import Mapping, Sequence

ANSWER_S = 5.0

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - which nobody can connect to


def problem(bind: str) -> str:
    """What prevents the program at ``bind`` (host:port) from working, or why that is not known; "" if it is ready."""
    host, _, port = bind.rpartition(":")
    if not host or not port.isdecimal():
        return f"DSS_METRICS_BIND must be host:port, such as 0.0.0.0:9100, not '{bind}'."
    address = f"{_EVERY_ADDRESS.get(host, host)}:{port}"
    connection = http.client.HTTPConnection(address, timeout=ANSWER_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"The program does not answer at {address} ({error})."
    finally:
        connection.close()
    return "" if answer.status == http.client.OK else text


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Check the program and exit, with the problem as message."""
    found = problem(arguments[0] if arguments else environment.get("DSS_METRICS_BIND", ""))
    if found:
        sys.exit(found)


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
