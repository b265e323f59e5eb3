"""Every colour of text in the style sheet stands out from every background it may lie on (WCAG 2.2, 1.4.3)."""

import re
from pathlib import Path

import pytest

import dss_portal.pages

SHEET = (Path(dss_portal.pages.__file__).parent / "static" / "portal.css").read_text(
    encoding="utf-8"
)
LIGHT, DARK, PRINTED = (
    dict(re.findall(r"--([\w-]+): (#\w+)", block))
    for block in re.findall(r":root \{([^}]*)\}", SHEET)
)
TEXTS = sorted(set(re.findall(r"(?<![\w-])color: var\(--([\w-]+)\)", SHEET)) - {"on-link"})


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_sheet_names_its_colours() -> None:
    assert {"ink", "soft", "link", "red", "green", "warn"} <= set(TEXTS)


@pytest.mark.parametrize("colours", [LIGHT, DARK, PRINTED], ids=["light", "dark", "printed"])
@pytest.mark.parametrize("background", ["paper", "band"])
@pytest.mark.parametrize("text", TEXTS)
def test_text_can_be_read(text: str, background: str, colours: dict[str, str]) -> None:
    assert contrast(colours[text], colours[background]) >= 4.5


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("button", ["link", "red"])
def test_a_button_can_be_read(button: str, colours: dict[str, str]) -> None:
    assert contrast(colours["on-link"], colours[button]) >= 4.5
