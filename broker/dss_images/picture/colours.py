"""The palette of a picture: grey for the image, and the labels' own colours."""

from collections.abc import Iterable, Mapping

from dss_images.default_colours import Rgb, default_colour

MOST_COLOURS = 128
"""Colours of labels; the other places of the palette are grey."""


class Palette:
    """``greys`` shades from black to white, then a colour for each of the labels that are shown."""

    def __init__(self, values: Iterable[int], colours: Mapping[int, Rgb]) -> None:
        """``values`` are those of the labels that are shown."""
        shown = {value: colours.get(value) or default_colour(value) for value in values}
        distinct = list(dict.fromkeys(shown.values()))[:MOST_COLOURS]
        self.greys = 256 - len(distinct)
        self._places = {v: self._place_of(colour, distinct) for v, colour in shown.items()}
        self.colours: list[Rgb] = [(g, g, g) for g in map(self._grey, range(self.greys))]
        self.colours += distinct

    @property
    def white(self) -> int:
        return self.greys - 1

    def place(self, value: int) -> int:
        """Where in the palette the colour of that label is."""
        return self._places[value]

    def _grey(self, index: int) -> int:
        return round(255 * index / (self.greys - 1))

    def _place_of(self, colour: Rgb, distinct: list[Rgb]) -> int:
        """The nearest, where there are more labels than places."""
        apart = [sum((a - b) ** 2 for a, b in zip(colour, d, strict=True)) for d in distinct]
        return self.greys + apart.index(min(apart))
