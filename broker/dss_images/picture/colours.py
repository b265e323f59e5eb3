"""The palette of a picture: grey for the image, the labels' own colours, and one for what is no image."""

from collections.abc import Iterable, Mapping

from dss_images.default_colours import Rgb, default_colour

MOST_COLOURS = 128
"""Most colours of labels; the rest of the palette is grey, but for one."""
SHEET: Rgb = (52, 70, 104)
"""The colour around and between the panels: dark, and no grey, so that neither air nor tissue merges with it."""


class Palette:
    """The 256 colours of a picture: ``greys`` shades from black to white, SHEET, then at most MOST_COLOURS label colours."""

    def __init__(self, values: Iterable[int], colours: Mapping[int, Rgb]) -> None:
        """``values`` are the labels to show, ``colours`` their colours; a label without one gets its default colour."""
        shown = {value: colours.get(value) or default_colour(value) for value in values}
        distinct = list(dict.fromkeys(shown.values()))[:MOST_COLOURS]
        self.greys = 255 - len(distinct)
        self._places = {v: self._place_of(colour, distinct) for v, colour in shown.items()}
        self.colours: list[Rgb] = [(g, g, g) for g in map(self._grey, range(self.greys))]
        self.colours += [SHEET, *distinct]

    @property
    def white(self) -> int:
        return self.greys - 1

    @property
    def sheet(self) -> int:
        return self.greys

    def place(self, value: int) -> int:
        """Index in the palette of the colour of the label ``value``, or of the nearest one if there are more than
        MOST_COLOURS.  Raises KeyError if that label is not shown.
        """
        return self._places[value]

    def _grey(self, index: int) -> int:
        return round(255 * index / (self.greys - 1))

    def _place_of(self, colour: Rgb, distinct: list[Rgb]) -> int:
        """Index in the palette of the colour in ``distinct`` that is nearest to ``colour``.

        With more than MOST_COLOURS colours, ``colour`` itself may be missing.
        """
        apart = [sum((a - b) ** 2 for a, b in zip(colour, d, strict=True)) for d in distinct]
        return self.greys + 1 + apart.index(min(apart))
