"""Reads secrets from files, as container engines and clusters provide them."""

import sys
from collections.abc import MutableMapping
from pathlib import Path

SECRETS = ("DSS_AMQP_URL", "DSS_DATABASE_URL", "DSS_SECRET_KEY", "DSS_OIDC_CLIENT_SECRET")
"""Settings that may also be given as the path of a file, by the same name with ``_FILE``."""


def read_secret_files(environment: MutableMapping[str, str]) -> None:
    """For each of SECRETS, if ``<NAME>_FILE`` is set, replace it by ``<NAME>`` with the content of that file.

    White space at the ends of the content is removed, and the byte order mark that editors of Windows put before it.
    Exits with a sentence if a file cannot be read or is empty, or if ``<NAME>`` is set as well.
    """
    for name in SECRETS:
        path = environment.pop(f"{name}_FILE", "")
        if path:
            environment[name] = _content(name, path, also_set=bool(environment.get(name)))


def _content(name: str, path: str, *, also_set: bool) -> str:
    if also_set:
        sys.exit(f"{name} and {name}_FILE are both set; set one of them.")
    try:
        found = Path(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        sys.exit(f"{name}_FILE: {path} cannot be read ({why}).")
    if not found:
        sys.exit(f"{name}_FILE: {path} holds nothing.")
    return found
