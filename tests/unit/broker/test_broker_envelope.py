from dss_broker import messages as m
from dss_broker.envelope import (
    MAX_REASON_CHARS,
    PARKED_QUEUE,
    PARKED_REASON,
    Envelope,
    for_parking,
    for_retry,
    new_envelope,
    parked_reason,
)
from dss_observability.tracing import current_traceparent

KILLED = {"x-death": [{"reason": "delivery_limit", "queue": "dss.dispatch.lung", "count": 1}]}


def envelope(**headers: object) -> Envelope:
    return Envelope(
        type_name="ClaimHeartbeat",
        body=b"{}",
        message_id="one",
        correlation_id="asked",
        reply_to="dss.replies.x",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def park(parked: Envelope, reason: str = "It broke.") -> Envelope:
    return for_parking(
        parked, reason=reason, queue="dss.q", attempt=3, program="dispatch", instance="a"
    )


def test_a_message_without_a_count_is_at_its_first_try() -> None:
    assert envelope().attempt == 1


def test_a_retry_counts_one_more_and_stays_the_same_message() -> None:
    retried = for_retry(for_retry(envelope(traceparent="00-a-b-01")))

    assert retried.attempt == 3
    assert retried.traceparent == "00-a-b-01"
    assert (retried.message_id, retried.correlation_id, retried.reply_to) == (
        "one",
        "asked",
        "dss.replies.x",
    )


def test_a_retry_leaves_the_brokers_own_headers_behind() -> None:
    retried = for_retry(envelope(x_death=[{"reason": "expired"}], x_delivery_count=2))

    assert set(retried.headers) == {"dss-attempt"}


def test_a_parked_message_tells_its_story_and_would_start_again_at_one() -> None:
    parked = park(for_retry(envelope()))

    assert parked_reason(parked) == "It broke."
    assert parked.headers[PARKED_QUEUE] == "dss.q"
    assert parked.attempt == 1


def test_a_reason_of_any_length_fits_into_the_header() -> None:
    parked = park(envelope(), reason="x" * 100_000)

    assert len(str(parked.headers[PARKED_REASON])) == MAX_REASON_CHARS


def test_a_message_that_reached_the_delivery_limit_says_so_in_a_sentence() -> None:
    killed = Envelope(type_name=None, body=b"", message_id="one", headers=KILLED)

    assert parked_reason(killed) == "RabbitMQ took it back 10001 times before it was done."


def test_a_message_that_reached_the_delivery_limit_says_so_after_a_retry_too() -> None:
    killed = Envelope(type_name=None, body=b"", message_id="one", headers=KILLED)

    assert parked_reason(for_retry(killed)) == parked_reason(killed)


def test_a_message_that_only_waited_for_a_retry_was_not_parked() -> None:
    assert parked_reason(envelope(x_death=[{"reason": "expired"}])) is None


def test_a_message_belongs_to_the_trace_in_which_it_is_sealed() -> None:
    token = current_traceparent.set("00-a-b-01")
    sealed = new_envelope(m.ClaimHeartbeat(ticket_id=1, claim_id="c"))
    current_traceparent.reset(token)

    assert sealed.traceparent == "00-a-b-01"


def test_a_message_knows_how_long_it_has_travelled() -> None:
    sealed = new_envelope(m.ClaimHeartbeat(ticket_id=1, claim_id="c"))

    assert sealed.age_s is not None
    assert 0 <= sealed.age_s < 10


def test_a_retry_tells_no_age_because_its_wait_was_meant() -> None:
    assert for_retry(new_envelope(m.ClaimHeartbeat(ticket_id=1, claim_id="c"))).age_s is None
