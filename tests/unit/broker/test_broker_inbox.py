import threading

from dss_broker.inbox import Inbox


def test_items_come_out_in_the_order_they_went_in() -> None:
    inbox: Inbox[int] = Inbox()
    inbox.put(1)
    inbox.put(2)

    assert [inbox.take(), inbox.take()] == [1, 2]


def test_what_nobody_has_taken_can_be_taken_back() -> None:
    inbox: Inbox[int] = Inbox()
    inbox.put(1)
    inbox.put(2)
    inbox.take()

    assert inbox.empty() == [2]
    assert inbox.empty() == []


def test_closing_lets_those_who_wait_go() -> None:
    inbox: Inbox[int] = Inbox()
    taken: list[int | None] = []
    waiting = threading.Thread(target=lambda: taken.append(inbox.take()))
    waiting.start()

    inbox.close()
    waiting.join(10)

    assert taken == [None]
