"""The judge of a chaos run sees each fault of notifications."""

from dataclasses import replace

import pytest

from chaos.evidence import Ticket
from chaos.faults import Fault
from chaos.notices import KINDS, late, share_late, violations
from chaos.site import slow_answers
from chaos.told import Delivery

ENDED_S = 100.0
TICKET = Ticket(
    number=1, status="success", claim_id="c", history=[("init", 1.0), ("success", ENDED_S)]
)
TOLD = [
    Delivery(kind=kind, key=kind, ticket=1, got_s=ENDED_S + 1, answered_s=ENDED_S + 1.2)
    for kind in KINDS
]
AGAIN = replace(TOLD[0], got_s=ENDED_S + 61, answered_s=ENDED_S + 61.2)
AWAY = Fault(
    kind="PostgreSQL away for minutes", victim="postgres", began_s=ENDED_S + 2, from_s=ENDED_S + 30
)
KILL = Fault(kind="kill a portal", victim="portal-0", began_s=ENDED_S + 1.1, from_s=ENDED_S + 1.1)


def test_each_end_that_was_told_once_is_right() -> None:
    deleted = replace(TICKET, number=2, history=[("init", 1.0), ("deleted", 2.0)])

    assert violations([TICKET, deleted], TOLD, [], {}) == []


def test_an_end_that_was_not_told_is_seen() -> None:
    assert violations([TICKET], TOLD[1:], [], {}) == ["untold: the end of ticket 1 came to no mail"]
    assert late([TICKET], TOLD[1:]) == ["told late: 33.3%"]
    assert late([TICKET], TOLD) == []


@pytest.mark.parametrize(
    ("first", "fault", "is_right"),
    [
        (TOLD[0], None, False),
        (replace(TOLD[0], answered_s=None), None, True),
        (TOLD[0], KILL, True),
        (TOLD[0], replace(KILL, kind="kill a worker"), False),
        (TOLD[0], replace(KILL, began_s=ENDED_S + 9, from_s=ENDED_S + 9), True),
        (TOLD[0], replace(KILL, began_s=ENDED_S + 12, from_s=ENDED_S + 12), False),
        (TOLD[0], replace(KILL, kind="freeze a portal", began_s=ENDED_S - 9), True),
    ],
)
def test_a_second_message_is_right_only_if_an_answer_was_lost(
    first: Delivery, fault: Fault | None, *, is_right: bool
) -> None:
    found = violations([TICKET], [first, AGAIN, *TOLD[1:]], [] if fault is None else [fault], {})

    assert (found == []) is is_right
    assert all("came again after 60.0 s, though it was answered" in text for text in found)


def test_a_database_that_is_away_delays_the_note_of_an_answer() -> None:
    kill = replace(KILL, began_s=ENDED_S + 35, from_s=ENDED_S + 35)

    assert violations([TICKET], [AGAIN, *TOLD], [AWAY, kill], {}) == []
    assert len(violations([TICKET], [AGAIN, *TOLD], [AWAY], {})) == 1


def test_a_second_message_is_right_where_a_portal_gave_up_waiting_for_an_answer() -> None:
    slow = slow_answers(
        [
            "no JSON",
            '{"message": "notification not taken", "ticket": 1, "kind": "mail", "tries": 1, "seconds": 10.2}',
            '{"message": "notification not taken", "ticket": 1, "kind": "mail", "tries": 2, "seconds": 0.3}',
        ]
    )
    third = replace(AGAIN, got_s=ENDED_S + 90, answered_s=ENDED_S + 90.2)

    assert violations([TICKET], [AGAIN, *TOLD], [], slow) == []
    (found,) = violations([TICKET], [third, AGAIN, *TOLD], [], slow)
    assert "came again after 29.0 s, though it was answered" in found


def test_a_second_message_under_another_key_is_seen() -> None:
    lost = replace(TOLD[0], answered_s=None)

    (found,) = violations([TICKET], [lost, replace(AGAIN, key="other"), *TOLD[1:]], [], {})

    assert found == "told twice: the mail of ticket 1 came under several keys"


def test_the_first_message_counts_for_lateness() -> None:
    assert share_late([TICKET], [AGAIN, *TOLD]) == 0
    assert share_late([TICKET], [AGAIN, *TOLD[1:]]) == pytest.approx(1 / 3)
