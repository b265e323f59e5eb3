"""What the person at the terminal reads."""

from pathlib import Path

import psutil
from rich.console import Console, RenderableType

from dss_observability.serving import serve_health
from dss_stack import health, log_following, screen
from dss_stack.process_states import ProcessState
from dss_stack.sample import SampleResult
from support.stacks import free_port


def shown(what: RenderableType) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def segmented(truth_ml: dict[str, float]) -> SampleResult:
    return SampleResult(
        ticket=1, workspace=Path("x"), volumes_ml={"left lung": 2040.0}, truth_ml=truth_ml
    )


def test_a_volume_stands_beside_its_truth() -> None:
    text = shown(screen.volumes_table(segmented({"left lung": 2000.0})))

    assert "2040 ml" in text
    assert "2000 ml" in text
    assert "+2.0 %" in text


def test_without_a_truth_only_the_volume_is_shown() -> None:
    assert "truth" not in shown(screen.volumes_table(segmented({})))


def test_a_part_without_a_process_is_down() -> None:
    part = ProcessState(name="portal", process=None, healthy=False, address="")

    assert "down" in shown(screen.parts_table([part]))


def test_a_part_that_lives_but_cannot_work_is_not_ready() -> None:
    part = ProcessState(name="portal", process=psutil.Process(), healthy=False, address="")

    assert "not ready" in shown(screen.parts_table([part]))


def test_a_part_that_cannot_work_says_why() -> None:
    why = "The broker is away or takes no messages."
    part = ProcessState(
        name="portal", process=psutil.Process(), healthy=False, address="", missing=why
    )

    assert f"portal: {why}" in shown(screen.reasons([part]))


def test_the_reason_is_what_readyz_says() -> None:
    metrics = f"127.0.0.1:{free_port()}"
    end = serve_health(metrics, lambda: ["The broker is away.", "The datastore is not there."])

    assert health.reason_not_ready(metrics) == "The broker is away. The datastore is not there."
    end()
    assert health.reason_not_ready(metrics) == "It does not answer yet."


def test_only_whole_lines_of_a_growing_log_are_shown(tmp_path: Path) -> None:
    lines: list[str] = []
    (tmp_path / "log").write_text("one\ntwo\nthr", encoding="utf-8")

    seen = log_following._show_new("portal", tmp_path / "log", 0, lines.append)

    assert [line.split()[-1] for line in lines] == ["one", "two"]
    assert seen == len("one\ntwo\n")


def test_a_log_that_was_begun_anew_is_followed_from_its_beginning(tmp_path: Path) -> None:
    lines: list[str] = []
    (tmp_path / "log").write_text("new\n", encoding="utf-8")

    seen = log_following._show_new("portal", tmp_path / "log", 1000, lines.append)
    log_following._show_new("portal", tmp_path / "log", seen, lines.append)

    assert [line.split()[-1] for line in lines] == ["new"]


def test_the_page_of_each_programs_metrics_is_on_a_line_of_its_own() -> None:
    parts = [
        ProcessState(name="portal", process=None, healthy=False, address="", metrics="127.0.0.1:9"),
        ProcessState(name="postgres", process=None, healthy=False, address=""),
    ]

    assert shown(screen.metrics_pages(parts)).split() == [
        "metrics",
        "portal",
        "http://127.0.0.1:9/metrics",
    ]
