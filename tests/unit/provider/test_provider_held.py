"""A publisher that is killed twice forgets none of the tickets that it holds."""

from pathlib import Path

from dss_provider.serving import Held


def test_tickets_of_an_earlier_run_stay_until_they_have_ended(tmp_path: Path) -> None:
    first = Held(tmp_path / "held.json")
    first.add(1)
    first.add(2)

    second = Held(tmp_path / "held.json")
    assert second.before() == [1, 2]
    second.add(2)  # it goes on with one of them, and is killed, too

    assert Held(tmp_path / "held.json").before() == [1, 2]
    second.remove(1)
    assert Held(tmp_path / "held.json").before() == [2]
