from dss_broker.rabbit.link import FIRST_RETRY_S, LONGEST_RETRY_S, Backoff


def test_the_first_retry_is_quick_and_the_later_ones_are_bounded() -> None:
    backoff = Backoff()

    waits = [backoff.next_s() for _ in range(40)]

    assert waits[0] <= FIRST_RETRY_S
    assert all(wait <= LONGEST_RETRY_S for wait in waits)
    assert min(waits[10:]) >= LONGEST_RETRY_S / 2


def test_after_a_success_the_next_retry_is_quick_again() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.next_s()

    backoff.reset()

    assert backoff.next_s() <= FIRST_RETRY_S
