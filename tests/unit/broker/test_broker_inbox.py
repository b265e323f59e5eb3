import threading

from dss_broker.rabbit.inbox import Inbox


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

    assert inbox.take_back() == [2]
    assert inbox.take_back() == []


def test_closing_lets_those_who_wait_go() -> None:
    inbox: Inbox[int] = Inbox()
    taken: list[int | None] = []
    waiting = threading.Thread(target=lambda: taken.append(inbox.take()))
    waiting.start()

    inbox.close()
    waiting.join(10)

    assert taken == [None]


def test_of_a_line_one_item_is_taken_at_a_time() -> None:
    inbox: Inbox[str] = Inbox(order_key=lambda item: item[0])
    for item in ("a1", "a2", "b1", "a3"):
        inbox.put(item)

    taken = [inbox.take(), inbox.take()]
    inbox.done("a1")

    assert taken == ["a1", "b1"]
    assert inbox.take() == "a2"
    assert inbox.take_back() == ["a3"]


def test_whoever_waits_for_a_line_is_woken_when_its_turn_comes() -> None:
    inbox: Inbox[str] = Inbox(order_key=lambda item: item[0])
    inbox.put("a1")
    inbox.take()
    taken: list[str | None] = []
    waiting = threading.Thread(target=lambda: taken.append(inbox.take()))
    waiting.start()
    inbox.put("a2")

    waiting.join(0.1)
    assert taken == []
    inbox.done("a1")
    waiting.join(10)

    assert taken == ["a2"]
