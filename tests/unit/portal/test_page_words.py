"""What the pages say about times, states and services."""

import pytest

from dss_portal.formats import duration
from dss_portal.pages.numbers import days
from dss_portal.pages.rendering import one_line, plain_text, web_address
from dss_portal.refusals import Refused
from dss_portal.services.liveness import MissingProgram
from dss_portal.services.pages import outcome, presence, queue
from dss_portal.services.statistics import Stats


def _stats(n_success: int, n_failed: int, mean_s: float | None = None) -> Stats:
    return Stats(
        n_success=n_success,
        n_failed=n_failed,
        mean_s=mean_s,
        listed_s=0,
        silent_s=None,
        queue_length=0,
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.4, "0 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7620, "2 h 07 min"),
        (273_600, "3 d 04 h"),
    ],
)
def test_a_duration_reads_as_people_say_it(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("missing", "silent_s", "colour"),
    [
        (MissingProgram.NONE, 1, "green"),
        (MissingProgram.WORKER, 1, "red"),
        (MissingProgram.DISPATCHER, None, "red"),
        (MissingProgram.DISPATCHER, 13, "yellow"),
        (MissingProgram.DISPATCHER, 3600, "red"),
    ],
)
def test_the_first_light_tells_who_is_missed_and_since_when(
    missing: MissingProgram, silent_s: float | None, colour: str
) -> None:
    assert presence(missing, silent_s).colour == colour


@pytest.mark.parametrize(
    ("n_success", "n_failed", "colour"),
    [(0, 0, "cyan"), (19, 1, "green"), (9, 1, "yellow"), (8, 2, "red"), (0, 1, "red")],
)
def test_the_second_light_tells_how_many_failed(n_success: int, n_failed: int, colour: str) -> None:
    assert outcome(_stats(n_success, n_failed)).colour == colour


def test_the_second_light_tells_how_long_it_took() -> None:
    words = outcome(_stats(2, 1, mean_s=65)).words

    assert words == "2 of 3 tickets of the last 24 hours succeeded, in 1 min 05 s on average"


@pytest.mark.parametrize(
    ("length", "colour"), [(0, "cyan"), (4, "green"), (5, "yellow"), (25, "red")]
)
def test_the_third_light_tells_how_many_wait(length: int, colour: str) -> None:
    assert queue(length).colour == colour


@pytest.mark.parametrize(
    "text",
    ["javascript:alert(1)", "data:text/html,x", "", None, 3, "//x", "http://[x", "https://[::1"],
)
def test_only_an_address_of_the_web_becomes_a_link(text: object) -> None:
    assert web_address(text) == ""
    assert web_address("https://example.com/a") == "https://example.com/a"


def test_tags_are_taken_out_of_a_text_and_line_breaks_stay() -> None:
    assert plain_text("<b>Lungs</b>\n\nleft &amp; <i>right</i>") == "Lungs\n\nleft & right"


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-1", "1e9"])
def test_a_number_of_days_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="The number of days must"):
        days(text)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>A single label.</p><p>The method</p>", "A single label.\n\nThe method"),
        ("One.<br>Two.<BR/>Three.", "One.\nTwo.\nThree."),
        (
            "<p>Limits:</p><ul><li>masses</li><li>effusion</li></ul>",
            "Limits:\n\n\u2022 masses\n\u2022 effusion",
        ),
        ("<h2>Method</h2>Rules", "Method\n\nRules"),
        ("a < b and c > d", "a < b and c > d"),
        ("plain\nlines stay", "plain\nlines stay"),
    ],
)
def test_a_description_keeps_its_paragraphs(html: str, text: str) -> None:
    assert plain_text(html) == text


def test_a_short_description_with_paragraphs_keeps_its_words_apart() -> None:
    assert one_line("<p>Left lung.</p><p>Right lung.</p>") == "Left lung. Right lung."
