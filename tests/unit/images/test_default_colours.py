"""The default colours of labels: one for each value, and neighbours are easy to tell apart."""

import pytest

from dss_images.default_colours import default_colour


@pytest.mark.parametrize("value", [1, 2, 3, 104, 254, 65534])
def test_neighbouring_values_differ_clearly(value: int) -> None:
    pair = zip(default_colour(value), default_colour(value + 1), strict=True)

    assert sum(abs(a - b) for a, b in pair) > 100
