"""Sends a sample CT through the local stack, as ITK-SNAP would, and makes tokens for the user."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from dss_stack.errors import StackError
from dss_stack.stack import Stack
from dss_stack.stack_programs import SERVICE

USER = "demo@localhost"

_SEED = "7"


@dataclass(frozen=True, kw_only=True)
class SampleResult:
    """The result of the sample ticket.  ``volumes_ml`` and ``truth_ml`` are by label name; ``truth_ml``, the true
    volumes of the phantom, is empty for the user's own image.
    """

    ticket: int
    workspace: Path
    volumes_ml: dict[str, float]
    truth_ml: dict[str, float]


def login_token(stack: Stack) -> str:
    """A new one-time token with which USER, an administrator, who is made if missing, can sign in at the portal.

    Raises StackError.
    """
    words = ("users", "add", USER, "--sysadmin")
    printed = stack.run("dss_portal", *words, purpose="Making a sign-in token")
    return printed.split()[-1]


def provider_token(
    stack: Stack, provider: str, say: Callable[[str], None], known_token: str = ""
) -> str:
    """A token for programs that may send tickets, publish services as ``provider`` and list them.  Makes the user and
    the provider if they are missing, and adds the user to the provider.  Raises StackError.

    It is ``known_token`` or, if that is "", a new token.  ``say`` is called with the name of each step before the step.
    """
    scopes = [word for scope in ("tickets", "provider", "admin") for word in ("--scope", scope)]
    steps = (
        (f"making the user {USER}", ("users", "add", USER, "--sysadmin")),
        (f"making the provider {provider}", ("providers", "add", provider)),
        (f"adding {USER} to it", ("providers", "add-user", provider, USER)),
        ("making a token", ("tokens", "create", USER, *scopes, "--name", "make provider")),
    )
    for step, words in steps[: 3 if known_token else 4]:
        say(step)
        printed = stack.run("dss_portal", *words, purpose=f"Making the provider {provider}")
    return known_token or printed.split()[-1]


def provider_variables(stack: Stack, provider: str, say: Callable[[str], None]) -> Path:
    """Write a file that a shell can source and that sets what ``dss`` needs to publish as ``provider``; return its
    path.  Only its owner can read it.  ``say`` is called with the name of each step.

    A valid token in an earlier file is used again, so that programs that use it continue, and no unused token stays
    valid.  Raises StackError.
    """
    file, server = stack.state / "provider.env", stack.addresses().public_url
    token = provider_token(stack, provider, say, _valid_token(file, server))
    written = file.with_suffix(".new")
    written.unlink(missing_ok=True)
    written.touch(mode=0o600, exist_ok=False)
    variables = f"export DSS_SERVER={server}\nexport DSS_TOKEN={token}\n"
    written.write_text(variables, encoding="utf-8")
    return written.replace(file)


def _valid_token(file: Path, server: str) -> str:
    """The token in the file, if the portal at ``server`` accepts it; otherwise ""."""
    with suppress(OSError):  # no such file, or the portal refuses the token or does not answer
        found = re.search("DSS_TOKEN=(dss_[\\w-]+)", file.read_text(encoding="utf-8"))
        if found is None:
            return ""
        request = Request(f"{server}/api/login", headers={"Authorization": f"Bearer {found[1]}"})  # noqa: S310 - our own portal
        with urlopen(request, timeout=10):  # noqa: S310 - our own portal
            return found[1]
    return ""


def make_phantom(stack: Stack) -> Path:
    """The folder of a synthetic chest CT with its true segmentation; made at the first call.  Raises StackError."""
    folder = stack.state / "sample"
    if not (folder / "truth.json").exists():
        words = (str(folder), "--seed", _SEED)
        stack.run("dss_phantom", *words, purpose="Making the sample CT")
    return folder


def send(
    stack: Stack, scan: Path | None, say: Callable[[str], None], series: str = ""
) -> SampleResult:
    """Send ``scan`` (for a DICOM folder, the series ``series``), or a phantom if it is None, through the stack and show
    the progress: ``say`` is called with the name of each step before the step.  Returns the result.

    Raises StackError if the image was not segmented.
    """
    if scan is None:
        say("making the sample CT")
    phantom = make_phantom(stack) if scan is None else None
    image = phantom / "ct.nii.gz" if phantom else scan
    results = stack.state / "results"
    results.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    report = results / f"{name}.json"
    words = [str(image), *(("--series", series) if series and scan else ())]
    say("making a sign-in token")
    token = login_token(stack)
    say(f"sending {scan or 'the sample CT'} as ITK-SNAP does")
    _send(stack, words, token, folder=results / name, report=report)
    answer = json.loads(report.read_text(encoding="utf-8"))
    return SampleResult(
        ticket=answer["ticket"],
        workspace=Path(answer["workspace"]),
        volumes_ml=_volumes_ml(answer),
        truth_ml=_volumes_ml(json.loads((phantom / "truth.json").read_text(encoding="utf-8")))
        if phantom
        else {},
    )


def _send(stack: Stack, image: list[str], token: str, *, folder: Path, report: Path) -> None:
    server = ("--server", stack.addresses().public_url, "--service", SERVICE)
    output = ("--output", str(folder), "--json", str(report))
    done = subprocess.run(
        [sys.executable, "-m", "dss_client", "send", *image, *server, *output],
        env=stack.variables() | {"DSS_TOKEN": token},
        check=False,
    )
    if done.returncode != 0:
        raise StackError("The scan was not segmented. The stack is still running; see make logs.")


def _volumes_ml(report: dict[str, Any]) -> dict[str, float]:
    """Volumes of the labels in millilitres, by name, without the background."""
    return {
        label["name"]: float(label["volume_ml"]) for label in report["labels"] if label["value"]
    }
