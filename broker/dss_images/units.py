"""Converts units of length to millimetres."""

from dss_images import refusals

_MM = {
    "": 1.0,
    "?": 1.0,
    "mm": 1.0,
    "millimeter": 1.0,
    "millimetre": 1.0,
    "um": 1e-3,
    "µm": 1e-3,
    "micron": 1e-3,
    "cm": 10.0,
    "m": 1000.0,
}


def scale_of(unit: str) -> float:
    """The number of millimetres in one ``unit``; "" means millimetres.  Raises ImageRefused for an unknown unit."""
    try:
        return _MM[unit.strip().strip('"').casefold()]
    except KeyError:
        raise refusals.unknown_unit(unit) from None
