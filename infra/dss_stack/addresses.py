"""The addresses of a stack's servers and portal, as environment variables for its programs."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from dss_stack.stored_facts import write_private


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """The addresses of a stack's servers and portal.  ``console_url`` and its login are None if the broker is not the
    stack's own.
    """

    amqp_url: str
    database_url: str
    datastore: Path
    bind: str
    public_url: str
    secret_key: str
    console_url: str | None
    console_user: str | None
    console_password: str | None

    def variables(self) -> dict[str, str]:
        """The variables ``DSS_<NAME>`` for all addresses that are not None."""
        return {f"DSS_{k.upper()}": str(v) for k, v in vars(self).items() if v is not None}

    def write(self, file: Path) -> None:
        """Write the variables to ``file`` as lines that a shell can source."""
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in self.variables().items()]
        write_private(file, "".join(lines))
