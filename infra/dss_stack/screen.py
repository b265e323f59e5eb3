"""Formats the output of ``dss-stack`` for the terminal."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dss_stack.addresses import Addresses
from dss_stack.process_states import ProcessState
from dss_stack.program import uptime_s
from dss_stack.sample import SampleResult

ADMIN = "dss-portal with the settings of this stack: .venv/bin/dss-stack portal users list"
"""How an admin of the local stack calls ``dss-portal``, which needs the stack's settings."""


class StepLines:
    """Prints one line for each step, with the seconds since this object was made."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        elapsed_s = time.monotonic() - self._begun
        self._console.print(f"[dim]{elapsed_s:4.0f} s[/]  {text}", highlight=False)


def parts_table(parts: Sequence[ProcessState]) -> Table:
    """A table of the stack's processes: name, process number, uptime, health and address."""
    table = Table("process", "pid", "up", "health", "address", box=None, header_style="dim")
    for part in parts:
        pid = str(part.process.pid) if part.process else "-"
        up = _duration(uptime_s(part.process)) if part.process else "-"
        table.add_row(part.name, pid, up, _health(part), part.address)
    return table


def reasons(parts: Sequence[ProcessState]) -> Text:
    """A line for each running process that is not ready, with the reason."""
    lines = [f" {part.name}: {part.missing}" for part in parts if part.missing]
    return Text("\n".join(lines), style="yellow")


def metrics_pages(parts: Sequence[ProcessState]) -> Text:
    """Addresses of the processes' metrics, in plain lines."""
    pages = [(part.name, f"http://{part.metrics}/metrics") for part in parts if part.metrics]
    width = max((len(name) for name, _ in pages), default=0)
    lines = [f" {name:<{width}}  {page}" for name, page in pages]
    return Text("\n".join([" metrics", *lines]))


def volumes_table(segmented: SampleResult) -> Table:
    """A table of the volumes of the result's labels; for a phantom with the true volumes and the difference in per
    cent.
    """
    table = Table(box=None, header_style="dim")
    for heading in ("label", "volume", *(["truth", "difference"] if segmented.truth_ml else [])):
        table.add_column(heading, justify="left" if heading == "label" else "right")
    for name, volume_ml in segmented.volumes_ml.items():
        table.add_row(
            name, f"{volume_ml:.0f} ml", *_against(volume_ml, segmented.truth_ml.get(name))
        )
    return table


def summary(addresses: Addresses, segmented: SampleResult, token: str, prometheus_url: str) -> Text:
    """What the user needs after ``up``: the result, the portal with the sign-in ``token``, RabbitMQ's console and
    Prometheus.  Plain lines, so that long paths are not broken and can be copied.
    """
    rows = (
        ("Result", str(segmented.workspace)),
        ("", "open it in ITK-SNAP: File > Open Workspace..."),
        ("Portal", addresses.public_url),
        ("Token", token),
        ("", f"signs in once; in a browser, paste it at {addresses.public_url}/token"),
        ("", "ITK-SNAP: Tools > Distributed Segmentation Service..., Manage...,"),
        ("", f"add the server {addresses.public_url}, paste the token"),
        *_console_rows(addresses),
        *([("Prometheus", prometheus_url)] if prometheus_url else []),
        ("Admin", ADMIN),
        ("Stop", "make stop; the data stays, and make up goes on with it"),
        ("", "This is for trials and development; infra/README.md tells how to install a site."),
    )
    return Text("\n".join(f"{name:<11}{what}" for name, what in rows))


def _console_rows(addresses: Addresses) -> tuple[tuple[str, str], ...]:
    """Rows about RabbitMQ's console; () for a broker that is not the stack's own, whose console is not known."""
    if addresses.console_url is None:
        return ()
    login = f"user {addresses.console_user}, password {addresses.console_password}"
    return ("RabbitMQ", f"{addresses.console_url} (management console)"), ("", login)


def _against(volume_ml: float, truth_ml: float | None) -> tuple[str, ...]:
    if truth_ml is None:
        return ()
    return f"{truth_ml:.0f} ml", f"{100 * (volume_ml / truth_ml - 1):+.1f} %" if truth_ml else "-"


def _health(part: ProcessState) -> str:
    if part.process is None:
        return "[red]down[/]"
    return "[green]ok[/]" if part.healthy else "[yellow]not ready[/]"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{int(seconds):02}"
