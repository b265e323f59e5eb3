"""Parts of a drawing in SVG that stands in a page; colours are in ``pages/assets/drawings.css``."""

from collections.abc import Iterable, Sequence
from html import escape

LINE_PX = 16
"""Height of a line of text."""


def figure(
    name: str, size: tuple[int, int], title_and_description: tuple[str, str], parts: Iterable[str]
) -> str:
    """A block of HTML without empty lines, as Markdown wants it.  ``title_and_description`` is, for readers
    who do not see the drawing.
    """
    width, height = size
    title, description = (escape(text) for text in title_and_description)
    lines = (
        (
            f'<figure class="drawing"><svg viewBox="0 0 {width} {height}" role="img" '
            f'aria-labelledby="{name}-title {name}-text" xmlns="http://www.w3.org/2000/svg">'
        ),
        f'<title id="{name}-title">{title}</title><desc id="{name}-text">{description}</desc>',
        (
            f'<defs><marker id="{name}-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        ),
        *parts,
        "</svg></figure>",
    )
    return "\n".join(lines)


def box(at: tuple[int, int], size: tuple[int, int], kind: str, radius: int = 4) -> str:
    return (
        f'<rect x="{at[0]}" y="{at[1]}" width="{size[0]}" height="{size[1]}" '
        f'rx="{radius}" class="{kind}"/>'
    )


def text(at: tuple[int, int], lines: Sequence[str], kind: str = "", anchor: str = "start") -> str:
    """Lines of text, the first with its base at ``at``."""
    x, y = at
    spans = "".join(
        f'<tspan x="{x}" y="{y + n * LINE_PX}">{escape(line)}</tspan>'
        for n, line in enumerate(lines)
    )
    return f'<text class="{kind}" text-anchor="{anchor}">{spans}</text>'


def arrow(name: str, path: str, kind: str = "line") -> str:
    """A line with a head at its end, in the drawing ``name``."""
    return f'<path d="{path}" class="{kind}" marker-end="url(#{name}-head)"/>'
